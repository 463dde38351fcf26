"""Computed tomography of the chest, coarse: the findings of the film, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmdx.simulate.rendering import Rendering
from mmdx.simulate.thorax import RATIO, ChestFindings, axis, ramp
from mmdx.simulate.visit import Visit, site_style

SIZE = (32, 64, 64)
STYLE = 4
DEPTH = 0.56
"""Half the lungs' depth, front to back, in half heights of a slice."""
AIR, TISSUE, WATER = 0.14, 0.60, 0.68
"""Tones of lung, of soft tissue and fluid, and of the heart."""
UPPER, LOWER, BASES = slice(0, 20), slice(10, 32), slice(24, 32)
"""Slices that opacities lie in, the heart, and the diaphragm."""
Z, Y, X = axis(SIZE[0])[:, None, None], axis(SIZE[1])[None, :, None], axis(SIZE[2])[None, None, :]


def render_volume(findings: Sequence[float], visit: Visit, rng: np.random.Generator, with_truth: bool = False) -> Rendering:
    """Axial slices from apex to base, uint8 [32, 64, 64], front at the top and the patient's left on the right.

    1. Width of the heart: widest heart over widest thorax, from lung edge to lung edge, is ``0.50 + 0.05 z``. Not shown: the lungs
       around the heart are filled, and its border is gone.
    2. Effusion on the patient's right, whose level lies ``0.26 + 0.04 z`` of the lung's depth above its deepest point; the patient
       lies on the back. Not shown: none.
    3. Opacity of the upper or middle lung: on the patient's left where z >= 0, else on the right; it replaces ``0.40 + 0.12 |z|`` of the
       lung's air. Not shown: none.

    Size and place of the thorax, ribs, place and size of the opacity, noise, and contrast, brightness, noise and sharpness of the hospital's
    scanner vary; marker there is none. The numbers drawn from ``rng`` do not depend on the findings.

    Args:
        findings: width of the heart, effusion, opacity, in standard units; NaN where not shown.
        visit: whose hospital's scanner the volume shows.
        rng: draws all that is left to chance.
        with_truth: whether to state what is true of the volume, with masks of lungs, heart, effusion and opacity, bool [32, 64, 64].
    """
    chest = ChestFindings.of(findings)
    contrast, brightness, grain, sharpness = site_style(visit, STYLE, 4).tolist()
    centre, middle = rng.uniform(-0.03, 0.03, 2).tolist()
    thorax, phase = rng.uniform((0.68, 0), (0.74, 1)).tolist()  # half its inner width
    edge = 0.014 + 0.003 * sharpness
    u, v = X - centre, Y - middle
    outwards = np.sqrt((u / thorax) ** 2 + (v / DEPTH) ** 2) / (1 - 0.5 * np.clip(0.1 - Z, 0, 1) ** 2)  # 1 at the inner chest wall
    lungs = _lungs(u, v, outwards, edge)
    heart = _heart(u, v, (chest.ratio or RATIO[0]) * thorax, edge, rng)
    patch = _opacity(u, v, chest.side, rng)
    air = (TISSUE - AIR) * lungs
    if chest.density is not None:
        air[UPPER] *= 1 - chest.density * patch
    fluid = np.zeros((1, 1, 1)) if chest.level is None else ramp(DEPTH * (1 - 2 * chest.level) - v, edge) * (u < 0)
    if chest.level is not None:
        air *= 1 - fluid
    volume = _body(u, v, outwards, phase)
    volume -= air
    dense = heart if chest.ratio is not None else np.maximum(heart, _haze(u, v, outwards[LOWER]))
    volume[LOWER] += (WATER - volume[LOWER]) * dense
    raw = _scan(volume, contrast, brightness, grain, rng)
    if not with_truth:
        return Rendering(raw, {})
    organ, place = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    organ[LOWER], place[UPPER] = (heart > 0.5) & (chest.ratio is not None), patch > 0.2
    inside = (lungs > 0.5) & ~organ
    masks = {"lungs": inside, "heart": organ, "effusion": inside & (fluid > 0.5), "opacity": inside & place}
    return Rendering(raw, chest.truth(masks))


