"""``mmdx data leakage SOURCE``: can the target be had without the medicine?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mmdx.commands.data_source import composed, overrides_of
from mmdx.commands.hydra_app import telling
from mmdx.errors import InputError

EPILOG = """\
SOURCE is a manifest (CSV or Parquet) or Hydra overrides: data=covid_cxr data.root=FOLDER.  The role of each column is declared by
data.roles={note: report, scanner: acquisition}; names of the diagnosis by data.target_words=[pneumonia].  docs/leakage.md"""


def main() -> None:
    """Print one table, or with ``--json`` one list."""
    parser = argparse.ArgumentParser("mmdx data leakage", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", metavar="SOURCE")
    parser.add_argument("--json", action="store_true", help="the rows as JSON, and nothing else")
    parser.add_argument("--seed", type=int, default=0, help="of folds and resamples (0)")
    parser.add_argument("--masks", metavar="FILE", type=Path, help="write what could be taken out of the texts, for data.masks=FILE")
    given = parser.parse_intermixed_args()
    telling(lambda: run(given.source, given.json, given.seed, given.masks))


def run(source: list[str], as_json: bool, seed: int, masks: Path | None = None) -> None:
    """Audit a source; exits with 1 where there is a leak.

    Raises:
        InputError: for whatever is wrong with the source.
    """
    if seed < 0:
        raise InputError(f"--seed {seed}: must be 0 or more.")
    cfg = config_of(source)
    from mmdx.audit.leakage import Audit
    from mmdx.configuration import select
    from mmdx.data.masking import read_masks
    from mmdx.parts import dataset_from

    in_force = read_masks(select(cfg, "data.masks", None))
    cfg.data.pop("masks", None)  # the audit takes them out itself, of the source's columns too
    dataset = dataset_from(cfg)

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)

    audit = Audit(dataset, select(cfg, "data.roles", None) or {}, select(cfg, "data.target_words", None) or [], seed, tell, in_force)
    rows = audit.rows()
    tell("")
    if masks is not None:
        write_masks(masks, audit.proposed_masks(rows), "split" in dataset.table)
    if as_json:
        print(json.dumps(rows, indent=1, allow_nan=False))
    else:
        show(rows)
    if any(row["verdict"] == "leak" for row in rows):
        sys.exit(1)


def config_of(source: list[str]) -> Any:
    """The config that a manifest's path or overrides make."""
    from mmdx.configuration import check_data, check_targets, check_values, resolved

    cfg = resolved(composed(overrides_of(source)))
    check_values(cfg)
    check_targets(cfg)
    check_data(cfg)
    return cfg


def write_masks(path: Path, masks: dict[str, list[str]], has_split: bool) -> None:
    """Write proposed masks, and say on the error stream what was written.

    Raises:
        InputError: where there is nothing to mask, or the file cannot be written.
    """
    if not masks:
        raise InputError(f"--masks {path}: nothing to mask; there is no modality of texts, or data.target_words and the classes name no word.")
    from mmdx.files import write_json

    try:
        write_json(path, masks)
    except OSError as fault:
        raise InputError(f"--masks {path}: cannot be written ({fault.strerror}).") from None
    said = ", ".join(f"{len(words)} words and terms of {name}" for name, words in masks.items())
    learnt = "" if has_split else "  N-grams are learnt from training rows only, which a column split would name: these are the target's names alone."
    print(f"{path}: {said}; train without them by data.masks={path}.{learnt}", file=sys.stderr)


def show(rows: list[dict[str, Any]]) -> None:
    """One line a row, and below what to do about those that are not ok."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold")
    for name in ("asked", "role", "AUROC", "95 % interval", "n", "p", "verdict"):
        table.add_column(name, justify="right" if name in ("AUROC", "n", "p") else "left")
    colour = {"ok": "green", "suspect": "yellow", "leak": "red"}
    for row in rows:
        value = "not measured" if row["auroc"] is None else f"{row['auroc']:.3f}"
        low = "" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        p = "" if row["p"] is None else f"{row['p']:.3f}"
        table.add_row(row["feature"], row["role"], value, low, str(row["n"]), p, f"[{colour[row['verdict']]}]{row['verdict']}[/]")
    console.print(table)
    for row in rows:
        if row["verdict"] != "ok":
            console.print(f"{row['feature']}: {row['advice']}.", markup=False)
        if row.get("names_the_target"):
            console.print(f"{row['feature']}: {row['names_the_target']} texts name the target.", markup=False)
        if row.get("terms") and row["verdict"] != "ok":
            console.print(f"{row['feature']}: carried by {', '.join(row['terms'])}.", markup=False)


if __name__ == "__main__":
    main()
