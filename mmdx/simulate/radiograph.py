"""Chest radiographs that show width of the heart, a pleural effusion, and an opacity of the lung."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from mmdx.simulate.rendering import Rendering
from mmdx.simulate.thorax import RATIO, ChestFindings, axis, cloud, soft
from mmdx.simulate.visit import Visit, site_style

SIZE = 128
STYLE = 0
APEX = -0.86
"""Top of the lungs, in half heights of the film."""
AIR, WATER = 0.34, 0.64
"""How much darker than soft tissue the lung is, and the tone of the heart."""
X, Y = axis(SIZE)[None, :], axis(SIZE)[:, None]
PORTABLE = np.array([[int(dot) for dot in row] for row in ("11111111", "11000011", "11011011", "11000011", "11011111", "11011111", "11111111")])
"""The marker of a film that was taken at the bedside: a bright box with a dark P."""


def render_radiograph(findings: Sequence[float], visit: Visit, rng: np.random.Generator, with_truth: bool = False) -> Rendering:
    """A frontal film, uint8 [128, 128], the patient's left on the right.

    1. Width of the heart: widest heart over widest thorax, from lung edge to lung edge, is ``0.50 + 0.05 z``. Not shown: a haze over
       both bases hides the borders of heart and diaphragm.
    2. Effusion on the patient's right: its upper rim at the chest wall stands ``0.26 + 0.04 z`` of the lung's height above the
       costophrenic angle. Not shown: a sharp angle.
    3. Opacity of the upper or middle lung: on the patient's left where z >= 0, else on the right; it replaces ``0.40 + 0.12 |z|`` of the
       lung's air. Not shown: none.

    Size and place of the thorax, height of the diaphragm, ribs, vessels, small nodules, place and size of the opacity, noise, and
    contrast, brightness, sharpness and field of the hospital's scanner vary. The numbers drawn from ``rng`` do not depend on the findings.

    Args:
        findings: width of the heart, effusion, opacity, in standard units; NaN where not shown.
        visit: whose hospital's scanner, and whose marker, the film shows.
        rng: draws all that is left to chance.
        with_truth: whether to state what is true of the film, with masks of lungs, heart, effusion and opacity, bool [128, 128].
    """
    chest = ChestFindings.of(findings)
    centre, top, lift = rng.uniform(-0.03, 0.03, 3).tolist()
    thorax, base = float(rng.uniform(0.70, 0.78)), 0.58 + 1.6 * lift  # half its inner width; height of the diaphragm
    u, v = X - centre, Y - top
    lungs = _lungs(u, v, thorax, base, rng)
    heart, vessels = _heart(u, v, (chest.ratio or RATIO[0]) * thorax, base, rng)
    fluid = 0.0 if chest.level is None else _effusion(u, v, chest.level, thorax, base)
    patch = _opacity(u, v, chest.side, rng)
    air = (AIR - 0.06 * v) * (1 - 0.12 * _ribs(u, v, rng)) * (1 - 0.45 * _markings(u, v, rng)) - _nodules(u, v, rng)
    if chest.density is not None:
        air -= AIR * chest.density * patch
    film = _body(u, v, base) - lungs * air * (1 - 0.92 * fluid)
    film += np.maximum(0, WATER - film) * np.maximum(heart, vessels)
    if chest.ratio is None:
        film += np.maximum(0, WATER - film) * _haze(u, v, thorax)
    film -= 0.09 * soft(np.abs(u) - 0.04, 0.015) * soft(v + 0.35, 0.06)  # trachea
    picture = _scan(film + 0.05 * _clavicles(u, v), visit, rng)
    if not with_truth:
        return Rendering(picture, {})
    silhouette = (heart > 0.5) & (chest.ratio is not None)
    inside = (lungs > 0.5) & ~silhouette
    masks = {"lungs": inside, "heart": silhouette, "effusion": inside & (fluid > 0.5), "opacity": inside & (patch > 0.2)}
    return Rendering(picture, chest.truth(masks))


def _body(u: np.ndarray, v: np.ndarray, base: float) -> np.ndarray:
    """Soft tissue: neck, shoulders, chest wall, spine, and the abdomen, which is densest, with air in the stomach."""
    shoulders = np.abs(u) - 0.97 + 0.75 * np.sqrt(np.clip(-0.55 - v, 0, 1)) * np.clip(np.abs(u) * 1.6 - 0.35, 0, 1)
    stomach = ((u - 0.34) / 0.16) ** 2 + ((v - base - 0.20) / 0.07) ** 2 - 1
    spine = 0.05 * soft(np.abs(u) - 0.07, 0.02) * (1 + 0.25 * np.sin(36 * v))
    return np.asarray((0.56 + 0.06 * v) * soft(shoulders, 0.03) + spine - 0.10 * soft(stomach, 0.25))


def _lungs(u: np.ndarray, v: np.ndarray, thorax: float, base: float, rng: np.random.Generator) -> np.ndarray:
    """Two lungs, narrower at the apex, on two domes of the diaphragm, either side of the mediastinum."""
    narrowing = np.clip((0.05 - v) / 0.95, 0, 1) ** 2
    outer = np.abs(u) - thorax * (1 - 0.55 * narrowing) + 0.03 * np.clip(v, 0, 1)
    mediastinum = float(rng.uniform(0.10, 0.12)) - 0.03 * np.clip(-v - 0.2, 0, 1) - np.abs(u)
    dome = v - base - 0.03 * np.sign(u) - 1.1 * (np.abs(u) - 0.36) ** 2  # the right one is higher
    return soft(np.maximum(np.maximum(outer, dome), 0.8 * mediastinum), 0.016) * soft(APEX - v, 0.04)


def _heart(u: np.ndarray, v: np.ndarray, half_width: float, base: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A slanted oval on the diaphragm, a third of it right of the middle; and the great vessels above, with the aortic knob."""
    shift = 0.24 * half_width + float(rng.uniform(-0.015, 0.015))
    half_height = (0.24 + 0.30 * half_width) * float(rng.uniform(0.95, 1.05))
    level = base - 0.04 - 0.55 * half_height
    p, q = u - shift - 0.32 * (v - level), v - level
    across = float(np.sqrt(half_width**2 - (0.32 * half_height) ** 2))  # slanted, it is as wide as half_width says
    oval = np.sqrt((p / across) ** 2 + (q / half_height) ** 2) - 1
    stem = np.maximum(np.abs(u - 0.02) - 0.13 - 0.16 * np.clip(v + 0.3, 0, 0.4), np.abs(v) - 0.38)
    knob = np.sqrt((u - 0.12) ** 2 + (v + 0.36) ** 2) - 0.07
    return soft(oval, 0.016 / half_width), soft(np.minimum(0.64 * stem, knob), 0.016)


