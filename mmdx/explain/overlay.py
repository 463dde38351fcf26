"""Attributions as a picture to lay over what they belong to: towards the output orange, against it blue, nothing transparent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

TOWARDS, AGAINST = (230, 85, 0), (0, 90, 220)
LEVELS = 15
"""Shades of either colour."""
OPAQUE = 200
"""Alpha of the strongest shade, of 255."""
LONGEST = 64
"""Most pixels a side: the picture is scaled up where it is shown."""


def scaled(weights: np.ndarray) -> np.ndarray:
    """Weights over their greatest magnitude, so that they lie in -1 to 1; zeros stay zeros."""
    top = float(np.abs(weights).max(initial=0.0))
    return weights / top if top > 0 else np.zeros_like(weights)


def shrunk(weights: np.ndarray, longest: int | Sequence[int] = LONGEST) -> np.ndarray:
    """Weights [H, W] summed over blocks, so that no side is longer than that (of each axis, or both)."""
    limits = (longest, longest) if isinstance(longest, int) else longest
    for axis, most in enumerate(limits):
        size = weights.shape[axis]
        if size > most:
            edges = (np.arange(most) * size) // most
            weights = np.add.reduceat(weights, edges, axis=axis)
    return weights


def save_overlay(weights: np.ndarray, path: Path) -> None:
    """Write weights [H, W] as a PNG of 2 * LEVELS + 1 colours, the first transparent; full colour is the 99.5th percentile of the magnitudes."""
    top = float(np.percentile(np.abs(weights), 99.5)) or float(np.abs(weights).max(initial=0.0))
    shades = np.rint((weights / top if top > 0 else np.zeros_like(weights)).clip(-1, 1) * LEVELS).astype(int)
    picture = Image.fromarray(np.where(shades < 0, LEVELS - shades, shades).astype(np.uint8), "P")
    picture.putpalette([*(0, 0, 0), *TOWARDS * LEVELS, *AGAINST * LEVELS])
    alphas = [round(OPAQUE * shade / LEVELS) for shade in range(1, LEVELS + 1)]
    picture.save(path, "PNG", optimize=True, transparency=bytes([0, *alphas, *alphas]))
