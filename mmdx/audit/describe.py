"""What a probe can learn from one raw input: its content in a few numbers or words, and what its file says before it is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import signal

from mmdx.data.raw import Recording, Signal
from mmdx.data.readers import files_of

SIDE = 16
"""Side of the thumbnail that stands for a picture, in pixels."""
BANDS = 48
"""Bands of the power spectrum that stands for a sound."""


class Description(NamedTuple):
    """One raw input.

    Attributes:
        content: text itself, a vector, or a dict of columns; None for a kind of input that is not known here.
        file: numbers that need no look at the content: size, shape, bit depth, duration.
    """

    content: str | np.ndarray | dict[str, Any] | None
    file: dict[str, float]


def describe(raw: Any, paths: list[Path] | None = None) -> Description:
    """Describe a raw input of any of the forms of ``mmdx.data.raw``; of a bag the first item, and how many there are."""
    items = raw if isinstance(raw, list) else [raw]
    first = items[0]
    file: dict[str, float] = {"items": float(len(items))} if isinstance(raw, list) else {}
    if paths:
        file["bytes"] = float(sum(part.stat().st_size for path in paths for part in files_of(path)))
    if isinstance(first, str):
        return Description("\n".join(items), file)
    if isinstance(first, Signal):
        content = np.mean([_sound(Recording(channel, round(first.rate))) for channel in first.samples], axis=0)
        length = first.samples.shape[1] / first.rate
        return Description(content, {**file, "seconds": length, "rate": float(first.rate), "channels": float(len(first.names))})
    if isinstance(first, Recording):
        return Description(_sound(first), {**file, "seconds": len(first.samples) / first.rate, "rate": float(first.rate)})
    if isinstance(first, np.ndarray):
        shape = {f"axis_{i}": float(size) for i, size in enumerate(first.shape)}
        if first.ndim > 1:
            shape["aspect"] = first.shape[1] / first.shape[0]
        content = _picture(first) if first.ndim in (2, 3) else None
        return Description(content, {**file, **shape, "bits": float(first.dtype.itemsize * 8)})
    if isinstance(first, Mapping):
        return Description(dict(first), file)
    return Description(None, file)


def _sound(recording: Recording) -> np.ndarray:
    """Log power in bands that are even in log frequency up to half the rate, and the level's percentiles."""
    frequencies, power = signal.welch(recording.samples.astype(np.float64), recording.rate, nperseg=min(len(recording.samples), 2048))
    edges = np.geomspace(max(frequencies[1], 5.0) if len(frequencies) > 1 else 5.0, recording.rate / 2, BANDS + 1)
    place = np.clip(np.searchsorted(edges, frequencies, side="right") - 1, 0, BANDS - 1)
    total, count = np.bincount(place, power, BANDS), np.bincount(place, minlength=BANDS)
    level = np.percentile(np.abs(recording.samples), (50, 90, 99, 100))
    return np.log10(np.concatenate([total / np.maximum(count, 1), level]) + 1e-12)


def _picture(array: np.ndarray) -> np.ndarray:
    """A thumbnail with brightness from 0 to 1, and the histogram of brightness."""
    grey = array.astype(np.float64)
    if grey.ndim == 3:
        grey = grey.mean(axis=2) if grey.shape[2] in (3, 4) else grey[len(grey) // 2]
    low, high = grey.min(), grey.max()
    grey = (grey - low) / (high - low) if high > low else np.zeros_like(grey)
    small = Image.fromarray(grey.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX)
    histogram = np.histogram(grey, bins=16, range=(0, 1))[0] / grey.size
    return np.concatenate([np.asarray(small).ravel(), histogram])