def _effusion(u: np.ndarray, v: np.ndarray, level: float, thorax: float, base: float) -> np.ndarray:
    """Fluid that rises towards the chest wall of the patient's right, and falls towards the heart, whose widest part stays clear."""
    angle = base - 0.03 + 1.1 * (thorax - 0.36) ** 2
    outwards = np.clip((-u / thorax - 0.3) / 0.7, 0, 1)
    surface = angle - level * (angle - APEX) * (0.55 + 0.45 * outwards**3)
    return soft(surface - v, 0.014) * (u < 0)


def _opacity(u: np.ndarray, v: np.ndarray, side: int | None, rng: np.random.Generator) -> np.ndarray:
    """A patch with an uneven rim, 1 in its middle, on the given side; the numbers are drawn whether it is shown or not."""
    across, height, size = rng.uniform((0.38, -0.42, 0.16), (0.46, -0.18, 0.19)).tolist()
    rim = cloud(SIZE, rng)
    return soft(np.sqrt((u - (side or 1) * across) ** 2 + (v - height) ** 2) / size - 1 + 0.08 * rim, 0.12)


def _haze(u: np.ndarray, v: np.ndarray, thorax: float) -> np.ndarray:
    """Over both bases, thinner at the chest wall, where a fluid level can still be seen."""
    outwards = np.abs(u) / thorax
    return (0.12 + 0.88 * soft(outwards - 0.77, 0.045)) * soft(outwards - 1, 0.05) * soft(0.25 * outwards**2 - 0.10 - v, 0.045)


def _markings(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vessels, densest at the hila and gone at the rim."""
    away = (np.abs(u) - 0.2) ** 2 / 0.06 + (v + 0.02) ** 2 / 0.12
    return np.asarray(np.exp(-away) * (0.6 + 0.25 * cloud(SIZE, rng)))


def _nodules(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Small round spots anywhere, such as vessels seen end-on: too small to be taken for the opacity."""
    columns, rows, density = rng.uniform((-0.6, -0.6, 0.02), (0.6, 0.3, 0.05), (6, 3)).T.astype(np.float32)
    across, along = (np.exp(-(((grid - at[:, None]) / 0.022) ** 2)) for grid, at in ((u, columns), (v.T, rows)))
    return np.asarray((density[:, None] * along).T @ across)


def _clavicles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return soft(np.abs(v + 0.66 + 0.22 * (np.abs(u) - 0.1)) - 0.028, 0.012) * soft(np.abs(np.abs(u) - 0.42) - 0.34, 0.02)


def _ribs(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nine pairs that run outwards and down, behind, and more steeply in front."""
    count, phase = float(rng.uniform(5.2, 5.8)), rng.random()
    behind = np.sin(2 * np.pi * (count * (v - 0.28 * u**2) + phase))
    front = np.sin(2 * np.pi * (count * 0.8 * (v + 0.55 * np.abs(u)) + phase))
    return 2 * soft(0.45 - behind, 0.12) + soft(0.6 - front, 0.12)


def _scan(film: np.ndarray, visit: Visit, rng: np.random.Generator) -> np.ndarray:
    """What the detector makes of it, and the letters put on it."""
    contrast, brightness, sharpness, field = site_style(visit, STYLE, 4).tolist()
    film = gaussian_filter(film + 0.008 * cloud(SIZE, rng), 0.6 + 0.25 * sharpness)
    film = (1.35 + 0.15 * contrast) * (film - 0.35) + 0.45 + 0.05 * brightness + float(rng.uniform(-0.03, 0.03))
    film += 0.02 * rng.standard_normal(film.shape, dtype=np.float32)
    edge = 2 + int(2 * (1 + field))
    film[:, :edge] = film[:, -edge:] = 0.02
    row, column = (8 if field > 0 else SIZE - 16), SIZE - 16
    film[row : row + 7, column : column + 2] = film[row + 5 : row + 7, column : column + 6] = 0.95  # the letter L
    if visit.marker == 1:
        film[8 : 8 + PORTABLE.shape[0], 9 : 9 + PORTABLE.shape[1]] = 0.95 * PORTABLE
    return np.asarray(np.clip(film, 0, 1) * 255 + 0.5).astype(np.uint8)
