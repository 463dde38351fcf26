"""Metrics of a predicted number under row weights, for many weightings at once."""

from __future__ import annotations

import numpy as np

REGRESSION = ("r2", "mae", "rmse", "pearson", "spearman", "ccc")


class RegressionMetrics:
    """Metrics of a number.

    - ``r2``: 1 - sum of squared errors / sum of squared deviations of the target from its mean on the same rows; 0 is what that mean reaches.
    - ``mae``, ``rmse``: mean absolute and root mean squared error, in the unit of the target.
    - ``pearson``, ``spearman``: correlation of values and of mid-ranks.
    - ``ccc``: concordance correlation coefficient ``2 cov / (var_t + var_p + (mean_t - mean_p)^2)``, moments over n (Lin 1989, Biometrics
      45:255).

    A row that a weighting counts twice is two rows of equal value, in ranks too.

    Args:
        target, prediction: [n], finite.
        unit: [n] of 0 to C - 1, the unit that is drawn in resampling and each row belongs to.
    """

    def __init__(self, target: np.ndarray, prediction: np.ndarray, unit: np.ndarray) -> None:
        middle = np.mean(target)
        truth, guess = (np.asarray(column, dtype=np.float64) - middle for column in (target, prediction))
        error = guess - truth
        columns = [np.ones(len(truth)), truth, guess, truth**2, guess**2, truth * guess, np.abs(error), error**2]
        clusters = int(unit.max()) + 1 if len(unit) else 0
        self.totals = np.stack([np.bincount(unit, weights=column, minlength=clusters) for column in columns])  # [8, C]
        self.unit = unit
        self.ranked = [_Ranks(truth), _Ranks(guess)]
        self.least = [1e-24 * max(float(np.max(column**2, initial=0)), 1e-300) for column in (truth + middle, guess + middle)]

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        with np.errstate(invalid="ignore", divide="ignore"):
            sums = self.totals @ counts[: self.totals.shape[1]]
            truth, guess, truth2, guess2, product, absolute, squared = sums[1:] / sums[0]
            spread = [_spread(square - mean**2, least) for square, mean, least in ((truth2, truth, self.least[0]), (guess2, guess, self.least[1]))]
            covariance = product - truth * guess
            return {
                "r2": 1 - squared / spread[0],
                "mae": absolute,
                "rmse": np.sqrt(squared),
                "pearson": covariance / np.sqrt(spread[0] * spread[1]),
                "spearman": self._spearman(counts[self.unit]),
                "ccc": 2 * covariance / (spread[0] + guess2 - guess**2 + (truth - guess) ** 2),
            }

    def _spearman(self, weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=0)
        truth, guess = (ranks(weights) - (total + 1) / 2 for ranks in self.ranked)  # mid-ranks have this mean
        moments = [np.einsum("nr,nr,nr->r", weights, a, b) / total for a, b in ((truth, truth), (guess, guess), (truth, guess))]
        return np.asarray(moments[2] / np.sqrt(_spread(moments[0], 1e-9) * _spread(moments[1], 1e-9)))


class _Ranks:
    """Mid-ranks of fixed values under weights."""

    def __init__(self, values: np.ndarray) -> None:
        self.order = np.argsort(values, kind="stable")
        self.below, self.until = (np.searchsorted(values[self.order], values, side=side) for side in ("left", "right"))  # type: ignore[call-overload]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Ranks [n, R] from weights [n, R]."""
        cumulated = np.zeros((len(weights) + 1, weights.shape[1]))
        np.cumsum(weights[self.order], axis=0, out=cumulated[1:])
        return np.asarray((cumulated[self.below] + cumulated[self.until] + 1) / 2)


def _spread(variance: np.ndarray, least: float) -> np.ndarray:
    """The variance, NaN where it is no more than rounding."""
    return np.where(variance > least, variance, np.nan)
