"""How well a target can be had from something, out of fold: simple probes, patients kept whole, an interval over patients."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from mmdx.errors import InputError
from mmdx.evaluation.intervals import Interval, bootstrap
from mmdx.evaluation.metrics import BinaryMetrics

FOLDS, REPEATS, RESAMPLES = 5, 3, 500


@dataclass(frozen=True)
class Question:
    """What is to be predicted, and for whom.

    Attributes:
        names: of the K outcomes; one for a binary target.
        target: [n, K] of 1, 0 and NaN (not known).
        strata: [n], what folds are stratified by.
        groups: [n], patients, or rows where patients are not known.
    """

    names: tuple[str, ...]
    target: np.ndarray
    strata: np.ndarray
    groups: np.ndarray

    def of(self, rows: np.ndarray) -> Question:
        """The question for some rows only, whose patients are numbered anew, so that none is drawn who has no row."""
        return Question(self.names, self.target[rows], self.strata[rows], np.unique(self.groups[rows], return_inverse=True)[1])


def question_of(labels: pd.DataFrame | pd.Series, groups: np.ndarray) -> Question:
    """The question that a target column, or several columns of 1, 0, -1 and missing, put.

    Raises:
        InputError: where there is one class only.
    """
    if isinstance(labels, pd.DataFrame):
        target = labels.astype(float).where(labels.isin([0, 1])).to_numpy()
        names = [str(c).removeprefix("target_") for c in labels]
        strata = np.where(np.nansum(target, axis=1) > 0, np.nanargmax(np.nan_to_num(target), axis=1) + 1, 0)
    else:
        codes, values = pd.factorize(labels, sort=True)
        if len(values) < 2:
            raise InputError(f"leakage: every sample has the target {values[0] if len(values) else 'none'}; two classes are needed.")
        names = [str(value) for value in values]
        target = (codes[:, None] == np.arange(len(values))).astype(float)
        strata = codes
        if len(values) == 2:
            names, target = names[1:], target[:, 1:]
    return Question(tuple(names), target, strata, pd.factorize(np.asarray(groups))[0])


def probe() -> LogisticRegression:
    """Ridge logistic regression: of one column the shrunk rate of each of its values, of a text the weight of its words."""
    return LogisticRegression(C=0.5, class_weight="balanced", max_iter=1000, solver="liblinear")


class Scored(NamedTuple):
    """Scores of the test rows of one fold, by models that saw no row of their patients.

    Attributes:
        rows: [m], positions among the rows asked.
        scores: [m, K].
    """

    rows: np.ndarray
    scores: np.ndarray


def out_of_fold(inputs: csr_matrix, question: Question, seed: int) -> list[Scored]:
    """Scores of every row, once in each repeat.

    Raises:
        InputError: where there are fewer than two patients of a class.
    """
    rows = len(question.groups)
    folds = min(FOLDS, *(len(np.unique(question.groups[question.strata == s])) for s in np.unique(question.strata)), rows)
    if folds < 2:
        raise InputError("leakage: a class of fewer than two patients cannot be cross-validated; leave it out or join it with another.")
    scored = []
    for repeat in range(REPEATS):
        for train, test in _dealt(_bytes(question.strata), _bytes(question.groups), folds, REPEATS * seed + repeat):
            scores = np.zeros((len(test), len(question.names)))
            for k in range(len(question.names)):
                known = train[~np.isnan(question.target[train, k])]
                scores[:, k] = _scores(inputs, question.target[known, k], known, test)
            scored.append(Scored(test, scores))
    return scored


def auroc(scored: Sequence[Scored], question: Question, seed: int = 0) -> Interval:
    """Mean over folds and outcomes of the AUROC within a fold, with its 95 % interval over patients.

    Scores of two folds come from two models and are never compared: pooled, they would put a column without information below 0.5, and
    ranks within folds would put a column of few values above its due.

    The bootstrap takes the models as given. That each patient also trains the models of other folds adds to the variance; of the corrections
    for it that of Nadeau and Bengio (2003, Machine Learning 52:239, equation 9) is used: of k folds, 1 + k / (k - 1) times the variance. The
    ends are moved out by its root in log odds, within which they cannot leave 0 to 1.
    """
    parts = []
    for rows, scores in scored:
        for k in range(len(question.names)):
            known = ~np.isnan(question.target[rows, k])
            target = question.target[rows[known], k]
            if len(np.unique(target)) == 2:
                parts.append(BinaryMetrics(target, scores[known, k], question.groups[rows[known]], names=("auroc",)))
    if not parts:
        return Interval(float("nan"))

    def mean(counts: np.ndarray) -> dict[str, np.ndarray]:
        found = np.array([part(counts[: len(next(iter(part.totals.values())))])["auroc"] for part in parts])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a resample in which no fold has both classes
            return {"auroc": np.nanmean(found, axis=0)}

    found = bootstrap(mean, int(question.groups.max()) + 1, len(question.groups), RESAMPLES, seed)["auroc"]
    trained_on = 1 - sum(len(rows) for rows, _ in scored) / len(scored) / len(question.groups)
    return widened(found, float(np.sqrt(1 + 1 / trained_on)))


def widened(found: Interval, factor: float) -> Interval:
    """An interval of something from 0 to 1, its ends so many times as far from the value in log odds."""
    if not 0 < found.value < 1:
        return found
    centre = logit(found.value)
    low, high = (float(expit(centre + factor * (logit(np.clip(end, 0, 1)) - centre))) for end in (found.low, found.high))
    return replace(found, low=low, high=high)


def accuracy(scored: Sequence[Scored], question: Question) -> float:
    """Share of rows whose most probable outcome is theirs."""
    right = [
        (np.argmax(scores, axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)) == question.strata[rows] for rows, scores in scored
    ]
    return float(np.concatenate(right).mean())


@lru_cache(maxsize=4 * REPEATS)
def _dealt(strata: bytes, groups: bytes, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to train and to test on; drawing takes longer than a probe, and most questions are about the same rows."""
    labels, patients = (np.frombuffer(codes, dtype=np.int64) for codes in (strata, groups))
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, patients))


def _bytes(codes: np.ndarray) -> bytes:
    return codes.astype(np.int64).tobytes()


def _scores(inputs: csr_matrix, target: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    if len(np.unique(target)) < 2:
        return np.zeros(len(test))
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore")
        return np.asarray(probe().fit(inputs[train], target).predict_proba(inputs[test])[:, 1])

