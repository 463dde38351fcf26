"""The generative model: a diagnosis causes latent findings, each of which one or several modalities show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, expit, logit
from scipy.stats import norm

from mmdx.errors import InputError
from mmdx.simulate.draws import normals, uniforms
from mmdx.simulate.rendering import FINDINGS

NODES = np.linspace(-9.0, 9.0, 3601)
WEIGHTS = norm.pdf(NODES) * (NODES[1] - NODES[0])
"""Trapezoidal rule under the standard normal density: its error on the smooth functions here is below 1e-9."""
KINDS = ("unique", "redundant", "synergistic")
JOINT, SINGLE = "joint", "single"
KEY = 1.5
"""What the keys of a synergistic source are shown as, up or down."""
SOURCE_STREAM, ROUTE_STREAM = 1200, 16
PLACES = {"unique": (0,), "redundant": (1, 2), "synergistic": (2, 1)}
"""Where a modality shows a source of each kind: the first of these findings that is free."""


class Source(NamedTuple):
    """A latent finding t and who shows it.

    ``t = (y - 1/2) d + e``, e standard normal, so ``log P(t | y = 1) / P(t | y = 0) = d t``. A unique source is shown by one modality; a
    redundant one by several, each of which shows t; of a synergistic one all but the last modality show a key of their own, +1 or -1 by a
    fair coin, and the last shows t times all the keys: any of them missing, the others say nothing, as each sign is as likely under
    either diagnosis.

    Attributes:
        kind: unique, redundant or synergistic.
        modalities: who shows it.
        bits: what it says about the diagnosis: by itself (joint), or over all patients (single).
        separation: d.
        share: of the patients in whom it is shown at all.
        place: which of a modality's findings it is, by modality.
        code: number of its own, from which its draws come.
    """

    kind: str
    modalities: tuple[str, ...]
    bits: float
    separation: float
    share: float
    place: Mapping[str, int]
    code: int

    @property
    def name(self) -> str:
        """Such as ``redundant image+text``."""
        return f"{self.kind} {'+'.join(sorted(self.modalities))}"

    def seen(self, telling: Mapping[str, np.ndarray]) -> np.ndarray:
        """Where t can be told, bool [n], from which modalities are there and telling, bool [n] each; one that isn't named is not there."""
        there = np.broadcast_arrays(*[telling.get(m, np.zeros(1, bool)) for m in self.modalities])
        return np.asarray(np.all(there, axis=0) if self.kind == "synergistic" else np.any(there, axis=0))


class Findings(NamedTuple):
    """The latent state of n visits.

    Attributes:
        active: whether each source is shown, bool [n], by its name.
        value: t of each source, [n], by its name.
        shown: what each modality shows, [n, 3], NaN where nothing.
    """

    active: dict[str, np.ndarray]
    value: dict[str, np.ndarray]
    shown: dict[str, np.ndarray]


