"""Other outcomes than the diagnosis, from the same findings: a grade, a number, a time to an event."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from mmdx.errors import InputError
from mmdx.simulate.draws import uniforms
from mmdx.simulate.latent import LatentFindings

OUTCOMES = ("binary", "ordinal", "regression", "survival")
OUTCOME_STREAM = 20
SIGNAL = 0.8
"""Share of the variance of grades and numbers that follows from the severity."""
CUTS = (-0.8, 0.2, 1.0)
"""Of severity and noise, between the grades 0 to 3."""
MEAN, SPREAD = 50.0, 10.0
SHAPE, SCALE, LOG_HAZARD_RATIO = 1.3, 700.0, 1.0
"""Of the Weibull times, in days, and by one standard deviation of severity."""
FOLLOW_UP, MEAN_CENSORING = 1825.0, 1200.0


def check_outcome(outcome: str, label_noise: float) -> None:
    """Check the outcome.

    Raises:
        InputError: where there is no such, or label noise is asked for where there is no label.
    """
    if outcome not in OUTCOMES:
        raise InputError(f"data.outcome={outcome}: must be one of {', '.join(OUTCOMES)}.")
    if outcome != "binary" and label_noise:
        raise InputError(f"data.label_noise={label_noise}: turns diagnoses, which data.outcome={outcome} does not show; set it to 0.")


def severity(model: LatentFindings, findings: Any, modalities: tuple[str, ...], prevalence: float) -> np.ndarray:
    """How ill each visit is, [n]: the log-odds of the diagnosis by all findings that the modalities would show were none missing or silent,
    standardised by their mean and variance at the prevalence given.

    With D^2 the squared separation of all findings together, that is ``(P - 1/2) D^2`` and ``D^2 + D^4 / 4`` less the squared mean.
    """
    everything = {m: np.ones(len(next(iter(findings.value.values()))), bool) for m in modalities}
    log_odds = model.log_likelihood_ratio(findings, everything)
    square = np.array(list(model.separations(modalities).items()))  # of D^2 and its probability
    mean = float((square[:, 1] * (prevalence - 0.5) * square[:, 0]).sum())
    second = float((square[:, 1] * (square[:, 0] + square[:, 0] ** 2 / 4)).sum())
    if second <= mean**2:
        raise InputError("data.information: the modalities in use show nothing, so no outcome can follow from them; set some bits above 0.")
    return (log_odds - mean) / np.sqrt(second - mean**2)


def draw_outcome(outcome: str, ill: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Columns of the cohort's table from the severity [n]; those of a visit depend on its row and severity only.

    - ordinal: grade 0 to 3, the number of ``CUTS`` below ``u = sqrt(SIGNAL) severity + sqrt(1 - SIGNAL) e``, e standard normal.
    - regression: ``MEAN + SPREAD u``.
    - survival: ``time`` in days and ``event``. The event comes at ``P(T > t) = exp(-(t / SCALE)^SHAPE exp(LOG_HAZARD_RATIO severity))``, a
      Weibull time with proportional hazards; censoring at an exponential time of mean ``MEAN_CENSORING`` that has nothing to do with it, at
      the latest after ``FOLLOW_UP`` days.
    """
    chance = uniforms(seed, OUTCOME_STREAM, len(ill), 3)
    u = np.sqrt(SIGNAL) * ill + np.sqrt(1 - SIGNAL) * ndtri(chance[:, 0])
    if outcome == "ordinal":
        return {"target": np.searchsorted(CUTS, u)}
    if outcome == "regression":
        return {"target": MEAN + SPREAD * u}
    happens = SCALE * (-np.log1p(-chance[:, 1]) * np.exp(-LOG_HAZARD_RATIO * ill)) ** (1 / SHAPE)
    censored = np.minimum(-MEAN_CENSORING * np.log1p(-chance[:, 2]), FOLLOW_UP)
    return {"time": np.maximum(np.ceil(np.minimum(happens, censored)), 1.0), "event": (happens <= censored).astype(int)}
