"""Calibration slope and intercept (Cox 1958, Biometrika 45:562): logistic regression of an outcome on the logit of its probability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit, logit

EPSILON = 1e-7  # about the step of a 32-bit float below 1
CELL, MANY = 1 / 512, 4000
STEPS = 100
DONE = 1e-5  # of the last step: what remains after it is its square


def clipped(prob: np.ndarray) -> np.ndarray:
    """Probabilities kept 1e-7 away from 0 and 1, where the logarithm of what is impossible would be infinite."""
    return np.clip(prob, EPSILON, 1 - EPSILON)


class CalibrationLine:
    """``slope`` and ``intercept_joint``, fitted together, and ``intercept``, fitted with the slope at 1, for many weightings at once.

    NaN where there is no best line: with one class only, one probability only, or where the probabilities tell the classes apart without a single
    overlap, so that the steeper the line the better. The intercept needs both classes only.

    Newton's method, with the damped step log(1 + d) / d of generalised self-concordant functions (Sun and Tran-Dinh 2019, Math. Program. 178:145;
    d is the largest change of a logit), which cannot overshoot. Of more than 4,000 rows, those of one class within 1/512 of a logit are put
    together at their mean, which changes the slope by less than 1e-6 and keeps the work from growing with the rows.

    Args:
        target: [n] of 0 and 1.
        prob: [n] in 0 to 1; kept ``EPSILON`` away from both ends.
        unit: [n] of 0 to C - 1.
    """

    def __init__(self, target: np.ndarray, prob: np.ndarray, unit: np.ndarray) -> None:
        z = logit(clipped(prob))
        keys = np.stack([z if len(z) <= MANY else np.floor(z / CELL), target == 1], axis=1)
        cells, cell = np.unique(keys, axis=0, return_inverse=True)
        self.positive = cells[:, 1] == 1
        self.z = np.bincount(cell, weights=z) / np.bincount(cell)
        self.rows = csr_matrix((np.ones(len(z)), (cell, unit)), shape=(len(cells), int(unit.max()) + 1))
        self.start: dict[str, float] = {}
        whole = self(np.ones((self.rows.shape[1], 1)))
        self.start = {name: float(values[0]) for name, values in whole.items() if not np.isnan(values[0])}  # resamples begin at the whole's fit

    def __call__(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Values [R] of each metric."""
        weight = self.rows @ np.ascontiguousarray(counts[: self.rows.shape[1]])
        up, down = weight[self.positive] > 0, weight[~self.positive] > 0
        both = up.any(axis=0) & down.any(axis=0)
        line = both & self._overlap(up, down)
        found = {name: np.full(weight.shape[1], np.nan) for name in ("slope", "intercept", "intercept_joint")}
        begin = self.start.get("intercept_joint", 0.0), self.start.get("slope", 1.0)
        found["intercept_joint"][line], found["slope"][line] = self._fit(weight[:, line], begin, _line_step)
        found["intercept"][both] = self._fit(weight[:, both], (self.start.get("intercept", 0.0), 1.0), _shift_step)[0]
        return found

    def _overlap(self, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        """Whether each class reaches beyond the other's nearest row, [R]; else a line fits better the steeper it is."""
        (low_up, high_up), (low_down, high_down) = _range(self.z[self.positive], up), _range(self.z[~self.positive], down)
        return (high_down > low_up) & (high_up > low_down)

    def _fit(
        self, weight: np.ndarray, begin: tuple[float, float], step: Callable[..., tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Intercept and slope [R]."""
        columns = weight.shape[1]
        a, b = np.full(columns, begin[0]), np.full(columns, begin[1])
        z, ends = self.z[:, None], np.array([self.z.min(), self.z.max()])[:, None]
        going = np.ones(columns, dtype=bool)
        for _ in range(STEPS):
            if not going.any():
                break
            used = weight[:, going]
            mean = expit(a[going] + b[going] * z)
            da, db = step(self.z, used * (self.positive[:, None] - mean), used * mean * (1 - mean))
            reach = np.abs(da + db * ends).max(axis=0)
            damping = np.log1p(reach) / np.maximum(reach, 1e-300)
            a[going] += damping * da
            b[going] += damping * db
            going[going] = ~(reach < DONE)
        a[going] = b[going] = np.nan
        return a, b


def _range(z: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest of the values [N], in rising order, that are there [N, R]."""
    if not len(z):
        return np.full(there.shape[1], np.inf), np.full(there.shape[1], -np.inf)
    return z[there.argmax(axis=0)], z[len(z) - 1 - there[::-1].argmax(axis=0)]


def _line_step(z: np.ndarray, residual: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's step of intercept and slope, from residuals and curvatures [N, R]."""
    g0, g1 = residual.sum(axis=0), np.einsum("n,nr->r", z, residual)
    h0, h1, h2 = curvature.sum(axis=0), np.einsum("n,nr->r", z, curvature), np.einsum("n,nr->r", z**2, curvature)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = h0 * h2 - h1**2
        return (h2 * g0 - h1 * g1) / area, (h0 * g1 - h1 * g0) / area


def _shift_step(z: np.ndarray, residual: np.ndarray, curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's step of the intercept alone."""
    return residual.sum(axis=0) / curvature.sum(axis=0), np.zeros(residual.shape[1])