class LatentFindings:
    """All sources of a cohort.

    ``joint``: every source is shown in each patient, independent given the diagnosis. Its log-odds add, so of a set of modalities that sees
    the sources K the log-odds given y are normal with mean ``logit(prevalence) +- D^2 / 2`` and variance ``D^2 = sum_K d_k^2`` (naive
    Bayes, Hastie et al. 2009, sections 4.3 and 6.6.3); ``bits`` are what a source says by itself, and together they say less than the sum.

    ``single``: in each patient at most one source is shown, source k in a share q_k of them, whatever the diagnosis. Each says
    ``strength`` of what there is to know where it is shown, and ``q_k = bits_k / (strength H(y))``: what a set of modalities says is exactly
    the sum of the bits of the sources it sees.

    Args:
        information: bits by modalities, as ``image`` or ``image+text``, by kind.
        modalities: all that there are; their order is part of the draws.
        prevalence: P(y = 1), to which the bits refer.
        presentation: joint or single.
        strength: of a source in the single presentation, as a share of the entropy of y, above 0 and below 1.

    Raises:
        InputError: where the bits are out of range, a name is unknown, or a modality would have to show more than it can.
    """

    def __init__(
        self, information: Mapping[str, Mapping[str, float]], modalities: Sequence[str], prevalence: float, presentation: str, strength: float
    ) -> None:
        self.presentation = presentation
        self.most = float(entropy(np.array(prevalence)))
        taken: dict[str, set[int]] = {m: set() for m in modalities}
        self.sources: list[Source] = []
        _check_bits("data.information", information)
        for kind in KINDS:
            _check_bits(f"data.information.{kind}", information.get(kind) or {})
        if odd := sorted(set(information) - set(KINDS)):
            raise InputError(f"data.information.{odd[0]}: no such kind of source; must be unique, redundant or synergistic.")
        for kind in KINDS:
            for key, bits in (information.get(kind) or {}).items():
                names = tuple(m for m in modalities if m in key.split("+"))
                _check_source(kind, key, names, bits, modalities)
                if any(source.kind == kind and source.modalities == names for source in self.sources):
                    raise InputError(f"data.information.{kind}.{key}: these modalities have a {kind} source already; give it once, in any order.")
                if not bits:
                    continue  # shown below as what tells nothing
                place = {m: _place(kind, key, m, taken) for m in names}
                separation, share = self._strength(kind, key, bits, prevalence, strength)
                code = 64 * KINDS.index(kind) + sum(1 << modalities.index(m) for m in names)
                self.sources.append(Source(kind, names, float(bits), separation, share, place, code))
        for m in modalities:
            if 0 not in taken[m]:  # what nobody asked to tell is there all the same
                self.sources.append(Source("unique", (m,), 0.0, 0.0, 1.0, {m: 0}, 1 << modalities.index(m)))
        if presentation == SINGLE and (total := sum(source.share for source in self.sources if source.bits)) > 1:
            asked = sum(source.bits for source in self.sources)
            raise InputError(
                f"data.information: {asked:.3f} bits in all, of modalities in use or not; where each patient shows one source only, at most "
                f"data.strength={strength} of {self.most:.3f} bits can be told ({asked / total:.3f})."
            )

    def _strength(self, kind: str, key: str, bits: float, prevalence: float, strength: float) -> tuple[float, float]:
        if self.presentation == SINGLE:
            return separation_for(strength * self.most, prevalence), bits / (strength * self.most)
        if bits >= 0.98 * self.most:
            raise InputError(
                f"data.information.{kind}.{key}={bits}: must be at least 0 and below {0.98 * self.most:.3f} bits, about what there is to know "
                f"at data.prevalence={prevalence}."
            )
        return separation_for(bits, prevalence), 1.0

    def draw(self, diagnosis: np.ndarray, seed: int) -> Findings:
        """Findings of the visits of a seed, whose diagnoses, 0 or 1, [n], are given; those of a visit depend on its row and diagnosis only."""
        n = len(diagnosis)
        active, value = {}, {}
        shown: dict[str, np.ndarray] = {}
        route = uniforms(seed, ROUTE_STREAM, n, 1)[:, 0] if self.presentation == SINGLE else None
        start = 0.0
        for source in self.sources:
            noise = normals(seed, SOURCE_STREAM + source.code, n, 8)
            here = np.ones(n, bool) if route is None or not source.bits else (route >= start) & (route < start + source.share)
            start += source.share if source.bits else 0.0
            t = (diagnosis - 0.5) * source.separation + noise[:, 0]
            active[source.name], value[source.name] = here, t
            keys = np.ones(n)
            for i, m in enumerate(source.modalities):
                seen = t
                if source.kind == "synergistic" and i < len(source.modalities) - 1:
                    key = np.where(noise[:, 1 + i] >= 0, 1.0, -1.0)
                    keys, seen = keys * key, KEY * key
                elif source.kind == "synergistic":
                    seen = keys * t
                of_m = shown.setdefault(m, np.full((n, FINDINGS), np.nan))
                of_m[:, source.place[m]] = np.where(here, seen, np.nan)
        return Findings(active, value, shown)

    def log_likelihood_ratio(self, findings: Findings, telling: Mapping[str, np.ndarray]) -> np.ndarray:
        """log P(what is seen | y = 1) / P(what is seen | y = 0), [n], given which modalities are there and telling, bool [n] each."""
        total = np.zeros(len(next(iter(telling.values()))))
        for source in self.sources:
            seen = source.seen(telling) & findings.active[source.name]
            total += np.where(seen, source.separation * findings.value[source.name], 0.0)
        return total

    def separations(self, telling: Sequence[str]) -> dict[float, float]:
        """Probability of each squared joint separation D^2 of the modalities that are there and telling."""
        there = {m: np.ones(1, bool) for m in telling}
        seen = [source for source in self.sources if source.bits and there and source.seen(there)[0]]
        if self.presentation == JOINT:
            return {round(sum(source.separation**2 for source in seen), 12): 1.0}
        found: dict[float, float] = {}
        for source in seen:
            square = round(source.separation**2, 12)
            found[square] = found.get(square, 0.0) + source.share
        rest = 1 - sum(found.values())
        return found | ({0.0: rest} if rest > 1e-12 else {})


