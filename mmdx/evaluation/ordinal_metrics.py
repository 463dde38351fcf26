"""Metrics of an ordered class under row weights, for many weightings at once."""

from __future__ import annotations

import numpy as np

from mmdx.evaluation.metrics import BinaryMetrics

ORDINAL = ("qwk", "auroc", "mae", "accuracy", "balanced_accuracy", "rps")


class OrdinalMetrics:
    """Metrics of one of K levels, numbered 0 to K - 1 from the lowest to the highest. The predicted level is the one with the highest probability.

    - ``qwk``: Cohen's kappa with weights (i - j)^2 (Cohen 1968, Psychol Bull 70:213).
    - ``auroc``: mean over the K - 1 cuts between levels of the AUROC of P(level > k) for the rows above the cut; over those cuts with rows on both
      sides (one of the measures compared by Waegeman et al. 2008, Pattern Recognit Lett 29:1).
    - ``mae``: mean distance of predicted and true level, in levels.
    - ``accuracy``, ``balanced_accuracy`` (mean recall over the levels that occur).
    - ``rps``: ranked probability score, mean of ``sum_k (P(level <= k) - [true <= k])^2 / (K - 1)``, 0 to 1 (Epstein 1969, J Appl Meteorol 8:985).

    Args:
        target: [n] of 0 to K - 1.
        prob: [n, K].
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        levels, present = prob.shape[1], np.unique(target)
        below, guess = prob.cumsum(axis=1)[:, :-1], prob.argmax(axis=1)
        cuts = [k for k in range(levels - 1) if present[0] <= k < present[-1]]
        self.of_cut = [BinaryMetrics(target > k, np.clip(1 - below[:, k], 0, 1), unit, names=("auroc",)) for k in cuts]
        scored = ((below - (target[:, None] <= np.arange(levels - 1))) ** 2).sum(axis=1) / (levels - 1)
        distance = np.abs(guess - target)
        columns = [np.ones(len(unit)), target, target**2, guess, guess**2, distance, distance**2, guess == target, scored]
        clusters = int(unit.max()) + 1

        def total(column: np.ndarray) -> np.ndarray:
            return np.bincount(unit, weights=column, minlength=clusters)

        self.totals = np.stack([total(column) for column in columns])  # [9, C]
        self.of_level = np.stack([[total((guess == target) & (target == k)), total(target == k)] for k in present])  # [K', 2, C]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        own = counts[: self.totals.shape[1]]
        undefined = np.full(own.shape[1], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows, truth, truth2, guess, guess2, distance, distance2, right, scored = self.totals @ own
            by_chance = (rows * truth2 + rows * guess2 - 2 * truth * guess) / rows  # expected sum of (i - j)^2 from the margins
            recall = self.of_level @ own
            cuts = [statistic(counts)["auroc"] for statistic in self.of_cut]
            return {
                "qwk": np.where(by_chance > 1e-9, 1 - distance2 / by_chance, np.nan),
                "auroc": np.mean(cuts, axis=0) if cuts else undefined,
                "mae": distance / rows,
                "accuracy": right / rows,
                "balanced_accuracy": (recall[:, 0] / recall[:, 1]).mean(axis=0) if len(recall) > 1 else undefined,
                "rps": scored / rows,
            }
