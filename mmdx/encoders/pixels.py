"""Pixels and voxels before any network: one value range, one size, and small random changes in training; numpy, Pillow and scipy only."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from mmdx.errors import InputError, SampleError

WINDOW = (0.5, 99.5)
"""Percentiles of an image's own values that become black and white where its type does not say what they are."""


def to_uint8(raw: Any) -> np.ndarray:
    """Values of any type as uint8, the shape kept.

    uint8, bool and floats within 0 to 1 keep their values; anything else (16 bit, Hounsfield units, raw detector counts) is cut to the
    window between its own 0.5th and 99.5th percentile, so that one hot pixel does not darken the rest. NaN is background: the lowest value.

    Raises:
        SampleError: where there is no value, or one is infinite or not a number at all.
    """
    values = np.asarray(raw)
    if values.size == 0 or values.dtype.kind not in "buif":
        raise SampleError(f"an image of shape {values.shape} and type {values.dtype} has no numbers; expected integers or floats.")
    if values.dtype == np.uint8:
        return values
    values = values.astype(np.float64)
    if np.isinf(values).any() or np.isnan(values).all():
        raise SampleError("an image has infinite values or NaN alone; expected finite values. Remove the row.")
    values = np.where(np.isnan(values), np.nanmin(values), values)
    low, high = (0.0, 1.0) if values.min() >= 0.0 and values.max() <= 1.0 else np.percentile(values, WINDOW)
    if high <= low:
        low, high = values.min(), values.max()
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return np.rint(255.0 * scaled.clip(0.0, 1.0)).astype(np.uint8)


def as_picture(raw: Any, channels: int) -> Image.Image:
    """A raw [H, W], [H, W, 1] or [H, W, 3] as a Pillow image, grey for one channel and RGB for three.

    Raises:
        SampleError: where the shape is another, as of a volume.
    """
    values = np.asarray(raw)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        raise SampleError(
            f"an image has shape {values.shape}; expected [H, W] or [H, W, 3]. For volumes [D, H, W] use encoder/image: monai3d."
        )
    return Image.fromarray(to_uint8(values)).convert("L" if channels == 1 else "RGB")


def fit_into(picture: Image.Image, size: int) -> Image.Image:
    """Resize so that the longer side is ``size`` and centre on a black square; what was a circle stays one."""
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new(picture.mode, (size, size))
    square.paste(picture.resize((width, height), Image.Resampling.BILINEAR), ((size - width) // 2, (size - height) // 2))
    return square


def resample_volume(volume: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    """Resample uint8 [D, H, W] to ``size``, each axis by itself, linearly, smoothed beforehand along axes that shrink."""
    factors = [new / old for new, old in zip(size, volume.shape, strict=True)]
    smooth = [max(0.0, (1.0 / factor - 1.0) / 2.0) for factor in factors]
    values = ndimage.gaussian_filter(volume.astype(np.float32), smooth, mode="nearest") if any(smooth) else volume.astype(np.float32)
    out = ndimage.zoom(values, factors, order=1, mode="nearest", grid_mode=True)
    return np.rint(out.clip(0.0, 255.0)).astype(np.uint8)


@dataclass(frozen=True)
class Augmentation:
    """Small random changes in training: each draw is uniform between minus and plus the bound.

    Flips are off: in a chest film left and right are not the same, and a mirrored heart is a finding.

    Args:
        rotation: degrees; volumes are turned in the H-W plane.
        shift: share of each side.
        scale: share by which it grows or shrinks.
        brightness: share by which values are multiplied up or down.
        flip: probability of a left-right flip.
    """

    rotation: float = 5.0
    shift: float = 0.05
    scale: float = 0.05
    brightness: float = 0.1
    flip: float = 0.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            highest = 180.0 if name == "rotation" else 1.0 if name == "flip" else 0.9
            if not 0.0 <= getattr(self, name) <= highest:
                raise InputError(f"augment.{name}={getattr(self, name)}: must be from 0 to {highest:g}.")

    def image(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of uint8 [H, W] or [H, W, 3]; what comes in from outside is black."""
        matrix, offset, _, brightness = self._draw(values.shape[:2], rng)
        return _brightened(_affine(values, matrix, offset), brightness)

    def volume(self, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of uint8 [D, H, W]; along D it is shifted and scaled only."""
        matrix, offset, (zoom, deep), brightness = self._draw(values.shape[1:], rng)
        middle = (values.shape[0] - 1.0) / 2.0
        whole = np.block([[np.full((1, 1), 1.0 / zoom), np.zeros((1, 2))], [np.zeros((2, 1)), matrix]])
        start = np.array([middle - (middle + deep * values.shape[0]) / zoom, *offset])
        return _brightened(ndimage.affine_transform(values.astype(np.float32), whole, start, order=1), brightness)

    def _draw(self, plane: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, float], float]:
        """Matrix and offset from output to input (row, column), zoom and shift along D, factor of brightness; always as many draws."""
        bounds = np.array([math.radians(self.rotation), self.scale, self.shift, self.shift, self.shift, self.brightness])
        angle, grow, down, right, deep, bright = rng.uniform(-1.0, 1.0, 6) * bounds
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / (1.0 + grow)
        if rng.uniform() < self.flip:
            matrix[1] *= -1.0
        centre = (np.array(plane) - 1.0) / 2.0
        return matrix, centre - matrix @ (centre + np.array([down, right]) * plane), (1.0 + grow, deep), 1.0 + bright


def _brightened(values: np.ndarray, factor: float) -> np.ndarray:
    return np.rint((values * factor).clip(0.0, 255.0)).astype(np.uint8)


def _affine(values: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Output pixel (y, x) is the input at ``matrix @ (y, x) + offset``; Pillow counts x first and from pixel edges."""
    (yy, yx), (xy, xx) = matrix
    oy, ox = offset + 0.5 - matrix @ np.array([0.5, 0.5])
    picture = Image.fromarray(values)
    return np.asarray(picture.transform(picture.size, Image.Transform.AFFINE, (xx, xy, ox, yx, yy, oy), Image.Resampling.BILINEAR))
