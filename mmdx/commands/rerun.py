"""``mmdx rerun FOLDER``: a finished run once more, and whether it is the same."""

from __future__ import annotations

import argparse
import sys

from mmdx.commands.hydra_app import telling


def main() -> None:
    """Repeat a run and compare; exit code 0 where the results are the same, to the bit or within the tolerance, else 1."""
    parser = argparse.ArgumentParser("mmdx rerun", description="Repeat a run from its folder, and say whether it has the same results.")
    parser.add_argument("folder", metavar="FOLDER", help="folder of a finished run")
    parser.add_argument("--out", metavar="FOLDER", help="the new run's folder; FOLDER_rerun where not given")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="absolute, of predictions and metrics (1e-6)")
    chosen = parser.parse_args()

    def job() -> bool:
        from mmdx.rerun import rerun

        return rerun(chosen.folder, chosen.out, chosen.tolerance)

    if not telling(job):
        sys.exit(1)


if __name__ == "__main__":
    main()
