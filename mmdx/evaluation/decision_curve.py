"""Decision curve: what acting on a model is worth, over the thresholds at which one might act (Vickers and Elkin 2006, Med. Decis. Making 26:565)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import vstack

from mmdx.evaluation.calibration import check_outcome, totals
from mmdx.evaluation.metrics import weighted

THRESHOLDS = np.arange(1, 100) / 100


class NetBenefit:
    """Net benefit at each threshold, true positives / n - false positives / n * t / (1 - t), where a row is acted on with ``prob >= t``.

    t is the probability at which acting and not acting are worth the same, so that t / (1 - t) is the harm of acting on one healthy person as a
    share of the good of acting on one ill. Acting on nobody is worth 0, on everybody the prevalence less (1 - prevalence) t / (1 - t).

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
        thresholds: [T] rising, between 0 and 1, both left out.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> None:
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        outcome = np.asarray(target, dtype=np.float64)
        reached = np.searchsorted(self.thresholds, np.asarray(prob, dtype=np.float64), side="right")  # how many of them the row is acted on at
        place = np.append(reached, len(self.thresholds))  # so that each number of thresholds has its line
        self.sums = vstack([totals(place, np.append(unit, 0), np.append(column, 0.0)) for column in (outcome, 1 - outcome)]).tocsr()

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] at each threshold, named by it, such as ``"0.05"``."""
        sums = self.sums @ np.ascontiguousarray(counts[: self.sums.shape[1]])
        number = len(self.thresholds)
        ill, healthy = (part[::-1].cumsum(axis=0)[::-1] for part in (sums[: number + 1], sums[number + 1 :]))  # that reach k or more thresholds
        n = np.where(ill[0] + healthy[0] > 0, ill[0] + healthy[0], np.nan)
        odds = (self.thresholds / (1 - self.thresholds))[:, None]
        return dict(zip(threshold_names(self.thresholds), (ill[1:] - healthy[1:] * odds) / n, strict=True))


def threshold_names(thresholds: np.ndarray) -> list[str]:
    """What ``NetBenefit`` calls its thresholds."""
    return [f"{t:g}" for t in thresholds]


def net_benefit(target: np.ndarray, prob: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit [T] of acting by a model and of acting on everybody, as described at ``NetBenefit``.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1.
        thresholds: [T] rising, between 0 and 1, both left out.

    Raises:
        InputError: where there is no row, lengths differ, a target is not 0 or 1 or a probability is not within 0 to 1.
    """
    target, prob = check_outcome("net_benefit", target, prob)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    found = weighted(NetBenefit(target, prob, np.arange(len(prob)), thresholds), np.ones(len(prob)))
    everybody = target.mean() - (1 - target.mean()) * thresholds / (1 - thresholds)
    return np.array([found[name] for name in threshold_names(thresholds)]), everybody
