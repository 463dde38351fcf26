"""A cohort of patients with chest film, note, heart sound and laboratory values, whose true posterior is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import logit

from mmdx.data.tables import build_table, sample
from mmdx.errors import InputError, SampleError
from mmdx.simulate.circumstances import (
    OLD,
    Circumstance,
    Circumstances,
    age_group,
    draw_presence,
    pattern_probabilities,
    telling_probabilities,
)
from mmdx.simulate.decomposition import Decomposition, decompose
from mmdx.simulate.draws import generator, uniforms
from mmdx.simulate.latent import JOINT, LatentFindings, information
from mmdx.simulate.optimum import Atom, Population
from mmdx.simulate.outcomes import check_outcome, draw_outcome, severity
from mmdx.simulate.renderers import RENDERERS
from mmdx.simulate.rendering import FINDINGS, Rendering
from mmdx.simulate.settings import MARKED, check_settings, circumstances_from
from mmdx.simulate.visit import Visits
from mmdx.types import Sample

MODALITIES = ("image", "text", "audio", "tabular")
INFORMATION = MappingProxyType(
    {
        "unique": {"image": 0.3, "text": 0.3, "audio": 0.28, "tabular": 0.16, "volume": 0.3},
        "redundant": {"image+text+audio": 0.05},
        "synergistic": {},
    }
)
MISSING = MappingProxyType({"image": 0.1, "text": 0.15, "audio": 0.15, "tabular": 0.05, "volume": 0.1})
FIRST_DAY, VISITS_A_DAY = "2015-01-01", 20
MOST = 8
"""Modalities that there can ever be: columns of the draws, so that a new one changes nothing of the others."""
DIAGNOSIS_STREAM, BEDSIDE_STREAM, MISSING_STREAM, RENDER_STREAM, SILENT_STREAM, MARKER_STREAM, LABEL_STREAM = 11, 13, 14, 15, 17, 18, 19


class SimulatedCohort:
    """Visits of simulated patients; nothing is downloaded or written, each sample is rendered when it is read.

    The diagnosis causes latent findings (``LatentFindings``), which the modalities show: widths, levels, loudnesses, grades, values. Age, sex,
    style and noise do not depend on the diagnosis. Row i of a seed is the same whatever ``samples`` and ``modalities`` are, but for which
    of its modalities are there: of those in use one always stays. Visits of one patient have diagnoses of their own.

    Args:
        samples: visits, 2 or more.
        modalities: the modalities in use, of image, text, audio, tabular and volume.
        prevalence: P(diagnosis), between 0 and 1.
        information: bits about the diagnosis, by modalities (``image``, or ``image+text``) within ``unique``, ``redundant`` and ``synergistic``.
        presentation: ``joint``, every source is shown in each patient and ``information`` is what it says by itself; or ``single``, a patient shows
            one source at most and the information of a set of modalities is exactly the sum of what it sees.
        strength: what a source says where it is shown, in the single presentation, as a share of the entropy of the diagnosis.
        missing: rate at which each modality is missing completely at random, 0 to below 1; 0 for those not named,
            and for all where it is None. One always stays.
        missing_odds: by how much the odds of missing are multiplied: ``old`` (60 and over) and ``diseased``, by modality; ``sites``, a list.
        silent: share of the examinations of a modality that show no finding at all, though they are there.
        subgroup: for whom modalities carry less: ``column`` (sex, age_group or site), ``value``, and ``silent`` by modality.
        sites: hospitals, each with its own scanner, stethoscope and habit of writing.
        site_prevalence: P(diagnosis) of each hospital; None where they don't differ.
        marker: P(a mark on the film agrees with the diagnosis); None for no marks.
        label_noise: probability that the target is not the diagnosis, below 0.5.
        outcome: what the table shows: ``binary``, the diagnosis; or ``ordinal``, ``regression`` or ``survival``, which follow from the same findings
            (``draw_outcome``).
        later: what changes ``from_row`` on: ``prevalence``, ``marker``, and ``devices``, how far scanners and stethoscopes are replaced by others.
        drift: the same change, but gradual: in units of what hospitals differ by, in 10,000 visits.
        visits: of one patient after the other, repeated as often as it takes.
        seed: draws the cohort; the hospitals are the same for each seed.

    Attributes:
        findings: the latent state: what an oracle knows and no model may see.
        present, telling: bool [n] of each modality in use: whether it is there, and whether it is there and shows findings.
        diagnosis: 0 or 1, [n]; where it is the outcome, the table's ``target`` but for label noise.

    Raises:
        InputError: where an argument is out of range, or all samples have the same class.
    """

    unit = "patient"

    def __init__(
        self,
        samples: int = 900,
        modalities: Sequence[str] = MODALITIES,
        prevalence: float = 0.4,
        information: Mapping[str, Mapping[str, float]] = INFORMATION,
        presentation: str = JOINT,
        strength: float = 0.8,
        missing: Mapping[str, float] | None = MISSING,
        missing_odds: Mapping[str, Any] | None = None,
        silent: Mapping[str, float] | None = None,
        subgroup: Mapping[str, Any] | None = None,
        sites: int = 3,
        site_prevalence: Sequence[float] | None = None,
        marker: float | None = None,
        label_noise: float = 0.0,
        outcome: str = "binary",
        later: Mapping[str, Any] | None = None,
        drift: float = 0.0,
        visits: Sequence[int] = (1, 1, 1, 2),
        seed: int = 0,
    ) -> None:
        self.modalities = tuple(modalities)
        self.settings = check_settings(
            samples, self.modalities, prevalence, presentation, strength, missing, missing_odds, silent, subgroup, sites, site_prevalence,
            marker, label_noise, later, drift, visits, seed,
        )  # fmt: skip
        self.model = LatentFindings(information, tuple(RENDERERS), prevalence, presentation, strength)
        self.circumstances: Circumstances = circumstances_from(self.settings)
        check_outcome(outcome, label_noise)
        self.outcome = outcome
        self.label_noise, self.seed, self.faults = label_noise, seed, list[SampleError]()
        self.visits = Visits(seed, samples, sites, visits, BEDSIDE_STREAM)
        self.later = self._later(samples)
        self.member = self._members()
        self._kinds, self._kind = self._by_circumstance()
        self._draw(samples)
        self.table = self._table(samples)

    def _later(self, samples: int) -> np.ndarray:
        """Whether each visit is one from which on something changes; devices move with it."""
        row, later = np.arange(samples), self.settings.later
        here = row >= later.from_row if later.from_row is not None else np.zeros(samples, bool)
        self.visits.devices = self.settings.drift * row / 10_000 + np.where(here, later.devices, 0.0)
        return here

    def _members(self) -> np.ndarray:
        group = self.settings.subgroup
        if group.column is None:
            return np.zeros(len(self.visits), bool)
        of_row = {
            "sex": lambda: np.where(self.visits.female, "F", "M"),
            "age_group": lambda: np.array([age_group(age) for age in range(121)])[self.visits.age],
            "site": lambda: np.array([_hospital(site) for site in range(self.settings.sites)])[self.visits.site],
        }[group.column]()
        return np.asarray(of_row == group.value)

    def _by_circumstance(self) -> tuple[list[Circumstance], np.ndarray]:
        """The circumstances that there are, and which is each visit's, [n]."""
        columns = np.stack([self.visits.site, self.visits.age >= OLD, self.member, self.later], axis=1).astype(int)
        code = columns @ np.array([8, 4, 2, 1])
        kinds, kind = np.unique(code, return_inverse=True)
        return [Circumstance(int(c) >> 3, bool(c & 4), bool(c & 2), bool(c & 1)) for c in kinds], kind

    def _draw(self, samples: int) -> None:
        self.diagnosis = (uniforms(self.seed, DIAGNOSIS_STREAM, samples, 1)[:, 0] < self._rate(self.circumstances.prevalence_in)).astype(int)
        flip = uniforms(self.seed, LABEL_STREAM, samples, 1)[:, 0] < self.label_noise if self.label_noise else np.zeros(samples, bool)
        self.target = np.where(flip, 1 - self.diagnosis, self.diagnosis)
        if len(set(self.target.tolist())) < 2:
            raise InputError(f"data.samples={samples}: all of them have class {self.target[0]}; give more samples or another data.seed.")
        self.findings = self.model.draw(self.diagnosis, self.seed)
        order = [list(RENDERERS).index(m) for m in self.modalities]
        chance = uniforms(self.seed, MISSING_STREAM, samples, 2 * MOST).reshape(samples, 2, MOST)[:, :, order]
        rates = [self._rate(lambda c, y=y: list(self.circumstances.missing_in(c, y).values())) for y in (False, True)]  # type: ignore[misc]
        there = draw_presence(np.where(self.diagnosis[:, None] == 1, rates[1], rates[0]), chance[:, 0], chance[:, 1])
        silent = uniforms(self.seed, SILENT_STREAM, samples, MOST)[:, order] < self._rate(lambda c: list(self.circumstances.silent_in(c).values()))
        self.present = {m: there[:, i] for i, m in enumerate(self.modalities)}
        self.telling = {m: there[:, i] & ~silent[:, i] for i, m in enumerate(self.modalities)}
        if self.circumstances.marker is not None:
            agrees = uniforms(self.seed, MARKER_STREAM, samples, 1)[:, 0] < self._rate(self.circumstances.marker_in)
            self.visits.marker = np.where(agrees, self.diagnosis, 1 - self.diagnosis)

    def _rate(self, of: Any) -> np.ndarray:
        """Of each visit what its circumstance says."""
        return np.array([of(kind) for kind in self._kinds])[self._kind]

    def _table(self, samples: int) -> Any:
        visits = self.visits
        days = np.datetime64(FIRST_DAY) + np.arange(-(-samples // VISITS_A_DAY))
        return build_table(
            {
                "sample_id": [f"s{number:06d}" for number in range(samples)],
                "patient_id": _each([f"p{number:06d}" for number in range(visits.patient[-1] + 1)], visits.patient),
                "site": _each([_hospital(site) for site in range(self.settings.sites)], visits.site),
                **self._outcome(),
                "meta_sex": _each(["M", "F"], visits.female.astype(int)),
                "meta_age_group": _each([age_group(age) for age in range(121)], visits.age),
                "meta_time": _each(np.datetime_as_string(days).tolist(), np.arange(samples) // VISITS_A_DAY),
            }
        )

    def _outcome(self) -> dict[str, Any]:
        """The columns of what is to be predicted."""
        if self.outcome == "binary":
            return {"target": self.target.tolist()}
        ill = severity(self.model, self.findings, self.modalities, self.settings.prevalence)
        return {name: column.tolist() for name, column in draw_outcome(self.outcome, ill, self.seed).items()}

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        there = [m for m in self.modalities if self.present[m][index]]
        return sample(self.table, index, {m: self.render(index, m).raw for m in sorted(there, key=list(RENDERERS).index)})

    def render(self, index: int, modality: str, with_truth: bool = False) -> Rendering:
        """A modality of a visit, also one that is missing, and with ``with_truth`` what is true of it: quantities, masks, times, spans.

        Raises:
            InputError: where the modality is not in use.
            IndexError: where there is no such row.
        """
        self._check_subset((modality,))
        index = range(len(self))[index]
        rng = generator(self.seed, RENDER_STREAM, index, list(RENDERERS).index(modality))
        return RENDERERS[modality](self._shown(index, modality), self.visits[index], rng, with_truth=with_truth)

    def _shown(self, index: int, modality: str) -> np.ndarray:
        """The findings that a modality of a visit shows, or would where it is missing, [3]."""
        silent = self.present[modality][index] and not self.telling[modality][index]
        return np.full(FINDINGS, np.nan) if silent else self.findings.shown[modality][index]

    def made_from(self, index: int) -> str:
        """All that the inputs of a row follow from beside the code: a cache knows it again by this."""
        shown = {m: self._shown(index, m).tolist() for m in self.modalities if self.present[m][index]}
        return json.dumps([self.seed, int(index), self.visits[index], shown])

    def posterior(self, subset: Sequence[str]) -> np.ndarray:
        """P(target = 1) of every sample, [n], for one who reads the findings that it has out of ``subset``, sees which of these are missing and
        the marker, and knows hospital, age and time.

        Raises:
            InputError: where a name is not a modality in use.
        """
        self._check_subset(subset)
        log_odds = self._offsets(subset) + self.model.log_likelihood_ratio(self.findings, {m: self.telling[m] for m in subset})
        return Population([Atom(0.5, 0.5, 0.0, 0.0)], self.label_noise).recorded(log_odds)

    def _offsets(self, subset: Sequence[str]) -> np.ndarray:
        """Log-odds of the diagnosis before the findings, [n]: from prevalence, marker, and what is missing."""
        there = np.stack([self.present[m] for m in subset], axis=1) @ (1 << np.arange(len(subset)))
        total = np.zeros(len(self))
        for number, kind in enumerate(self._kinds):
            rows = self._kind == number
            total[rows] = logit(self.circumstances.prevalence_in(kind))
            patterns = self._patterns(kind, subset)
            for code in np.unique(there[rows]):
                pattern = tuple(m for i, m in enumerate(subset) if code >> i & 1)
                case, control = (patterns[y].get(_ordered(pattern, self.modalities), 0.0) for y in (True, False))
                total[rows & (there == code)] += np.log(case / control)
            agrees = self.circumstances.marker_in(kind)
            if agrees is not None and MARKED in subset:
                seen = rows & self.present[MARKED]
                total[seen] += np.where(self.visits.marker[seen] == 1, 1, -1) * logit(agrees)
        return total

    def _patterns(self, kind: Circumstance, subset: Sequence[str]) -> dict[bool, dict[tuple[str, ...], float]]:
        return {y: pattern_probabilities(self.circumstances.missing_in(kind, y), subset) for y in (True, False)}

    def population(self, subset: Sequence[str], rows: Sequence[int] | None = None) -> Population:
        """The visits that have some of ``subset``, without end.

        Args:
            subset: modalities that are read.
            rows: visits whose hospitals, ages, groups and times are to be mixed as in them; None takes all.

        Raises:
            InputError: where a name is not a modality in use.
        """
        self._check_subset(subset)
        chosen = self._kind if rows is None else self._kind[np.asarray(rows, dtype=int)]
        if not len(chosen):
            raise InputError("rows: there must be one at least.")
        counts = np.bincount(chosen, minlength=len(self._kinds))
        atoms = (atom for kind, count in zip(self._kinds, counts, strict=True) if count for atom in self._atoms(kind, float(count), subset))
        return Population(atoms, self.label_noise)

    def _atoms(self, kind: Circumstance, weight: float, subset: Sequence[str], complete: bool = False) -> Iterator[Atom]:
        prevalence, silent, agrees = self.circumstances.prevalence_in(kind), self.circumstances.silent_in(kind), self.circumstances.marker_in(kind)
        everything = {_ordered(subset, self.modalities): 1.0}
        patterns = {True: everything, False: everything} if complete else self._patterns(kind, subset)
        for pattern, case in patterns[True].items():
            if not pattern:
                continue
            marks = [(agrees, 1 - agrees), (1 - agrees, agrees)] if agrees is not None and MARKED in pattern else [(1.0, 1.0)]
            for telling, share in telling_probabilities(silent, pattern).items():
                for square, part in self.model.separations(telling).items():
                    for mark_if_case, mark_if_control in marks:
                        up = weight * prevalence * case * share * part * mark_if_case
                        down = weight * (1 - prevalence) * patterns[False].get(pattern, 0.0) * share * part * mark_if_control
                        offset = logit(prevalence) + np.log(case / patterns[False][pattern]) + np.log(mark_if_case / mark_if_control)
                        yield Atom(up, down, float(offset), square)

    def optimum(self, subset: Sequence[str], rows: Sequence[int] | None = None) -> dict[str, float]:
        """The best ``auroc`` (exact), ``auprc`` and ``brier`` that any model can have on the population of samples that have some of ``subset``;
        arguments as of ``population``.

        Raises:
            InputError: where the outcome is not the diagnosis, or as ``population``.
        """
        if self.outcome != "binary":
            raise InputError(f"data.outcome={self.outcome}: the best possible scores are known of data.outcome=binary only.")
        return self.population(subset, rows).scores()

    def information(self, subset: Sequence[str]) -> float:
        """Mutual information of the target and what ``subset`` shows where none of it is missing, given hospital, age and time, in bits.

        A marker on the film counts as shown.
        """
        self._check_subset(subset)
        return sum(share * population.information() for share, (population,) in self._given(subset))

    def _given(self, *sets: Sequence[str]) -> Iterator[tuple[float, list[Population]]]:
        """Of each circumstance that differs its share of the visits, and the population of complete visits for each set of modalities."""
        counts: dict[Any, list[Any]] = {}
        for kind, count in zip(self._kinds, np.bincount(self._kind), strict=True):
            rates = self.circumstances
            key = (rates.prevalence_in(kind), tuple(rates.silent_in(kind).items()), rates.marker_in(kind))
            counts.setdefault(key, [kind, 0])[1] += int(count)
        for kind, count in counts.values():
            yield count / len(self), [Population(self._atoms(kind, 1.0, subset, complete=True), self.label_noise) for subset in sets]

    def asked(self, subset: Sequence[str]) -> float:
        """The same of the diagnosis and the findings alone, as ``information`` asks for it: in the single presentation the sum of the bits of what is
        seen, in the joint one the information of a finding as far apart as all of them together. Label noise, silent examinations, a marker
        and the prevalence of a hospital or of later visits move ``information`` away from it."""
        self._check_subset(subset)
        there = {m: np.ones(1, bool) for m in subset}
        seen = [source for source in self.model.sources if source.seen(there)[0]]
        if self.model.presentation != JOINT:
            return sum(source.bits for source in seen)
        return information(float(np.sqrt(sum(source.separation**2 for source in seen))), self.circumstances.prevalence)

    def decomposition(self, first: str, second: str) -> Decomposition:
        """What two modalities say about the target both, each alone and only together, of complete visits, given hospital, age and time.

        See ``decompose``. The channels are cut into 4,000 steps of the log-odds, which takes less than 1e-4 bit from them.

        Raises:
            InputError: where they are the same, or one is not in use.
        """
        if first == second:
            raise InputError(f"decomposition of {first} and {second}: must be two different modalities.")
        self._check_subset((first, second))
        total = np.zeros(4)
        for share, (one, two, both) in self._given((first,), (second,), (first, second)):
            total += share * np.array(decompose(one.channel(), two.channel(), both.information(), one.prevalence))
        return Decomposition(*(float(part) for part in np.where(np.abs(total) < 1e-9, 0.0, total)))

    def _check_subset(self, subset: Sequence[str]) -> None:
        if not subset or not set(subset) <= set(self.modalities):
            raise InputError(f"subset {list(subset)}: must be one or more of {', '.join(self.modalities)}.")


def _each(names: list[str], number: np.ndarray) -> np.ndarray:
    """The name of each row, one object for all rows of a name."""
    return np.array(names, dtype=object)[number]


def _hospital(site: int) -> str:
    return f"hospital_{site + 1}"


def _ordered(names: Sequence[str], like: Sequence[str]) -> tuple[str, ...]:
    return tuple(m for m in like if m in names)
