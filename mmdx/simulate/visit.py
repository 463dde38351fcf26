"""What all modalities of one visit share beside the diagnosis: the person, the hospital, and what is measured at the bedside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from mmdx.simulate.draws import generator, normals, uniforms

PATIENT_STREAM, SITE_STREAM = 1, 2
PATIENTS_A_BLOCK, ROWS_A_BLOCK = 4, 5
"""Of every four patients the last has two visits: five rows."""


class Visit(NamedTuple):
    """One visit; none of this depends on the diagnosis.

    Attributes:
        age: in years.
        sex: F or M.
        site: number of the hospital, from 0.
        heart_rate: beats a minute.
        systolic_pressure: mmHg.
    """

    age: int
    sex: str
    site: int
    heart_rate: float
    systolic_pressure: int


def patient_numbers(rows: int) -> np.ndarray:
    """Number of the patient of each row, [rows]."""
    row = np.arange(rows)
    return row // ROWS_A_BLOCK * PATIENTS_A_BLOCK + np.minimum(row % ROWS_A_BLOCK, PATIENTS_A_BLOCK - 1)


def draw_visits(seed: int, rows: int, sites: int, stream: int) -> list[Visit]:
    """The visits of a cohort; age, sex and site are the patient's, heart rate and blood pressure (from ``stream``) the visit's."""
    patients = patient_numbers(rows)
    person = uniforms(seed, PATIENT_STREAM, int(patients.max()) + 1, 3)[patients]
    ages = np.clip(62 + 13 * ndtri(person[:, 0]), 20, 95).astype(int)
    bedside = np.clip(normals(seed, stream, rows, 2), -2.5, 2.5)
    return [
        Visit(int(age), "F" if p[1] < 0.5 else "M", int(p[2] * sites), float(75 + 9 * b[0]), round(130 + 14 * float(b[1])))
        for age, p, b in zip(ages, person, bedside, strict=True)
    ]


def site_style(site: int, modality: int, count: int) -> np.ndarray:
    """How a hospital's device or habit differs: numbers in -1 to 1, [count], the same for every seed of a cohort."""
    return generator(SITE_STREAM, site, modality).uniform(-1, 1, count)
