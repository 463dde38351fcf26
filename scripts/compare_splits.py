"""How evenly, and how fast, k folds are drawn: mmdx's own deal beside scikit-learn's splitters and iterative stratification.

    python scripts/compare_splits.py --data FOLDER [--rows 100000] [--seeds 5]

FOLDER holds covid-cxr, physionet2016 and openi-reports; those that aren't there are left out. The generated cohorts have 0.4 patients a row, 20
sites and one label, or 14 labels of 1 to 40 %. Iterative stratification (Sechidis et al. 2011) takes no groups and needs:
pip install iterative-stratification

One line a cohort and method, the worst of all folds and seeds: the deviation of a label's share in a fold from its share in the cohort, in
percentage points; how far a fold's number of such rows is from its fifth, in rows and relative to it; the same for a label within its site, in
rows; the difference between the largest and the smallest fold, in rows; patients on both sides; and the median time on one core.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from mmdx.data.covid_cxr import CovidCxr
from mmdx.data.openi_reports import OpeniReports
from mmdx.data.physionet2016 import Physionet2016
from mmdx.data.splits import KFold
from mmdx.data.stratify import Cohort

FOLDS = 5
Parts = list[np.ndarray]


def generated(rows: int, labels: int) -> pd.DataFrame:
    """A cohort whose patients differ in site, number of rows and risk."""
    rng = np.random.default_rng(0)
    owner, patients = rng.integers(0, max(1, int(0.4 * rows)), rows), max(1, int(0.4 * rows))
    site, risk = rng.integers(0, 20, patients), rng.gamma(1.0, 1.0, patients)
    ids = {"sample_id": [f"s{i}" for i in range(rows)], "patient_id": [f"p{i}" for i in owner]}
    shares = [0.3] if labels == 1 else np.geomspace(0.01, 0.4, labels)
    drawn = {f"target_{i}": (rng.random(rows) < share * risk[owner]).astype(int) for i, share in enumerate(shares)}
    return pd.DataFrame({**ids, "site": [f"hospital {i}" for i in site[owner]], **({"target": drawn["target_0"]} if labels == 1 else drawn)})


def cohorts(data: Path | None, rows: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Names and tables."""
    real = {
        "covid_cxr": ("covid-cxr", lambda root: CovidCxr(root)),
        "physionet2016": ("physionet2016", lambda root: Physionet2016(root)),
        "openi problems": ("openi-reports", lambda root: OpeniReports(root, target="problems", problems=20)),
    }
    for name, (folder, load) in real.items():
        if data and (data / folder).is_dir():
            yield name, load(data / folder).table
    yield f"generated, {rows} rows", generated(rows, 1)
    yield f"generated, {rows} rows, 14 labels", generated(rows, 14)


def methods(table: pd.DataFrame) -> dict[str, Callable[[int], Parts]]:
    """Of each method that takes such a table, test parts by seed."""
    cohort, grouped = Cohort.of(table, None), table["patient_id"].duplicated(keep=False).any() and table["patient_id"].notna().any()
    groups = cohort.groups if grouped else None
    made = {"mmdx": lambda seed: [fold.test for fold in KFold(FOLDS, seed=seed).folds(table)]}
    theirs = StratifiedGroupKFold if grouped else StratifiedKFold
    several = cohort.labels.ndim == 2
    kinds = {"rarest label" if several else "label": cohort.label, "label in site": cohort.stratum}
    for kind, strata in kinds.items():
        if kind != "label in site" or table["site"].notna().any():
            made[f"{theirs.__name__}, {kind}"] = lambda seed, y=strata: _tested(theirs(FOLDS, shuffle=True, random_state=seed), y, groups)
    if several:
        try:
            from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
        except ImportError:
            print("iterative stratification is left out: pip install iterative-stratification")
        else:
            made["iterative stratification"] = lambda seed: _tested(
                MultilabelStratifiedKFold(FOLDS, shuffle=True, random_state=seed), (cohort.labels == 1).astype(int), None
            )
    return made


def _tested(splitter: object, strata: np.ndarray, groups: np.ndarray | None) -> Parts:
    return [test for _, test in splitter.split(strata, strata, groups)]


def measure(table: pd.DataFrame, parts: Parts) -> dict[str, float]:
    """How uneven some folds are."""
    cohort = Cohort.of(table, None)
    positive, stratum = (cohort.labels == 1).reshape(len(table), -1), cohort.stratum  # [n, L], [n]
    counts = np.array([positive[part].sum(axis=0) for part in parts])
    strata = np.array([np.bincount(stratum[part], minlength=stratum.max() + 1) for part in parts])
    sizes, fair = np.array([len(part) for part in parts]), positive.sum(axis=0) / FOLDS
    sides = pd.Series(np.repeat(np.arange(FOLDS), sizes)).groupby(table["patient_id"].iloc[np.concatenate(parts)].to_numpy()).nunique()
    return {
        "share, points": 100 * np.abs(counts / sizes[:, None] - positive.mean(axis=0)).max(),
        "label, rows": np.abs(counts - fair).max(),
        "label, %": 100 * (np.abs(counts - fair) / fair).max(),
        "in site, rows": np.abs(strata - np.bincount(stratum) / FOLDS).max(),
        "fold sizes": np.ptp(sizes),
        "split patients": (sides > 1).sum(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=100_000, help="of the generated cohorts (100000)")
    parser.add_argument("--seeds", type=int, default=5, help="draws of each real cohort; the generated ones are drawn once (5)")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class")  # scikit-learn's, on strata smaller than the number of folds
    for name, table in cohorts(given.data, given.rows):
        for method, draw in methods(table).items():
            measured, seconds = [], []
            for seed in range(1 if name.startswith("generated") else given.seeds):
                start = time.process_time()
                parts = draw(seed)
                seconds.append(time.process_time() - start)
                measured.append(measure(table, parts))
            worst = pd.DataFrame(measured).max()
            told = "  ".join(f"{key} {value:.3g}" for key, value in worst.items())
            print(f"{name:36} {method:38} {told}  {np.median(seconds):.2f} s", flush=True)


if __name__ == "__main__":
    main()
