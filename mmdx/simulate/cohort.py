"""A cohort of patients with chest film, note, heart sound and laboratory values, whose true posterior is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import expit

from mmdx.data.tables import build_table, sample
from mmdx.errors import InputError, SampleError
from mmdx.simulate.draws import generator, normals, uniforms
from mmdx.simulate.heart_sound import render_heart_sound
from mmdx.simulate.labs import draw_labs
from mmdx.simulate.latent import LatentFindings, entropy, separation_for
from mmdx.simulate.note import render_note
from mmdx.simulate.optimum import optimal_scores
from mmdx.simulate.presence import draw_presence, pattern_probabilities
from mmdx.simulate.radiograph import render_radiograph
from mmdx.simulate.visit import Visit, draw_visits, patient_numbers
from mmdx.types import Sample

RENDERERS: Mapping[str, Callable[[float, Visit, np.random.Generator], Any]] = MappingProxyType(
    {"image": render_radiograph, "text": render_note, "audio": render_heart_sound, "tabular": draw_labs}
)
"""What shows the finding of each modality. The order is part of the seed: a new one goes to the end."""

INFORMATION = MappingProxyType({"image": 0.34, "text": 0.34, "audio": 0.32, "tabular": 0.18})
MISSING = MappingProxyType({"image": 0.1, "text": 0.15, "audio": 0.15, "tabular": 0.05})

DIAGNOSIS_STREAM, FINDING_STREAM, BEDSIDE_STREAM, MISSING_STREAM, RENDER_STREAM = 11, 12, 13, 14, 15


class SimulatedCohort:
    """Visits of simulated patients; nothing is downloaded or written, each sample is rendered when it is read.

    The diagnosis causes one latent finding a modality (``LatentFindings``), which the modality shows: the width of the heart on the
    film, the grades stated in the note, the level of the murmur, the natriuretic peptide. Age, sex, hospital, style and noise do not
    depend on the diagnosis. Row i of a seed is the same whatever ``samples`` and ``modalities`` are. Each modality in use goes missing
    completely at random, but each sample keeps one of them. Of every four patients one has two visits, whose diagnoses are independent.

    Args:
        samples: visits, 2 or more.
        modalities: the modalities in use, from image, text, audio and tabular.
        prevalence: P(target = 1), between 0 and 1.
        information: bits that each modality alone carries about the target; of those in use, 0 to below the target's own entropy.
        correlation: between the findings of two modalities among patients with the same diagnosis, 0 to below 1. The more, the
            more often they err together and the less a further modality adds.
        missing: rate at which each modality is missing, 0 to below 1; 0 for those not named.
        sites: hospitals, each with its own scanner, stethoscope and habit of writing.
        seed: draws the cohort; the hospitals are the same for each seed.

    Attributes:
        findings: latent finding [n] of each modality in use: what an oracle knows and no model may see.
        present: bool [n] of each modality in use.

    Raises:
        InputError: where an argument is out of range, or all samples have the same class.
    """

    unit = "patient"

    def __init__(
        self,
        samples: int = 900,
        modalities: Sequence[str] = tuple(RENDERERS),
        prevalence: float = 0.4,
        information: Mapping[str, float] = INFORMATION,
        correlation: float = 0.1,
        missing: Mapping[str, float] = MISSING,
        sites: int = 3,
        seed: int = 0,
    ) -> None:
        self.modalities = tuple(modalities)
        _check(samples, self.modalities, prevalence, information, correlation, missing, sites, seed)
        separation = {m: separation_for(information[m], prevalence) if m in self.modalities else 0.0 for m in RENDERERS}
        self.model = LatentFindings(separation, prevalence, correlation)
        self.missing = {m: float(missing.get(m, 0.0)) for m in self.modalities}
        self.seed, self.faults = seed, list[SampleError]()
        self.visits = draw_visits(seed, samples, sites, BEDSIDE_STREAM)
        target = (uniforms(seed, DIAGNOSIS_STREAM, samples, 1)[:, 0] < prevalence).astype(int)
        if len(set(target.tolist())) < 2:
            raise InputError(f"data.samples={samples}: all of them have class {target[0]}; give more samples or another data.seed.")
        findings = self.model.draw(target, normals(seed, FINDING_STREAM, samples, 1 + len(RENDERERS)))
        self.findings = {m: findings[m] for m in self.modalities}
        order = [list(RENDERERS).index(m) for m in self.modalities]
        chance = uniforms(seed, MISSING_STREAM, samples, 2 * len(RENDERERS)).reshape(samples, 2, -1)[:, :, order]
        self.present = draw_presence(self.missing, chance[:, 0], chance[:, 1])
        self.table = build_table(
            {
                "sample_id": [f"s{row:06d}" for row in range(samples)],
                "patient_id": [f"p{number:06d}" for number in patient_numbers(samples)],
                "site": [f"hospital_{visit.site + 1}" for visit in self.visits],
                "target": target.tolist(),
                "meta_sex": [visit.sex for visit in self.visits],
                "meta_age_group": [_age_group(visit.age) for visit in self.visits],
            }
        )

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        inputs = {}
        for number, (m, render) in enumerate(RENDERERS.items()):
            if m in self.modalities and self.present[m][index]:
                rng = generator(self.seed, RENDER_STREAM, index, number)
                inputs[m] = render(float(self.findings[m][index]), self.visits[index], rng)
        return sample(self.table, index, inputs)

    def posterior(self, subset: Sequence[str]) -> np.ndarray:
        """P(target = 1) of every sample given the findings that it has out of ``subset``, [n]; the prevalence where it has none.

        Raises:
            InputError: where a name is not a modality in use.
        """
        self._check_subset(subset)
        return np.asarray(expit(self.model.log_odds(self.findings, {m: self.present[m] for m in subset})))

    def optimum(self, subset: Sequence[str]) -> dict[str, float]:
        """The best ``auroc``, ``auprc`` and ``brier`` that any model can have on the population of samples that have some of ``subset``.

        Missing modalities are taken into account, see ``optimal_scores``; AUROC is exact.

        Raises:
            InputError: where a name is not a modality in use.
        """
        self._check_subset(subset)
        patterns = pattern_probabilities(self.missing, subset)
        separations = np.array([self.model.joint_separation(pattern) for pattern in patterns])
        return optimal_scores(separations, np.array(list(patterns.values())), self.model.prevalence)

    def _check_subset(self, subset: Sequence[str]) -> None:
        if not subset or not set(subset) <= set(self.modalities):
            raise InputError(f"subset {list(subset)}: must be one or more of {', '.join(self.modalities)}.")


def _age_group(age: int) -> str:
    return "under 40" if age < 40 else "40 to 59" if age < 60 else "60 and over"


def _check(
    samples: int,
    modalities: tuple[str, ...],
    prevalence: float,
    information: Mapping[str, float],
    correlation: float,
    missing: Mapping[str, float],
    sites: int,
    seed: int,
) -> None:
    known = ", ".join(RENDERERS)
    if not modalities or len(set(modalities)) < len(modalities) or not set(modalities) <= set(RENDERERS):
        raise InputError(f"data.modalities={list(modalities)}: must be one or more different ones of {known}.")
    for name, value, least in (("samples", samples, 2), ("sites", sites, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"data.{name}={value}: must be a whole number of at least {least}.")
    if not 0 < prevalence < 1:
        raise InputError(f"data.prevalence={prevalence}: must be above 0 and below 1.")
    if not 0 <= correlation < 1:
        raise InputError(f"data.correlation={correlation}: must be at least 0 and below 1.")
    for key, values in (("information", information), ("missing", missing)):
        if odd := sorted(set(values) - set(RENDERERS)):
            raise InputError(f"data.{key}.{odd[0]}: no such modality; must be one of {known}.")
    if unset := [m for m in modalities if m not in information]:
        raise InputError(f"data.information: says nothing of {unset[0]}; give the bits it carries, 0 for none.")
    for m in modalities:
        most = 0.98 * float(entropy(np.array(prevalence)))
        if not 0 <= information[m] < most:
            bounds = f"below {most:.3f} bits, about what there is to know at data.prevalence={prevalence}"
            raise InputError(f"data.information.{m}={information[m]}: must be at least 0 and {bounds}.")
        if not 0 <= missing.get(m, 0.0) < 1:
            raise InputError(f"data.missing.{m}={missing[m]}: must be at least 0 and below 1.")
