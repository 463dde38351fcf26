"""What goes wrong in hospitals, with its size known: what is missing and why, who is examined worse, which hospital, and what changes later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit

from mmdx.errors import InputError

OLD = 60
"""Years from which on a patient is old."""
GROUPS = {"sex": ("F", "M"), "age_group": ("under 40", "40 to 59", "60 and over"), "site": ()}


def age_group(age: int) -> str:
    """As it stands in the table."""
    return "under 40" if age < 40 else "40 to 59" if age < OLD else "60 and over"


class Circumstance(NamedTuple):
    """What is known of a visit beside its findings, and counts for what is missing, told or likely.

    Attributes:
        site: number of the hospital.
        old: whether the patient is 60 or more.
        member: whether the patient is of the subgroup for whom modalities carry less.
        later: whether the visit is one of those from which on something changes.
    """

    site: int = 0
    old: bool = False
    member: bool = False
    later: bool = False


@dataclass(frozen=True)
class Circumstances:
    """Rates by circumstance.

    Attributes:
        prevalence: P(y = 1) where nothing else is said.
        missing: rate at which each modality in use is missing.
        odds_if_old: by how much the odds of missing are multiplied in old patients, by modality: missing at random, as age is known.
        odds_if_diseased: the same in patients with the diagnosis: missing not at random.
        odds_by_site: the same of all modalities, by hospital.
        silent: share of the examinations of a modality that show nothing.
        silent_in_group: the same within the subgroup, for the modalities named.
        prevalence_by_site: by hospital; empty where they don't differ.
        later_prevalence: in the later visits; None where it doesn't change.
        marker: P(the marker agrees with the diagnosis); None where there is no marker.
        later_marker: the same in the later visits; None where it doesn't change.
    """

    prevalence: float
    missing: Mapping[str, float]
    odds_if_old: Mapping[str, float] = field(default_factory=dict)
    odds_if_diseased: Mapping[str, float] = field(default_factory=dict)
    odds_by_site: Sequence[float] = ()
    silent: Mapping[str, float] = field(default_factory=dict)
    silent_in_group: Mapping[str, float] = field(default_factory=dict)
    prevalence_by_site: Sequence[float] = ()
    later_prevalence: float | None = None
    marker: float | None = None
    later_marker: float | None = None

    def prevalence_in(self, where: Circumstance) -> float:
        """P(y = 1)."""
        if where.later and self.later_prevalence is not None:
            return self.later_prevalence
        return self.prevalence_by_site[where.site] if self.prevalence_by_site else self.prevalence

    def marker_in(self, where: Circumstance) -> float | None:
        """P(the marker agrees with the diagnosis)."""
        return self.later_marker if where.later and self.later_marker is not None and self.marker is not None else self.marker

    def missing_in(self, where: Circumstance, diseased: bool) -> dict[str, float]:
        """Rate at which each modality is missing, before one is made to stay where all would be."""
        odds = self.odds_by_site[where.site] if self.odds_by_site else 1.0
        rates = {}
        for m, rate in self.missing.items():
            factor = odds * (self.odds_if_old.get(m, 1.0) if where.old else 1.0) * (self.odds_if_diseased.get(m, 1.0) if diseased else 1.0)
            rates[m] = rate if factor == 1 or rate == 0 else float(expit(logit(rate) + np.log(factor)))
        return rates

    def silent_in(self, where: Circumstance) -> dict[str, float]:
        """Rate at which each modality, being there, shows nothing."""
        usual = {m: float(self.silent.get(m, 0.0)) for m in self.missing}
        return usual | ({m: float(rate) for m, rate in self.silent_in_group.items() if m in usual} if where.member else {})


def draw_presence(missing: np.ndarray, chance: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Whether each sample has each modality, bool [n, M]: each goes missing by itself; where all would, one, drawn evenly, stays.

    Args:
        missing: rates, [n, M].
        chance: uniform in 0 to 1, [n, M]: missing where below the rate.
        key: the same, independent of ``chance``: the largest stays.
    """
    here = chance >= missing
    none = ~here.any(axis=1)
    here[none, key[none].argmax(axis=1)] = True
    return np.asarray(here)


def pattern_probabilities(missing: Mapping[str, float], subset: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Probability of each set of modalities, the empty one included, that a sample has out of ``subset``.

    Args:
        missing: rate of every modality in use, as for ``draw_presence``.
        subset: names from it.
    """
    names = list(missing)
    all_missing = float(np.prod(list(missing.values())))
    seen: dict[tuple[str, ...], float] = {}
    for pattern in product((False, True), repeat=len(names)):
        if not any(pattern):
            continue
        factors = [1 - missing[m] if there else missing[m] for m, there in zip(names, pattern, strict=True)]
        probability = float(np.prod(factors)) + (all_missing / len(names) if sum(pattern) == 1 else 0.0)
        left = tuple(m for m, there in zip(names, pattern, strict=True) if there and m in subset)
        seen[left] = seen.get(left, 0.0) + probability
    return {pattern: probability for pattern, probability in seen.items() if probability > 0}


def telling_probabilities(silent: Mapping[str, float], there: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Probability of each set of modalities that tell something out of those that are there."""
    found: dict[tuple[str, ...], float] = {}
    for pattern in product((True, False), repeat=len(there)):
        factors = [1 - silent[m] if tells else silent[m] for m, tells in zip(there, pattern, strict=True)]
        if probability := float(np.prod(factors)):
            found[tuple(m for m, tells in zip(there, pattern, strict=True) if tells)] = probability
    return found


def check_rate(key: str, value: Any, below: float = 1.0) -> None:
    """Check a rate.

    Raises:
        InputError: where it is no number of at least 0 and below ``below``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < below:
        raise InputError(f"data.{key}={value}: must be a number of at least 0 and below {below:g}.")


def check_share(key: str, value: Any) -> None:
    """Check a probability that is neither 0 nor 1.

    Raises:
        InputError: where it isn't one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise InputError(f"data.{key}={value}: must be above 0 and below 1.")


def check_odds(key: str, value: Any) -> None:
    """Check an odds ratio.

    Raises:
        InputError: where it is no number from 1e-6 to 1e6; beyond, a rate is 0 or 1 to the last digit.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 1e-6 <= value <= 1e6:
        raise InputError(f"data.{key}={value}: must be an odds ratio, a number from 1e-6 to 1e6; 1 changes nothing.")
