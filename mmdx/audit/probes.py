"""How well a target can be had from something, out of fold: simple probes, patients kept whole, an interval over patients."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

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


def count_words(texts: Sequence[str]) -> tuple[csr_matrix, np.ndarray]:
    """Counts [n, W] of words and pairs of words that are in two texts or more, and their names [W].

    Which words there are is taken from all texts, test rows too: no label is in that, and it is counted once for all folds.
    """
    counter = CountVectorizer(ngram_range=(1, 2), min_df=2, strip_accents="unicode", max_features=50_000)
    try:
        counts = counter.fit_transform(texts)
    except ValueError:  # no word is in two texts
        return csr_matrix((len(texts), 1)), np.array([""])
    return counts.tocsr(), counter.get_feature_names_out()


def text_probe() -> Pipeline:
    """TF-IDF of counted words, and logistic regression."""
    return make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, solver="liblinear"))


def table_probe(leaf: int = 5) -> Pipeline:
    """Numbers and categories, missing ones as such, and extremely randomised trees with leaves of at least ``leaf`` rows."""
    columns = make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, max_categories=50), make_column_selector(dtype_exclude=np.number)),
    )
    trees = ExtraTreesClassifier(100, min_samples_leaf=leaf, class_weight="balanced", bootstrap=True, random_state=0, n_jobs=1)
    return make_pipeline(columns, trees)


def content_probe() -> Pipeline:
    """As ``table_probe``, for the many columns that describe a sound or a picture."""
    return table_probe(leaf=2)


class Scored(NamedTuple):
    """Scores of the test rows of one fold, by models that saw no row of their patients.

    Attributes:
        rows: [m], positions among the rows asked.
        scores: [m, K].
    """

    rows: np.ndarray
    scores: np.ndarray


def out_of_fold(probe: Callable[[], Pipeline], inputs: Any, question: Question, seed: int) -> list[Scored]:
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
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=REPEATS * seed + repeat)
        for train, test in split.split(question.strata, question.strata, question.groups):
            scores = np.zeros((len(test), len(question.names)))
            for k in range(len(question.names)):
                known = train[~np.isnan(question.target[train, k])]
                scores[:, k] = _scores(probe(), inputs, question.target[known, k], known, test)
            scored.append(Scored(test, scores))
    return scored


def auroc(scored: Sequence[Scored], question: Question, seed: int = 0) -> Interval:
    """Mean over folds and outcomes of the AUROC within a fold, with its 95 % interval over patients.

    Scores of two folds come from two models and are never compared: pooled, they would put a column without information below 0.5, and
    ranks within folds would put a column of few values above its due.
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

    return bootstrap(mean, int(question.groups.max()) + 1, len(question.groups), RESAMPLES, seed)["auroc"]


def accuracy(scored: Sequence[Scored], question: Question) -> float:
    """Share of rows whose most probable outcome is theirs."""
    right = [
        (np.argmax(scores, axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)) == question.strata[rows] for rows, scores in scored
    ]
    return float(np.concatenate(right).mean())


def _scores(model: Pipeline, inputs: Any, target: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    if len(np.unique(target)) < 2:
        return np.zeros(len(test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(take(inputs, train), target).predict_proba(take(inputs, test))[:, 1]


def take(inputs: Any, rows: np.ndarray) -> Any:
    """Some rows of a frame, an array or a sparse matrix."""
    return inputs.iloc[rows] if isinstance(inputs, pd.DataFrame) else inputs[rows]

