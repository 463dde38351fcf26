"""The reference for heart sounds: hand-made spectral statistics and extremely randomised trees (Geurts et al. 2006, Mach. Learn. 63:3).

    python scripts/pcg_reference.py data/physionet2016
    python scripts/pcg_reference.py data/physionet2016 --folds-from runs/pcg/TIME/predictions.parquet

With a run's predictions, on the run's own test folds; without, on five folds stratified by label and sub-database. Then once more with
each sub-database left out. Prints the pooled AUROC and the mean of the AUROCs within the sub-databases. About a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from mmdx.data.physionet2016 import Physionet2016
from mmdx.encoders.heart_sound import HeartSoundFrontEnd
from mmdx.encoders.log_mel import MelSpectrum
from mmdx.encoders.spectral import Statistics
from mmdx.errors import InputError

TREES = 1000


def main(root: Path, predictions: Path | None, seed: int) -> None:
    dataset = Physionet2016(root)
    target, site = dataset.table["target"].to_numpy(int), dataset.table["site"].to_numpy(str)
    folds = five_folds(target, site, seed) if predictions is None else folds_of_run(predictions, dataset.table["sample_id"])
    statistics = measure(dataset)
    print(f"{len(target)} recordings, {statistics.shape[1]} statistics, {TREES} trees; AUROC")
    report("folds of the run" if predictions else "five folds", out_of_fold(statistics, target, folds), target, site)
    report("leave one database out", out_of_fold(statistics, target, site), target, site)


def measure(dataset: Physionet2016) -> np.ndarray:
    """Statistics [n, F] of each recording at its full band: what the sensors let through above 400 Hz tells something too."""
    front_end = HeartSoundFrontEnd(rate=None, band=None, spikes=False)
    statistics = Statistics(MelSpectrum(low=10, high=1000))
    return np.stack([statistics(front_end(dataset[i].inputs["audio"])) for i in range(len(dataset))])


def five_folds(target: np.ndarray, site: np.ndarray, seed: int) -> np.ndarray:
    """Test fold of each recording [n], stratified by label and sub-database."""
    strata = [f"{label}{database}" for label, database in zip(target, site, strict=True)]
    folds = np.zeros(len(target), dtype=int)
    for fold, (_, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=seed).split(target, strata)):
        folds[test] = fold
    return folds


def folds_of_run(predictions: Path, sample_ids: pd.Series) -> np.ndarray:
    """Test fold of each recording [n] in a run's predictions.

    Raises:
        InputError: where the file has no folds, or not one for each recording.
    """
    rows = pd.read_parquet(predictions)
    if "fold" not in rows:
        raise InputError(f"{predictions}: has no column 'fold'; give the predictions of a run with split=kfold.")
    fold = rows[rows["split"] == "test"].drop_duplicates("sample_id").set_index("sample_id")["fold"]
    missing = sorted(set(sample_ids) - set(fold.index))
    if missing:
        raise InputError(f"{predictions}: no test fold for {len(missing)} recordings, such as {missing[0]}; give a run on all of ROOT.")
    return fold.loc[sample_ids].to_numpy()


def out_of_fold(statistics: np.ndarray, target: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Probability of each recording [n] by trees that were grown on the other folds."""
    probability = np.zeros(len(target))
    for fold in np.unique(folds):
        test = folds == fold
        trees = ExtraTreesClassifier(TREES, random_state=0, n_jobs=-1).fit(statistics[~test], target[~test])
        probability[test] = trees.predict_proba(statistics[test])[:, 1]
    return probability


def report(title: str, probability: np.ndarray, target: np.ndarray, site: np.ndarray) -> None:
    inside = {s: roc_auc_score(target[site == s], probability[site == s]) for s in np.unique(site)}
    each = ", ".join(f"{s} {value:.3f}" for s, value in inside.items())
    print(f"{title}: pooled {roc_auc_score(target, probability):.3f}, within databases {np.mean(list(inside.values())):.3f} ({each})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds training-a, training-b, ...")
    parser.add_argument("--folds-from", type=Path, metavar="PREDICTIONS", help="predictions.parquet of a run, for its test folds")
    parser.add_argument("--seed", type=int, default=0, help="of the five folds, without a run")
    arguments = parser.parse_args()
    try:
        main(arguments.root, arguments.folds_from, arguments.seed)
    except InputError as fault:
        sys.exit(str(fault))
