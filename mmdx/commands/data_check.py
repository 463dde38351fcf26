"""``mmdx data check SOURCE``: read every file and find what is damaged, duplicated, on both sides of a split, or personal."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdx.commands.hydra_app import telling

if TYPE_CHECKING:
    from mmdx.data.checks.cache import Cache
    from mmdx.data.checks.findings import Finding

SHOWN = 50
DESCRIPTION = """\
Read every file of a data set and print what is wrong with it.

SOURCE is a CSV or Parquet manifest, whose columns are told apart by what is in them; or Hydra overrides, such as
data=covid_cxr data.root=FOLDER; or a manifest and overrides, such as cohort.csv data.target=diagnosis.
The exit code is 0 only where there is no error; warnings leave it at 0."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("mmdx data check", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="a manifest, or Hydra overrides")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list and nothing else")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that read (default: one for each processor)")
    parser.add_argument("--show", type=int, default=SHOWN, metavar="N", help=f"findings to print, 0 for all (default: {SHOWN})")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where unchanged files are remembered (default: the user's cache folder)")
    parser.add_argument("--no-cache", action="store_true", help="read every file, remember nothing")
    given = parser.parse_intermixed_args()
    if given.workers is not None and given.workers < 1:
        parser.error(f"--workers={given.workers}: must be 1 or more")
    sys.exit(telling(lambda: _check(given)))


def _check(given: argparse.Namespace) -> int:
    from mmdx.commands.data_source import open_source
    from mmdx.data.checks.check import check
    from mmdx.data.checks.findings import ERROR
    from mmdx.data.checks.personal import who_looks

    cohort = open_source(given.source)
    for column, role in cohort.roles.items():
        print(f"column {column}: {role}", file=sys.stderr)
    if cohort.has_text:
        print(f"personal data in text: looked for by {who_looks()}", file=sys.stderr)
    cache = None if given.no_cache else _cache(given.cache)
    findings = check(cohort, given.workers, cache)
    if cache and cache.trouble:
        print(f"cache {cache.path}: {cache.trouble}; what was read may be read again next time.", file=sys.stderr)
    if given.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        _print(findings, len(cohort.entries), given.show or len(findings))
    return int(any(finding.severity == ERROR for finding in findings))


def _cache(folder: Path | None) -> Cache | None:
    from mmdx.data.checks.cache import Cache
    from mmdx.files import user_cache

    folder = folder.expanduser() if folder else user_cache()
    try:
        return Cache(folder)
    except OSError as fault:
        print(f"cache {folder}: cannot be used ({fault.strerror or fault}); every file is read anew.", file=sys.stderr)
        return None


def _print(findings: Sequence[Finding], rows: int, shown: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mmdx.data.checks.findings import ERROR, KINDS

    console = Console()
    counts = Counter((finding.severity, finding.kind) for finding in findings)
    if findings:
        table = Table("", "kind", "findings", "what it is")
        for (severity, kind), count in counts.items():
            table.add_row(severity, kind, str(count), KINDS[kind])
        console.print(table)
    for finding in findings[:shown]:
        style = "red" if finding.severity == ERROR else "yellow"
        console.print(Text.assemble((f"{finding.severity} ", style), f"{finding.kind}: {finding.message}"), soft_wrap=True)
    if len(findings) > shown:
        console.print(f"... and {len(findings) - shown} more: --show 0 prints all, --json as data.")
    errors = sum(count for (severity, _), count in counts.items() if severity == ERROR)
    console.print(f"{rows} rows: {errors} errors, {len(findings) - errors} warnings.")


if __name__ == "__main__":
    main()
