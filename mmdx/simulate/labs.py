"""Laboratory values and vital signs."""

from __future__ import annotations

import numpy as np

from mmdx.simulate.visit import Visit

COLUMNS = ("age", "sex", "heart_rate", "systolic_pressure", "creatinine", "haemoglobin", "bnp")
OFTEN_MISSING = ("heart_rate", "systolic_pressure", "creatinine", "haemoglobin")
MISSING_RATE = 0.1


def draw_labs(finding: float, visit: Visit, rng: np.random.Generator) -> dict[str, float | str | None]:
    """One row of values.

    B-type natriuretic peptide shows the finding, ``ln(bnp / 100) = 0.5 z + 0.008 (age - 62) + noise`` of standard deviation 0.05, and is
    always measured; one in ten of the other measurements is missing.

    Returns:
        age in years, sex, heart rate in 1/min, systolic pressure in mmHg, creatinine and haemoglobin in mg/dl and g/dl, BNP in pg/ml.
    """
    noise = rng.standard_normal(3)
    values: dict[str, float | str | None] = {
        "age": float(visit.age),
        "sex": visit.sex,
        "heart_rate": float(round(visit.heart_rate)),
        "systolic_pressure": float(visit.systolic_pressure),
        "creatinine": round(float(np.exp(0.25 * noise[0])), 2),
        "haemoglobin": round(float((13.2 if visit.sex == "F" else 14.6) + 1.2 * noise[1]), 1),
        "bnp": round(float(100 * np.exp(0.5 * finding + 0.008 * (visit.age - 62) + 0.05 * noise[2])), 1),
    }
    gone = rng.random(len(OFTEN_MISSING)) < MISSING_RATE
    return values | {name: None for name, missing in zip(OFTEN_MISSING, gone, strict=True) if missing}
