"""Volumes at one distance between voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmdx.errors import InputError

MOST_VOXELS = 2**29
"""2 GB of float32: a larger volume is a mistake in the spacing."""
SAME = 1e-3
"""Spacings that differ by this share at most are the same."""


def check_spacing(spacing: Any, key: str = "spacing") -> tuple[float, float, float]:
    """The spacing that was asked for, in mm along D, H and W.

    Raises:
        InputError: where it is neither one number above 0 nor three.
    """
    numbers = list(spacing) if isinstance(spacing, Sequence) and not isinstance(spacing, str) else [spacing] * 3
    good = len(numbers) == 3 and all(isinstance(n, int | float) and not isinstance(n, bool) and 0 < n < np.inf for n in numbers)
    if not good:
        raise InputError(f"{key}={spacing}: must be one number above 0, or three for D, H and W, in mm.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def resampled_shape(shape: tuple[int, ...], old: Sequence[float], new: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis that fill the same extent at another spacing, at least one."""
    return tuple(max(1, round(count * a / b)) for count, a, b in zip(shape, old, new, strict=True))


def resample(volume: np.ndarray, old: Sequence[float], new: Sequence[float]) -> np.ndarray:
    """A volume [D, H, W] at another spacing, float32, linear (``scipy.ndimage``, order 1), smoothed beforehand along axes that shrink.

    The outer edge of the first voxels stays where it is; beyond the last voxel's centre its value is held. Along an axis that shrinks by
    a factor f a Gaussian of standard deviation (f - 1) / 2 voxels goes first, so that detail which the new grid cannot hold does not fold back.
    """
    from scipy import ndimage

    steps = np.array([b / a if abs(b / a - 1) > SAME else 1.0 for a, b in zip(old, new, strict=True)])  # old voxels to a new one
    if (steps == 1).all():
        return volume.astype(np.float32, copy=False)
    smooth = np.maximum(0.0, (steps - 1) / 2)
    values = ndimage.gaussian_filter(volume.astype(np.float32, copy=False), smooth, mode="nearest") if smooth.any() else volume.astype(np.float32)
    shape = resampled_shape(volume.shape, old, new)
    return ndimage.affine_transform(values, steps, (steps - 1) / 2, output_shape=shape, order=1, mode="nearest").astype(np.float32, copy=False)
