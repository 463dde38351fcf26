"""What the film and the volume of a chest share: the clinical quantities behind three findings, and how soft shapes are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mmdx.simulate.rendering import shown

RATIO = (0.50, 0.05)
"""Cardiothoracic ratio at finding 0, and what each unit of the first finding adds."""
LEVEL = (0.26, 0.04)
"""Level of the effusion as a share of the lung, at finding 0, and what each unit of the second finding adds; above 0 down to -5."""
DENSITY = (0.40, 0.12)
"""Share of the lung's air that an opacity replaces, at finding 0, and what each unit away from 0 of the third finding adds."""

COARSE = 16
"""Grid of smooth noise, along each side."""


class ChestFindings(NamedTuple):
    """What three findings come to; None where a finding isn't shown.

    Attributes:
        ratio: widest heart over widest thorax.
        level: height of the effusion on the patient's right, as a share of the lung's height (film) or depth (volume).
        side: of the opacity: 1 the patient's left, which is right in the picture, and -1 the patient's right.
        density: share of the lung's air that the opacity replaces.
    """

    ratio: float | None
    level: float | None
    side: int | None
    density: float | None

    @classmethod
    def of(cls, findings: Sequence[float]) -> ChestFindings:
        """From width of the heart, effusion, and opacity, in standard units; NaN where not shown."""
        heart, effusion, opacity = (shown(finding) for finding in findings)
        return cls(
            None if heart is None else RATIO[0] + RATIO[1] * heart,
            None if effusion is None else LEVEL[0] + LEVEL[1] * effusion,
            None if opacity is None else 1 if opacity >= 0 else -1,
            None if opacity is None else DENSITY[0] + DENSITY[1] * abs(opacity),
        )

    def truth(self, masks: dict[str, np.ndarray]) -> dict[str, Any]:
        """What is true of a rendering, with the place of each finding as a bool mask; all False where it isn't shown."""
        hidden = {"heart": self.ratio is None, "effusion": self.level is None, "opacity": self.side is None}
        return {
            "cardiothoracic_ratio": self.ratio,
            "effusion_level": self.level,
            "opacity_side": None if self.side is None else "left" if self.side > 0 else "right",
            "opacity_density": self.density,
            "masks": {name: np.zeros_like(mask) if hidden.get(name) else mask for name, mask in masks.items()},
        }


def axis(size: int) -> np.ndarray:
    """Position of each pixel from -1 to 1, float32 [size]."""
    return ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)


def soft(distance: np.ndarray, width: float) -> np.ndarray:
    """1 inside, where distance is below 0, and 0 outside, with an edge of the given width."""
    outside = np.exp(np.minimum(distance * (1 / width), 30))
    outside += 1
    return np.asarray(np.reciprocal(outside, out=outside))


def ramp(distance: np.ndarray, width: float) -> np.ndarray:
    """As ``soft``, with a straight edge: less fine, and a fifth of the time."""
    inside = distance * (-0.25 / width)
    inside += 0.5
    return np.clip(inside, 0, 1, out=inside)


def cloud(size: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, float32 [size, size]: normal numbers on a coarse grid, and straight lines between them."""
    between = _between(size)
    return np.asarray(between @ rng.standard_normal((COARSE, COARSE), dtype=np.float32) @ between.T)


@cache
def _between(size: int) -> np.ndarray:
    """Weight of each point of the coarse grid in each pixel, [size, COARSE]."""
    place = np.linspace(0, COARSE - 1, size)
    return np.clip(1 - np.abs(place[:, None] - np.arange(COARSE)), 0, 1).astype(np.float32)
