"""What all modalities of one visit share beside the diagnosis: the person, the hospital, and what is measured at the bedside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from mmdx.simulate.draws import generator, normals, uniforms

PATIENT_STREAM = 1
SITE_STREAM, PERSON_STREAM = 1_000_002, 1_000_003
"""Keys of their own, in the place of a cohort's seed: larger than anybody's, as (3, 11) and (3, 11, 0) are the same key."""


class Visit(NamedTuple):
    """One visit, beside its findings.

    Attributes:
        age: in years.
        sex: F or M.
        site: number of the hospital, from 0.
        heart_rate: beats a minute.
        systolic_pressure: mmHg.
        person: a number of the patient's own, the same at each visit: what is written once and copied forward is drawn from it.
        devices: how far the hospital's devices have moved since the beginning, in units of what hospitals differ by.
        marker: 1 or 0 where films carry a marker, and whether this one does; -1 where none ever does.
    """

    age: int
    sex: str
    site: int
    heart_rate: float
    systolic_pressure: int
    person: int = 0
    devices: float = 0.0
    marker: int = -1


class Visits(Sequence[Visit]):
    """The visits of a cohort; age, sex and site are the patient's, heart rate and blood pressure the visit's.

    Args:
        seed: of the cohort.
        rows: visits.
        sites: hospitals.
        pattern: visits of one patient after the other, repeated as often as it takes.
        stream: of what is measured at the bedside.

    Attributes:
        patient: number of the patient of each visit, [rows].
        age, site: in years, and number of the hospital, [rows].
        female: bool [rows].
        devices, marker: as in ``Visit``, [rows].
    """

    def __init__(self, seed: int, rows: int, sites: int, pattern: Sequence[int], stream: int) -> None:
        ends = np.cumsum(pattern)
        row = np.arange(rows)
        self.patient = row // ends[-1] * len(pattern) + np.searchsorted(ends, row % ends[-1], side="right")
        person = uniforms(seed, PATIENT_STREAM, int(self.patient[-1]) + 1, 3)[self.patient]
        self.age = np.clip(62 + 13 * ndtri(person[:, 0]), 20, 95).astype(int)
        self.female = person[:, 1] < 0.5
        self.site = (person[:, 2] * sites).astype(int)
        bedside = np.clip(normals(seed, stream, rows, 2), -2.5, 2.5)
        self.heart_rate, self.pressure = 75 + 9 * bedside[:, 0], np.round(130 + 14 * bedside[:, 1]).astype(int)
        self.devices, self.marker = np.zeros(rows), np.full(rows, -1)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.patient)

    def __getitem__(self, index: int) -> Visit:  # type: ignore[override]
        return Visit(
            age=int(self.age[index]),
            sex="F" if self.female[index] else "M",
            site=int(self.site[index]),
            heart_rate=float(self.heart_rate[index]),
            systolic_pressure=int(self.pressure[index]),
            person=(self.seed << 40) + int(self.patient[index]),
            devices=float(self.devices[index]),
            marker=int(self.marker[index]),
        )


def site_style(visit: Visit, modality: int, count: int) -> np.ndarray:
    """How a hospital's device or habit differs: numbers in -1 to 1, [count], the same for every seed of a cohort; devices move in a direction of
    their own, and no further than 1."""
    rng = generator(SITE_STREAM, visit.site, modality)
    first = rng.uniform(-1, 1, count)
    return np.clip(first + visit.devices * rng.uniform(-1, 1, count), -1, 1) if visit.devices else first
