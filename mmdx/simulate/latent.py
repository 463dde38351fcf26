"""The generative model: a diagnosis causes one latent finding in each modality, and the posterior has a closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, expit, logit
from scipy.stats import norm

NODES = np.linspace(-9.0, 9.0, 3601)
WEIGHTS = norm.pdf(NODES) * (NODES[1] - NODES[0])
"""Trapezoidal rule under the standard normal density: its error on the smooth functions here is below 1e-9."""


class LatentFindings:
    """Findings that are jointly Gaussian given the diagnosis.

    ``y ~ Bernoulli(prevalence)``; given y, the finding of modality m is
    ``z_m = (y - 1/2) d_m + sqrt(c) s + sqrt(1 - c) e_m`` with s and all e_m standard normal. So z_m has variance 1, two modalities have
    correlation c among patients with the same diagnosis, and for any set S of modalities, with d_S their separations and C the
    correlation matrix, linear discriminant analysis gives the exact posterior (Hastie et al. 2009, section 4.3):

        ``logit P(y = 1 | z_S) = logit(prevalence) + d_S' C^-1 z_S``,

    which given y is normal with mean ``logit(prevalence) +- D^2 / 2`` and variance ``D^2 = d_S' C^-1 d_S``.

    Args:
        separation: d_m by modality, 0 or more.
        prevalence: P(y = 1), between 0 and 1.
        correlation: c, 0 to below 1.
    """

    def __init__(self, separation: Mapping[str, float], prevalence: float, correlation: float = 0.0) -> None:
        self.separation, self.prevalence, self.correlation = dict(separation), prevalence, correlation

    def draw(self, diagnosis: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
        """Findings of n samples.

        Args:
            diagnosis: y, 0 or 1, [n].
            noise: standard normal, [n, 1 + M]: s, and e_m in the order of ``separation``.

        Returns:
            z_m [n] by modality.
        """
        shared, own = np.sqrt(self.correlation) * noise[:, 0], np.sqrt(1 - self.correlation)
        return {m: (diagnosis - 0.5) * d + shared + own * noise[:, 1 + i] for i, (m, d) in enumerate(self.separation.items())}

    def weights(self, modalities: Sequence[str]) -> np.ndarray:
        """C^-1 d_S, the weight of each finding in the log-odds, [M]; C^-1 by the Sherman-Morrison formula, the same bits everywhere."""
        d, c = np.array([self.separation[m] for m in modalities]), self.correlation
        return (d - c * d.sum() / (1 + (len(d) - 1) * c)) / (1 - c)

    def joint_separation(self, modalities: Sequence[str]) -> float:
        """D, how far apart the two diagnoses are in all the modalities together."""
        d = np.array([self.separation[m] for m in modalities])
        return float(np.sqrt(max((d * self.weights(modalities)).sum(), 0.0))) if len(d) else 0.0

    def log_odds(self, findings: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]) -> np.ndarray:
        """logit P(y = 1 | the findings that are present), [n]; that of the prevalence where none is.

        Args:
            findings: z_m [n] by modality.
            present: bool [n] by modality; the modalities that count.
        """
        names = sorted(present)
        here = np.stack([present[m] for m in names], axis=1)  # [n, M]
        result = np.full(len(here), logit(self.prevalence))
        for pattern in np.unique(here, axis=0):
            chosen = [m for m, there in zip(names, pattern, strict=True) if there]
            rows = (here == pattern).all(axis=1)
            for m, weight in zip(chosen, self.weights(chosen), strict=True):
                result[rows] += weight * findings[m][rows]
        return result


def information(separation: float, prevalence: float) -> float:
    """Mutual information of the diagnosis and findings that are D apart, in bits: H(y) minus the mean entropy of the posterior."""
    remaining = 0.0
    for probability, side in ((prevalence, 1), (1 - prevalence, -1)):
        odds = logit(prevalence) + side * separation**2 / 2 + separation * NODES
        remaining += probability * float((WEIGHTS * entropy(expit(odds))).sum())
    return float(entropy(np.array(prevalence))) - remaining


def separation_for(bits: float, prevalence: float) -> float:
    """The separation at which one finding carries so many bits about the diagnosis; inverse of ``information``."""
    if bits == 0:
        return 0.0
    return float(brentq(lambda d: information(d, prevalence) - bits, 0.0, 12.0, xtol=1e-12))


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy of a yes-or-no question, in bits."""
    return np.asarray((entr(probability) + entr(1 - probability)) / np.log(2))