def subsets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of modalities but the empty one, the smaller first."""
    return [chosen for size in range(1, len(modalities) + 1) for chosen in combinations(modalities, size)]


def _check_bits(key: str, given: object) -> None:
    if not isinstance(given, Mapping):
        raise InputError(f"{key}={given}: must be bits by modalities, such as {{image: 0.3}}, within {', '.join(KINDS)}.")


def _check_source(kind: str, key: str, names: Sequence[str], bits: float, modalities: Sequence[str]) -> None:
    given = key.split("+")
    where = f"data.information.{kind}.{key}"
    if unknown := [name for name in given if name not in modalities]:
        raise InputError(f"{where}: no modality '{unknown[0]}'; must be of {', '.join(modalities)}, joined by '+'.")
    if len(set(given)) < len(given) or (len(given) > 1) == (kind == "unique"):
        wanted = "one modality, such as image" if kind == "unique" else "two or more different modalities, such as image+text"
        raise InputError(f"{where}: a {kind} source has {wanted}.")
    if isinstance(bits, bool) or not isinstance(bits, int | float | np.number) or not 0 <= bits < 1:
        raise InputError(f"{where}={bits}: must be a number of bits, at least 0 and below 1.")


def _place(kind: str, key: str, modality: str, taken: dict[str, set[int]]) -> int:
    for place in PLACES[kind]:
        if place not in taken[modality]:
            taken[modality].add(place)
            return place
    raise InputError(
        f"data.information.{kind}.{key}: {modality} would have to show more than it can, one unique source and two that others share; "
        f"take one of the sources of {modality} out."
    )


def information(separation: float, prevalence: float) -> float:
    """Mutual information of the diagnosis and findings that are D apart, in bits: H(y) minus the mean entropy of the posterior."""
    remaining = 0.0
    for probability, side in ((prevalence, 1), (1 - prevalence, -1)):
        odds = logit(prevalence) + side * separation**2 / 2 + separation * NODES
        remaining += probability * float((WEIGHTS * entropy(expit(odds))).sum())
    return max(float(entropy(np.array(prevalence))) - remaining, 0.0)


def separation_for(bits: float, prevalence: float) -> float:
    """The separation at which one finding carries so many bits about the diagnosis; inverse of ``information``."""
    if bits == 0:
        return 0.0
    return float(brentq(lambda d: information(d, prevalence) - bits, 0.0, 12.0, xtol=1e-12))


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy of a yes-or-no question, in bits."""
    return np.asarray((entr(probability) + entr(1 - probability)) / np.log(2))
