"""Class weights."""

from __future__ import annotations

import numpy as np

from mmdx.errors import InputError


def check_class_weight(value: str | None) -> str | None:
    """Return the value of ``task.class_weight`` where it is one that exists."""
    if value not in (None, "balanced"):
        raise InputError(f"task.class_weight={value}: must be null or balanced.")
    return value


def balanced_weights(classes: np.ndarray, count: int) -> list[float]:
    """Weight n / (count * n_class) of each class, from class indices [n]; 0 for a class that does not occur."""
    numbers = np.bincount(classes, minlength=count)
    return [float(len(classes) / (count * n)) if n else 0.0 for n in numbers]
