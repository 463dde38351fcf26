"""Laboratory values and vital signs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmdx.simulate.rendering import Rendering, shown
from mmdx.simulate.visit import Visit

COLUMNS = ("age", "sex", "heart_rate", "systolic_pressure", "creatinine", "haemoglobin", "bnp", "troponin", "potassium")
OFTEN_MISSING = ("heart_rate", "systolic_pressure", "creatinine", "haemoglobin")
MISSING_RATE = 0.1
LOG_NOISE = 0.05
"""Standard deviation of the noise of the logarithm of peptide and troponin."""
NORMAL_POTASSIUM, POTASSIUM_NOISE = 4.2, 0.02


def render_labs(findings: Sequence[float], visit: Visit, rng: np.random.Generator, with_truth: bool = False) -> Rendering:
    """One row of values, of which one in ten of those that show no finding is missing.

    - finding 0: B-type natriuretic peptide, ``ln(bnp / 100) = 0.5 z + 0.008 (age - 62) + noise`` of standard deviation 0.05;
    - finding 1: troponin, ``ln(troponin / 10) = 0.5 z + noise`` of standard deviation 0.05;
    - finding 2: potassium, ``4.2 + sign(z) (0.45 + 0.15 |z|) + noise`` of standard deviation 0.02: too high or too low, never normal.

    A finding that isn't shown wasn't measured: its value is None.

    Returns:
        raw: age in years, sex, heart rate in 1/min, systolic pressure in mmHg, creatinine in mg/dl, haemoglobin in g/dl, BNP in pg/ml,
        troponin in ng/l and potassium in mmol/l. truth: ``values``, BNP, troponin and potassium without noise and unrounded, None where not
        measured.
    """
    noise = rng.standard_normal(5)
    gone = rng.random(len(OFTEN_MISSING)) < MISSING_RATE
    peptide, troponin, potassium = _values(findings, visit)
    raw: dict[str, float | str | None] = {
        "age": float(visit.age),
        "sex": visit.sex,
        "heart_rate": float(round(visit.heart_rate)),
        "systolic_pressure": float(visit.systolic_pressure),
        "creatinine": round(float(np.exp(0.25 * noise[0])), 2),
        "haemoglobin": round(float((13.2 if visit.sex == "F" else 14.6) + 1.2 * noise[1]), 1),
        "bnp": None if peptide is None else round(peptide * float(np.exp(LOG_NOISE * noise[2])), 1),
        "troponin": None if troponin is None else round(troponin * float(np.exp(LOG_NOISE * noise[3])), 2),
        "potassium": None if potassium is None else round(potassium + POTASSIUM_NOISE * float(noise[4]), 2),
    }
    raw |= {name: None for name, missing in zip(OFTEN_MISSING, gone, strict=True) if missing}
    return Rendering(raw, {"values": {"bnp": peptide, "troponin": troponin, "potassium": potassium}} if with_truth else {})


def _values(findings: Sequence[float], visit: Visit) -> tuple[float | None, float | None, float | None]:
    """Peptide, troponin and potassium without noise."""
    first, second, third = (shown(finding) for finding in findings)
    peptide = None if first is None else 100 * float(np.exp(0.5 * first + 0.008 * (visit.age - 62)))
    troponin = None if second is None else 10 * float(np.exp(0.5 * second))
    potassium = None if third is None else NORMAL_POTASSIUM + (1 if third >= 0 else -1) * (0.45 + 0.15 * abs(third))
    return peptide, troponin, potassium
