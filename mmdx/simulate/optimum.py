"""The best scores that any model can reach on a population whose log-odds are a mixture of normals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtr

from mmdx.simulate.latent import NODES, WEIGHTS, entropy

SAME = 1e-9
"""Log-odds that differ by less are equal."""


class Atom(NamedTuple):
    """A part of the population in which the log-odds of the diagnosis are ``offset +- D^2 / 2``, up in cases, of variance ``D^2``.

    Attributes:
        case: probability of being diseased and in this part.
        control: of being healthy and in this part.
        offset: log-odds of the diagnosis before the findings.
        square: D^2.
    """

    case: float
    control: float
    offset: float
    square: float


class Scores(NamedTuple):
    """Log-odds of one class: a mixture of normals.

    Attributes:
        weight: of each component, which sum to 1.
        mean: of its log-odds.
        spread: standard deviation, 0 where they are all equal.
    """

    weight: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    def above(self, threshold: np.ndarray) -> np.ndarray:
        """Share at or above each threshold, of the shape of ``threshold``."""
        total = np.zeros_like(threshold)
        for weight, mean, spread in zip(*self, strict=True):
            total += weight * (ndtr((mean - threshold) / spread) if spread > 0 else threshold <= mean + SAME)
        return total


class Population:
    """A population of which the posterior of the recorded target is known.

    Args:
        atoms: its parts; their probabilities are divided by their sum.
        label_noise: probability that the recorded target is not the diagnosis.
    """

    def __init__(self, atoms: Iterable[Atom], label_noise: float = 0.0) -> None:
        merged: dict[tuple[float, float], list[float]] = {}
        for atom in atoms:
            both = merged.setdefault((round(atom.offset, 9), round(atom.square, 9)), [0.0, 0.0])
            both[0] += atom.case
            both[1] += atom.control
        offset, square = np.array(list(merged)).T
        case, control = np.array(list(merged.values())).T / sum(map(sum, merged.values()))
        self.noise = label_noise
        mean, spread = np.concatenate([offset + square / 2, offset - square / 2]), np.sqrt(np.concatenate([square, square]))
        weights = [np.concatenate([w * case, (1 - w) * control]) for w in (1 - label_noise, label_noise)]
        self.prevalence = float(weights[0].sum())
        self.cases, self.controls = (Scores(w[w > 0] / w.sum(), mean[w > 0], spread[w > 0]) for w in weights)

    def recorded(self, log_odds: np.ndarray) -> np.ndarray:
        """Posterior of the recorded target where that of the diagnosis has these log-odds."""
        return np.asarray(self.noise + (1 - 2 * self.noise) * expit(log_odds))

    def auroc(self) -> float:
        """Exact: the difference of the log-odds of a case and of a control is a mixture of normals too,
        ``AUROC = sum_kl w_k v_l Phi((m_k - n_l) / sqrt(s_k^2 + r_l^2))``, which for one part is ``Phi(D / sqrt(2))``."""
        up, down = self.cases, self.controls
        gap = up.mean[:, None] - down.mean[None, :]
        gap[np.abs(gap) < SAME] = 0.0
        spread = np.hypot(up.spread[:, None], down.spread[None, :])
        wins = np.where(spread > 0, ndtr(gap / np.where(spread > 0, spread, 1.0)), 0.5 + 0.5 * np.sign(gap))
        return float(up.weight @ wins @ down.weight)

    def auprc(self) -> float:
        """Average precision, by the trapezoidal rule: error below 1e-6; below 1e-4 where one part is much narrower than another, and
        below 1e-3 where many scores are equal."""
        total = 0.0
        for weight, mean, spread in zip(*self.cases, strict=True):
            threshold = mean + spread * NODES
            found = self.prevalence * self.cases.above(threshold)
            total += weight * float((WEIGHTS * found / (found + (1 - self.prevalence) * self.controls.above(threshold))).sum())
        return float(total)

    def brier(self) -> float:
        """Mean squared error of the posterior, by the trapezoidal rule: error below 1e-9."""
        return self._mean(lambda p: (1 - p) ** 2, self.cases) * self.prevalence + self._mean(lambda p: p**2, self.controls) * (1 - self.prevalence)

    def information(self) -> float:
        """Mutual information of the recorded target and all that is seen, in bits: error below 1e-9."""
        left = self._mean(entropy, self.cases) * self.prevalence + self._mean(entropy, self.controls) * (1 - self.prevalence)
        return max(float(entropy(np.array(self.prevalence))) - left, 0.0)

    def _mean(self, of: Callable[[np.ndarray], np.ndarray], scores: Scores) -> float:
        parts = zip(*scores, strict=True)
        return float(sum(weight * (WEIGHTS * of(self.recorded(mean + spread * NODES))).sum() for weight, mean, spread in parts))

    def channel(self, steps: int = 4000) -> tuple[np.ndarray, np.ndarray]:
        """P(x | 1) and P(x | 0) of the log-odds of this population, cut into steps of equal width, and each value that many share by itself."""
        both = (self.cases, self.controls)
        low, high = (end(end(s.mean + side * 9 * s.spread) for s in both) for end, side in ((min, -1), (max, 1)))
        single = np.concatenate([s.mean[s.spread == 0] for s in both])
        edges = np.unique(np.concatenate([np.linspace(low - 1, high + 1, steps), single - 2 * SAME, single + 2 * SAME]))
        masses = [-np.diff(scores.above(edges)) for scores in (self.cases, self.controls)]
        there = (masses[0] > 0) | (masses[1] > 0)
        return masses[0][there], masses[1][there]

    def scores(self) -> dict[str, float]:
        """``auroc`` (exact), ``auprc`` and ``brier`` of the true posterior."""
        return {"auroc": self.auroc(), "auprc": self.auprc(), "brier": self.brier()}
