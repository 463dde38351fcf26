"""The best scores that any model can reach on a population whose log-odds are a mixture of normals."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit, ndtr

from mmdx.simulate.latent import NODES, WEIGHTS


def optimal_scores(separations: np.ndarray, weights: np.ndarray, prevalence: float) -> dict[str, float]:
    """Scores of the true posterior.

    Pattern k of the modalities that are there has probability w_k and separation D_k: the log-odds given the diagnosis are normal with
    mean ``logit(prevalence) +- D_k^2 / 2`` and variance ``D_k^2``. AUROC is in closed form: for a case of pattern k and a control
    of pattern l the difference of log-odds is normal with mean ``(D_k^2 + D_l^2) / 2`` and variance ``D_k^2 + D_l^2``, so

        ``AUROC = sum_kl w_k w_l Phi(sqrt(D_k^2 + D_l^2) / 2)``,

    which for one pattern is ``Phi(D / sqrt(2))``. AUPRC and Brier score are one-dimensional integrals, taken by the trapezoidal rule.

    Args:
        separations: D_k, 0 or more, [K].
        weights: w_k, which sum to 1, [K].
        prevalence: P(y = 1).

    Returns:
        ``auroc`` (exact), ``auprc`` and ``brier`` (error below 1e-6; AUPRC below 1e-3 where some D_k is 0 and so many scores are equal).
    """
    spread = np.sqrt(separations[:, None] ** 2 + separations[None, :] ** 2)
    auroc = (weights[:, None] * weights[None, :] * ndtr(spread / 2)).sum()
    centre = logit(prevalence)
    brier = auprc = 0.0
    for d, weight in zip(separations, weights, strict=True):
        case, control = (centre + side * d**2 / 2 + d * NODES for side in (1, -1))
        error = prevalence * expit(-case) ** 2 + (1 - prevalence) * expit(control) ** 2
        brier += weight * (WEIGHTS * error).sum()
        auprc += weight * (WEIGHTS * _precision(case, separations, weights, prevalence)).sum()
    return {"auroc": float(auroc), "auprc": float(auprc), "brier": float(brier)}


def _precision(threshold: np.ndarray, separations: np.ndarray, weights: np.ndarray, prevalence: float) -> np.ndarray:
    above = [np.zeros_like(threshold), np.zeros_like(threshold)]  # share of controls and of cases at or above the threshold
    for d, weight in zip(separations, weights, strict=True):
        for side in (0, 1):
            mean = logit(prevalence) + (side - 0.5) * d**2
            above[side] += weight * (ndtr((mean - threshold) / d) if d > 0 else threshold <= mean)
    cases, controls = prevalence * above[1], (1 - prevalence) * above[0]
    return np.asarray(cases / (cases + controls))
