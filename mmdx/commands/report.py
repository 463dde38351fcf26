"""``mmdx report FOLDER``: a scored run as a page that is read without any server."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdx.commands.hydra_app import telling

DESCRIPTION = """\
Write report.html (one file, works offline and without scripts), figures/ (SVG and PNG) and tables/ (CSV) from what a run folder
holds: predictions.parquet, metrics.json and, after `mmdx stress`, stress/ and cases/. No torch is needed."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("mmdx report", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="a run folder that has been scored, or the file of predictions that was")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the page is written (default: FOLDER/report.html)")
    given = parser.parse_args()
    telling(lambda: report(given.folder, given.out))


def report(folder: str, out: Path | None) -> None:
    """Write the report of a run folder and say where it is.

    Raises:
        InputError: where it cannot be made or written.
    """
    from mmdx.errors import InputError
    from mmdx.report.write import write_report

    try:
        page = write_report(folder, out)
    except OSError as fault:
        raise InputError(f"{fault.filename or out or folder}: cannot be written ({fault.strerror}); choose another place with --out.") from None
    beside = folder if Path(folder).expanduser().is_dir() else Path(folder).parent
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB, to be opened in a browser; figures and tables are in {beside}.")


if __name__ == "__main__":
    main()
