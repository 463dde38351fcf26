"""Pictures of a case: films as JPEG, volumes as a sheet of slices, with what the model went by to lay over them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from mmdx.encoders.image import ImageTransform, TimmTransform
from mmdx.encoders.pixels import as_picture, fit_into, to_uint8
from mmdx.encoders.volume import VolumeTransform
from mmdx.explain.attribution import Arrays
from mmdx.explain.overlay import save_overlay, shrunk
from mmdx.explain.parts import Part

SIDE = 224
"""Most pixels a side of what is shown."""
SLICES_A_SIDE = 3
QUALITY = 80


def is_picture(part: Part) -> bool:
    """Whether a raw input is a film or a volume: its transform takes such, or it holds whole numbers without sign in two or three axes."""
    if isinstance(part.transform, ImageTransform | TimmTransform | VolumeTransform):
        return True
    return isinstance(part.raw, np.ndarray) and part.raw.dtype.kind == "u" and part.raw.ndim in (2, 3)


def render_images(parts: list[Part], folder: Path, stem: str) -> dict[str, Any]:
    """Write ``STEM_I.jpg`` and, where the items' attributions lie on the pixels, ``STEM_I_saliency.png`` of each part.

    The picture shows what the encoder sees, padding and crop included, so that the overlay, stretched over it, lies where it belongs.

    Returns:
        The case's entry, its files relative to the folder above.
    """
    items = []
    for number, part in enumerate(parts):
        picture, place = _picture(part)
        file = f"{folder.name}/{stem}_{number}.jpg"
        picture.save(folder.parent / file, "JPEG", quality=QUALITY, optimize=True)
        item: dict[str, Any] = {"file": file, "width": picture.width, "height": picture.height}
        weights = place(part.items[0]) if place is not None and len(part.items) == 1 else None
        if weights is not None and np.any(weights):
            item["overlay"] = f"{folder.name}/{stem}_{number}_saliency.png"
            save_overlay(shrunk(weights), folder.parent / item["overlay"])
        items.append(item)
    return {"kind": "image", "items": items}


def _picture(part: Part) -> tuple[Image.Image, Any]:
    """What is shown, and what puts attributions in its place, [H, W]; None where that is not known."""
    raw, prepared, transform = part.raw, part.prepared, part.transform
    if isinstance(transform, ImageTransform):
        picture = as_picture(raw, transform.channels)
        return fit_into(picture, min(SIDE, max(transform.size, *picture.size))), _on_plane
    if isinstance(prepared, np.ndarray) and prepared.dtype == np.uint8 and _is_plane(prepared.shape):
        return _at_most(Image.fromarray(prepared)), _on_plane
    volume = isinstance(prepared, np.ndarray) and prepared.dtype == np.uint8 and prepared.ndim == 3
    if volume or not _is_plane(np.shape(raw)):
        values = prepared if volume else to_uint8(raw)
        return _at_most(Image.fromarray(sheet(values))), (lambda arrays: _on_sheet(arrays, values.shape)) if volume else None
    return _at_most(as_picture(raw, 3 if np.ndim(raw) == 3 and np.shape(raw)[2] == 3 else 1)), None


def sheet(volume: np.ndarray) -> np.ndarray:
    """Evenly spaced slices of [D, H, W] side by side, three rows of three, first slice at the top left."""
    count = SLICES_A_SIDE**2
    chosen = np.rint((np.arange(count) + 0.5) * len(volume) / count - 0.5).astype(int)
    rows = volume[chosen.clip(0, len(volume) - 1)].reshape(SLICES_A_SIDE, SLICES_A_SIDE, *volume.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def _on_plane(arrays: Arrays) -> np.ndarray | None:
    values = arrays.get("")
    if values is not None and values.ndim == 3:
        return _smooth(values.sum(axis=0))
    return _grid(arrays.get("tokens"))


def _on_sheet(arrays: Arrays, shape: tuple[int, ...]) -> np.ndarray | None:
    values = arrays.get("")
    if values is None or values.shape[1:] != shape:
        return None
    return sheet(_smooth(values.sum(axis=0)))


def _grid(tokens: np.ndarray | None) -> np.ndarray | None:
    """Tokens of a square grid row by row, with or without a class token before them, as [S, S]."""
    for first in (0, 1):
        side = math.isqrt(max(0, len(tokens) - first)) if tokens is not None else 0
        if tokens is not None and side > 1 and side**2 == len(tokens) - first:
            return tokens[first:].reshape(side, side)
    return None


def _smooth(weights: np.ndarray) -> np.ndarray:
    """Single pixels' attributions alternate in sign; over a hundredth of the side they tell where."""
    return ndimage.gaussian_filter(weights, max(1.0, max(weights.shape) / 100))


def _is_plane(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))


def _at_most(picture: Image.Image) -> Image.Image:
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return picture
