"""``mmdx runs [FOLDER]``: the runs under a folder, listed, filtered, sorted, compared, exported."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmdx.commands.hydra_app import telling
from mmdx.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from mmdx.runs.read import Run


def main() -> None:
    """Print a table, or JSON, and with ``--export`` write a Parquet file."""
    parser = argparse.ArgumentParser("mmdx runs", description="List, filter, sort and compare the runs under a folder.")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default="runs", help="where to look, runs where not given")
    parser.add_argument("--filter", metavar="KEY=VALUE", action="append", default=[], nargs="+",
                        help="only these, as in 'fusion=gated', 'auroc>0.8', 'state!=finished'; all of several")
    parser.add_argument("--sort", metavar="KEY", help="metrics the best first, all else from small to large")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--columns", metavar="KEY", nargs="+", default=[],
                        help="keys of the config, metrics (auroc, SUBSET/auroc), facts (begun, timings.train)")
    parser.add_argument("--diff", metavar=("A", "B"), nargs=2, help="two runs beside each other, by the names of the list")
    parser.add_argument("--export", metavar="FILE.parquet", help="write one row a run")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of the table")
    chosen = parser.parse_args()
    telling(lambda: job(chosen))


def job(chosen: argparse.Namespace) -> None:
    """What the command does.

    Raises:
        InputError: where the folder isn't there, or a key or a name is wrong.
    """
    from pathlib import Path

    from mmdx.runs.choose import in_order, matching
    from mmdx.runs.read import find_runs, read_run

    root = Path(chosen.folder).expanduser()
    if not root.is_dir():
        raise InputError(f"FOLDER={chosen.folder}: no such folder; name the one that your runs are under.")
    if chosen.diff:
        return show_diff(root, *chosen.diff)
    if chosen.export and not chosen.export.endswith(".parquet"):
        raise InputError(f"--export {chosen.export}: must end in .parquet.")
    runs = matching((read_run(folder, root) for folder in find_runs(root)), [text for texts in chosen.filter for text in texts])
    if chosen.sort:
        runs = in_order(runs, chosen.sort, chosen.reverse)
    elif chosen.reverse:
        runs = runs[::-1]
    if chosen.export:
        from mmdx.runs.export import export

        try:
            export(runs, Path(chosen.export).expanduser())
        except OSError as fault:
            raise InputError(f"--export {chosen.export}: cannot be written ({fault.strerror or fault}); name another file.") from None
    if chosen.json:
        import json

        print(json.dumps([run.plain() for run in runs], indent=1))
        return
    from mmdx.runs.show import table_of

    wide_print(table_of(runs, [name for text in chosen.columns for name in text.split(",")]))
    if chosen.export:
        print(f"{len(runs)} rows written to {chosen.export}")


def show_diff(root: Path, one: str, other: str) -> None:
    """Two runs beside each other.

    Raises:
        InputError: where one of them isn't there.
    """
    from mmdx.runs.show import beside

    wide_print(beside(named(root, one), named(root, other)))


def named(root: Path, name: str) -> Run:
    """A run by its name below the folder, or by its own folder.

    Raises:
        InputError: where there is none, or it is broken.
    """
    from pathlib import Path

    from mmdx.runs.read import BROKEN, find_runs, read_run

    for folder in (root / name, Path(name).expanduser()):
        if folder.is_dir() and next(find_runs(folder), None) == folder:
            run = read_run(folder, root if folder.is_relative_to(root) else folder)
            if run.state == BROKEN:
                raise InputError(f"--diff {name}: {run.problem}.")
            return run
    raise InputError(f"--diff {name}: no run of that name under {root}; mmdx runs {root} lists them.")


def wide_print(what: object) -> None:
    """Print to the terminal's width; where it isn't one, as wide as it needs to be."""
    import sys

    from rich.console import Console

    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=False).print(what)


if __name__ == "__main__":
    main()