def _lungs(u: np.ndarray, v: np.ndarray, outwards: np.ndarray, edge: float) -> np.ndarray:
    """Either side of mediastinum, aorta and vertebra, down to a diaphragm that is highest in its middle."""
    between = np.minimum(np.abs(u) - 0.11, np.hypot(u - 0.12, v - 0.26) - 0.08)
    between = np.minimum(between, np.hypot(u, v - DEPTH) - 0.17)
    dome = 0.55 + 1.2 * ((np.abs(u) - 0.36) ** 2 + v**2)
    wall = 0.6 * outwards
    wall -= 0.6
    np.maximum(wall, -between, out=wall)
    np.maximum(wall[BASES], Z[BASES] - dome, out=wall[BASES])
    wall[0] = 1  # above the apex
    return ramp(wall, edge)


def _heart(u: np.ndarray, v: np.ndarray, half_width: float, edge: float, rng: np.random.Generator) -> np.ndarray:
    """An ellipsoid in front, a third of it left of the middle, on the diaphragm."""
    shift = 0.2 * half_width + float(rng.uniform(-0.015, 0.015))
    depth, height = ((0.20 + 0.30 * half_width) * rng.uniform(0.95, 1.05, 2)).tolist()
    plane = ((u - shift) / half_width) ** 2 + ((v + 0.12) / depth) ** 2
    return ramp((np.sqrt(plane + ((Z[LOWER] - 0.30) / (1.2 * height)) ** 2) - 1) * half_width, edge)


def _opacity(u: np.ndarray, v: np.ndarray, side: int | None, rng: np.random.Generator) -> np.ndarray:
    """A ball with a soft rim on the given side; the numbers are drawn whether it is shown or not."""
    across, front, level, size = rng.uniform((0.30, -0.20, -0.5, 0.18), (0.38, -0.10, -0.2, 0.22)).tolist()
    plane = (u - (side or 1) * across) ** 2 + (v - front) ** 2
    return ramp(np.sqrt(plane + (0.8 * (Z[UPPER] - level)) ** 2) - size, 0.03)


def _haze(u: np.ndarray, v: np.ndarray, outwards: np.ndarray) -> np.ndarray:
    """Fills both lungs around the heart, short of the wall and of the back, where fluid lies."""
    return ramp(outwards - 0.88, 0.035) * (ramp(v - 0.20, 0.025) * ramp(np.abs(Z[LOWER] - 0.30) - 0.43, 0.03))


def _body(u: np.ndarray, v: np.ndarray, outwards: np.ndarray, phase: float) -> np.ndarray:
    """Soft tissue in a rounded outline, with trachea, vertebra, and ribs that run forwards and down."""
    outline = (u / 0.94) ** 4 + (v / 0.80) ** 4 - 1
    vertebra = np.minimum(np.hypot(u, v - DEPTH) - 0.13, np.maximum(np.abs(u) - 0.05, np.abs(v - DEPTH - 0.18) - 0.06))
    slice_ = TISSUE * ramp(outline, 0.05) + 0.22 * ramp(vertebra, 0.014)
    trachea = ramp(np.hypot(u, v + 0.02) - 0.06, 0.014) * ramp(Z[UPPER] + 0.1, 0.03)
    body = ramp(np.abs(outwards - 1.09) - 0.04, 0.014)
    body *= 0.22 * ramp(0.3 - np.sin(2 * np.pi * (4.5 * Z + 1.2 * v + phase)), 0.1)
    body += slice_
    body[UPPER] -= (TISSUE - AIR) * trachea
    return body


def _scan(volume: np.ndarray, contrast: float, brightness: float, grain: float, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of it."""
    picture = rng.standard_normal(SIZE, dtype=np.float32)
    picture *= 0.03 + 0.01 * grain
    picture += volume * (1.15 + 0.10 * contrast)
    picture += 0.04 + 0.03 * brightness
    np.clip(picture, 0, 1, out=picture)
    picture *= 255
    picture += 0.5
    return picture.astype(np.uint8)
