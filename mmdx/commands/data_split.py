"""``mmdx data split SOURCE --out FILE``: draw a split once, and keep it with the cohort that it was drawn for."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mmdx.commands.hydra_app import telling
from mmdx.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from mmdx.data.splits.split_file import SplitFile

DESCRIPTION = """\
Draw a split once and write it to a file, which split=file split.path=FILE then takes its folds from.

SOURCE is a manifest (CSV or Parquet), Hydra overrides such as data=covid_cxr data.root=FOLDER, or both; among the overrides is the split,
such as split=kfold split.folds=5 split.seed=1. No file of the data is read but its table."""


def main() -> None:
    """Write the file and print one table."""
    parser = argparse.ArgumentParser("mmdx data split", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="a manifest, Hydra overrides, or both")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write: .parquet or .csv")
    given = parser.parse_intermixed_args()
    telling(lambda: run(given.source, given.out))


def run(source: list[str], out: Path) -> None:
    """Draw and keep a split.

    Raises:
        InputError: for whatever is wrong with the source or the split, or where the file is there already.
    """
    from mmdx.data.splits.split_file import SUFFIXES

    out = out.expanduser()
    if out.suffix not in SUFFIXES:
        raise InputError(f"--out {out}: must end in {' or '.join(SUFFIXES)}.")
    if out.exists():
        raise InputError(f"--out {out}: is there already, and a split is drawn once; give another name, or remove it.")
    kept = drawn(source)
    try:
        kept.write(out)
    except OSError as fault:
        raise InputError(f"--out {out}: cannot be written ({fault.strerror or fault}).") from None
    print(summary(kept).to_string(index=False))
    samples, inner = len(kept.cohort), kept.frame.loc[kept.frame["inner"] != "", "inner"].nunique()
    if inner:
        print(f"and {inner} inner folds.")
    print(f"cohort of {samples} samples, fingerprint {kept.fingerprint}")
    print(f"Use it with split=file split.path={shlex.quote(str(out))}")


def drawn(source: list[str]) -> SplitFile:
    """The split that a source names, drawn.

    Raises:
        InputError: for whatever is wrong with the source or the split.
    """
    from mmdx.commands.data_leakage import config_of

    cfg = config_of(source)
    from mmdx.configuration import select
    from mmdx.data.prepare import stop_or_quarantine
    from mmdx.data.splits import Saved
    from mmdx.data.splits.split_file import SplitFile
    from mmdx.parts import dataset_from, split_from

    if select(cfg, "split.fold", None) is not None:
        raise InputError(f"split.fold={cfg.split.fold}: a split is drawn with all its folds; leave it out, and give it to the run.")
    split = split_from(cfg.split)
    if isinstance(split, Saved):
        raise InputError("split=file: is drawn already; name the split to draw, such as split=kfold.")
    dataset = dataset_from(cfg)
    stop_or_quarantine(list(getattr(dataset, "faults", [])), cfg.data.on_error)
    return SplitFile.of(split, dataset.table, select(cfg, "split", {}))


MOST_CLASSES = 20


def summary(kept: SplitFile) -> pd.DataFrame:
    """One row a fold and part: rows, known patients and sites where there are any, and the share of the positive or of each class, or of each
    label among the rows that are labelled."""
    import pandas as pd

    from mmdx.data.splits import PARTS
    from mmdx.data.splits.split_file import LEFT_OUT

    outer = kept.frame[kept.frame["inner"] == ""]
    counted = [name for name in ("patient_id", "site") if (outer[name] != "").any()]
    classes = {name: sorted(set(outer[name]) - {""}) for name in map(str, outer) if name.startswith("target")}
    classes = {name: values for name, values in classes.items() if len(values) <= MOST_CLASSES}  # more are numbers
    told = {place: _described(rows, counted, classes) for place, rows in outer.groupby(["fold", "part"], sort=False, observed=True)}
    places = [(fold, part) for fold in outer["fold"].unique() for part in (*PARTS, LEFT_OUT) if (fold, part) in told]
    return pd.DataFrame([{"fold": fold, "part": part, **told[fold, part]} for fold, part in places])


def _described(rows: pd.DataFrame, counted: list[str], classes: dict[str, list[str]]) -> dict[str, object]:
    said: dict[str, object] = {"rows": len(rows)}
    for name in counted:
        said[f"{name.removesuffix('_id')}s"] = rows.loc[rows[name] != "", name].nunique()
    for name, values in classes.items():
        label, labelled = name.removeprefix("target").removeprefix("_"), rows.loc[rows[name] != "", name]
        for value in ["1"] if label or values == ["0", "1"] else values:
            said[label or ("positive" if value == "1" else value)] = f"{100 * (labelled == value).mean():.1f} %" if len(labelled) else ""
    return said


if __name__ == "__main__":
    main()
