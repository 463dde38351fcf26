"""A finished run with frozen encoders against logistic regression on the same features, folds and rows.

    python scripts/logistic_reference.py RUN [--data-root FOLDER]

The features are those that the run's frozen encoders give. Logistic regression (scikit-learn, L2) sees each modality's features standardised on
its training rows, zeros where the modality is absent, and one indicator of presence. It is fitted twice: on the rows that the run trained on, and on
training and validation rows; with C=0.01 and with C chosen by inner folds grouped by patient. Prints AUROC of both sides, and the paired
difference with its 95 % interval, resampled by patient.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmdx.evaluation.intervals import compare_auroc
from mmdx.parts import study_from
from mmdx.training.predict import subset_name, subsets

STRENGTHS = {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0]}


def features_of(study, modality: str) -> np.ndarray:
    """Pooled features [n, D + 1] of every row, zeros where absent, the last column saying whether it is there."""
    width = study.model.encoders[modality].transform.mean.shape[0]
    out = np.zeros((len(study.dataset), width + 1), np.float32)
    for row in study.rows:
        for tokens, mask in study.cohort[int(row)][modality]:
            out[row, :-1], out[row, -1] = tokens[mask].mean(axis=0), 1.0
    return out


def logistic(features: np.ndarray, target: np.ndarray, groups: np.ndarray, train: np.ndarray, test: np.ndarray, tuned: bool) -> np.ndarray:
    """Probabilities of the test rows; a tuned strength of regularisation is chosen on the training rows alone."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    if tuned:
        inner = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(train, target[train], groups[train]))
        model = GridSearchCV(model, STRENGTHS, scoring="roc_auc", cv=inner)
    return model.fit(features[train], target[train]).predict_proba(features[test])[:, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-root")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    cfg = OmegaConf.load(given.run / "config.yaml")
    if given.data_root:
        cfg.data.root = given.data_root
    study = study_from(cfg, given.run)
    study.prepare()
    table = study.dataset.table
    groups = pd.factorize(table["patient_id"].fillna(table["sample_id"]))[0]
    predictions = pd.read_parquet(given.run / "predictions.parquet")
    fused = predictions[(predictions["split"] == "test") & (predictions["ablation"] == "offered")]
    features = {m: features_of(study, m) for m in study.model.encoders}
    place = pd.Series(np.arange(len(table)), index=table["sample_id"])
    for m in features:
        here = features[m][:, -1] > 0
        if not here[study.rows].all():
            with_it, without = (study.target[study.rows][part].mean() for part in (here[study.rows], ~here[study.rows]))
            print(f"{m}: {with_it:.0%} of the rows that have it are positive, {without:.0%} of those that lack it")
    print("logistic regression sees the run's own folds, features and rows; unit of the intervals: patient")
    for subset in subsets(features):
        rows = fused[fused["modalities"] == subset_name(subset)]
        order = place[rows["sample_id"]].to_numpy()
        joined = np.concatenate([features[m] for m in subset], axis=1)
        usable = study.cohort.rows_with(subset)
        print(f"{subset_name(subset)}: run {roc_auc_score(rows['target'], rows['prob']):.3f}, {len(rows)} rows")
        for with_val, tuned in ((False, False), (False, True), (True, False), (True, True)):
            reference = np.full(len(table), np.nan)
            for fold in study.folds():
                train = np.concatenate([fold.train, fold.val]) if with_val else fold.train
                train, test = train[usable[train]], fold.test[usable[fold.test]]
                reference[test] = logistic(joined, study.target.astype(int), groups, train, test, tuned)
            difference = compare_auroc(rows["prob"].to_numpy(), reference[order], rows["target"].to_numpy(), groups[order])
            words = f"{'training and validation' if with_val else 'training'} rows, C {'chosen inside' if tuned else '0.01'}"
            print(
                f"  logistic regression on {words:46} {roc_auc_score(rows['target'], reference[order]):.3f}  difference "
                f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}], {difference['n_units']} patients",
                flush=True,
            )


if __name__ == "__main__":
    main()
