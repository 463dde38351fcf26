"""Whether a target goes with something at all: a permutation test over patients, and Holm's correction for how much was asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_matrix

from mmdx.audit.encode import FEWEST
from mmdx.audit.probes import Question

PERMUTATIONS, AT_ONCE, ENTRIES = 1999, 200, 2**22
"""So many permutations; so many at once, or as many as have this many entries."""


def p_value(inputs: csr_matrix, question: Question) -> float:
    """P-value of the hypothesis that the target has nothing to do with any column of the inputs [n, W].

    The statistic is the score test's of logistic regression whose weights have one normal prior, as ridge regression's have (Goeman, van de
    Geer and van Houwelingen 2006, J R Stat Soc B 68:477): the squared covariances of outcomes and columns, summed, every patient counting
    as one however many rows there are. Its distribution comes from permuted targets: a patient's mean target goes to another patient, and
    what a patient's rows differ by is dealt out anew among them. No model is fitted and no fold drawn, so the error rate is the test's own
    at any number of patients. The permutations are always the same: a verdict is not to hang on a draw.
    """
    share = 1 / np.bincount(question.groups)[question.groups]  # of a row in its patient
    columns = csr_matrix(inputs, dtype=np.float64)
    columns = csr_matrix(columns[:, columns.getnnz(axis=0) >= FEWEST].T)
    centre = columns @ share / share.sum()
    weighted = csr_matrix(columns.multiply(share))
    known = ~np.isnan(question.target)
    centred = question.target - np.nansum(question.target * share[:, None], axis=0) / (known * share[:, None]).sum(axis=0)
    statistics = []
    for drawn in _permuted(np.where(known, centred, 0.0), question.groups, np.random.default_rng(0)):  # [R, n, K]
        covariances = [weighted @ outcome.T - np.outer(centre, outcome @ share) for outcome in np.moveaxis(drawn, 2, 0)]
        statistics.append(np.sum([(c**2).sum(axis=0) for c in covariances], axis=0))
    found = np.concatenate(statistics)
    return float((found >= found[0] * (1 - 1e-9)).mean())


def _permuted(target: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The target [n, K] itself, then permuted ones, as blocks [R, n, K]."""
    sizes = np.bincount(groups)
    means = np.stack([np.bincount(groups, column) for column in target.T], axis=1) / sizes[:, None]
    rest, by_patient = target - means[groups], np.argsort(groups, kind="stable")
    at_once = max(1, min(AT_ONCE, ENTRIES // target.size))
    yield target[None]
    for start in range(0, PERMUTATIONS, at_once):
        order = rng.permuted(np.tile(np.arange(len(sizes)), (min(at_once, PERMUTATIONS - start), 1)), axis=1)
        block = means[order[:, groups]]
        if np.abs(rest).max() > 1e-12:
            for drawn in block:
                drawn[by_patient] += rest[np.lexsort((rng.random(len(groups)), groups))]
        yield block
