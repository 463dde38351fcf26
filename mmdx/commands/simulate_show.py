"""``mmdx simulate show``: pictures, sounds and notes of some simulated patients, with what is true of them, as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdx.commands.hydra_app import telling
from mmdx.commands.simulate import cohort_from

DESCRIPTION = """\
Write what some simulated patients' modalities look and sound like: pictures, WAV files and notes, what is true of each as JSON,
one picture of all, and index.html, where they can be looked at and listened to.

Hydra overrides set the cohort: data.seed=3 data.marker=0.9"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("mmdx simulate show", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="Hydra overrides of data=simulated")
    parser.add_argument("--patients", type=int, default=10, metavar="N", help="rows to show, from the first on (default: 10)")
    parser.add_argument("--out", type=Path, default=Path("simulated"), metavar="FOLDER", help="where they are written (default: simulated)")
    given = parser.parse_intermixed_args()
    if given.patients < 1:
        parser.error(f"--patients={given.patients}: must be 1 or more")
    telling(lambda: show(given.overrides, given.patients, given.out))


def show(overrides: list[str], patients: int, out: Path) -> None:
    """Write the folder.

    Raises:
        InputError: where the overrides are wrong, or the folder cannot be written.
    """
    from mmdx.errors import InputError
    from mmdx.simulate.gallery import write_gallery

    cohort = cohort_from(overrides)
    try:
        page = write_gallery(cohort, range(min(patients, len(cohort))), out)
    except OSError as fault:
        raise InputError(f"--out {out}: cannot be written ({fault.strerror}).") from None
    print(f"{page}: {min(patients, len(cohort))} patients, to be opened in a browser; {out / 'patients.png'} is one picture of all.")
