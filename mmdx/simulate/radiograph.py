"""Chest radiographs: lungs, ribs, mediastinum, and a heart whose width is the finding."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from mmdx.simulate.visit import Visit, site_style

SIZE = 128
RATIO = (0.50, 0.05)
"""Cardiothoracic ratio at finding 0, and what each unit of the finding adds."""
STYLE = 0


@cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Position of each pixel, x to the right and y down, each -1 to 1, [1, SIZE] and [SIZE, 1]."""
    axis = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1).astype(np.float32)
    return axis[None, :], axis[:, None]


def _soft(distance: np.ndarray, width: float) -> np.ndarray:
    """1 inside, where distance is below 0, and 0 outside, with an edge of the given width."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance / width, -30, 30))), dtype=np.float32)


def render_radiograph(finding: float, visit: Visit, rng: np.random.Generator) -> np.ndarray:
    """A frontal film, uint8 [128, 128], the patient's left on the right.

    Widest heart over widest thorax, from lung edge to lung edge, is ``0.50 + 0.05 z``, cut to 0.2 to 0.8. Size and place of the
    thorax, height of the diaphragm, ribs, a patch of opacity in one film of four, noise, and contrast, brightness, sharpness, field and
    marker of the hospital's scanner vary.
    """
    x, y = _grid()
    centre, top, lift = (float(d) for d in rng.uniform(-0.03, 0.03, 3))
    thorax, base = float(rng.uniform(0.70, 0.78)), 0.58 + 1.6 * lift  # half its inner width; height of the diaphragm
    u, v = x - centre, y - top
    lungs = _lungs(u, v, thorax, base, rng)
    heart = _heart(u, v, float(np.clip(RATIO[0] + RATIO[1] * finding, 0.2, 0.8)) * thorax, base, rng)
    air = (0.34 - 0.06 * v) * (1 - 0.10 * _ribs(u, v, rng)) * (1 - 0.45 * _vessels(u, v, rng)) - _opacity(u, v, rng)
    film = _body(u, v) + 0.05 * _soft(np.abs(u) - 0.07, 0.02) - lungs * air  # the spine shows through
    film += np.maximum(0, 0.64 - film) * heart
    film -= 0.09 * _soft(np.abs(u) - 0.04, 0.015) * _soft(v + 0.35, 0.06)  # trachea
    return _scan(film + 0.05 * _clavicles(u, v), visit.site, rng)


def _body(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Soft tissue: neck, shoulders, chest wall, and the abdomen, which is densest."""
    shoulders = np.abs(u) - 0.97 + 0.75 * np.clip(-0.55 - v, 0, 1) ** 0.5 * np.clip(np.abs(u) * 1.6 - 0.35, 0, 1)
    return np.asarray((0.56 + 0.06 * v) * _soft(shoulders, 0.03))


def _lungs(u: np.ndarray, v: np.ndarray, thorax: float, base: float, rng: np.random.Generator) -> np.ndarray:
    """Two lungs, narrower at the apex, on two domes of the diaphragm, either side of the mediastinum."""
    narrowing = np.clip((0.05 - v) / 0.95, 0, 1) ** 2
    outer = np.abs(u) - thorax * (1 - 0.55 * narrowing) + 0.03 * np.clip(v, 0, 1)
    mediastinum = float(rng.uniform(0.10, 0.12)) - 0.03 * np.clip(-v - 0.2, 0, 1) - np.abs(u)
    higher = np.where(u < 0, 0.03, -0.03)  # the right dome
    dome = v - base + higher - 0.9 * (np.abs(u) - 0.36) ** 2
    return _soft(outer, 0.016) * _soft(mediastinum, 0.02) * _soft(dome, 0.016) * _soft(-0.86 - v, 0.04)


def _heart(u: np.ndarray, v: np.ndarray, half_width: float, base: float, rng: np.random.Generator) -> np.ndarray:
    """A slanted oval on the diaphragm, a third of it right of the middle, with the great vessels above and the aortic knob."""
    shift = 0.24 * half_width + float(rng.uniform(-0.015, 0.015))
    half_height = (0.24 + 0.34 * half_width) * float(rng.uniform(0.95, 1.05))
    level = base - 0.06 - 0.55 * half_height
    p, q = u - shift - 0.22 * (v - level), v - level
    across = np.sqrt(half_width**2 - (0.22 * half_height) ** 2)  # slanted, it is as wide as half_width says
    oval = np.sqrt((p / float(across)) ** 2 + (q / half_height) ** 2) - 1
    stem = np.maximum(np.abs(u - 0.02) - 0.13 - 0.10 * np.clip(v + 0.3, 0, 0.4), np.abs(v) - 0.38)
    knob = np.sqrt((u - 0.12) ** 2 + (v + 0.36) ** 2) - 0.07
    return np.maximum(_soft(oval, 0.016 / half_width), np.maximum(_soft(stem, 0.025), _soft(knob, 0.016)))


def _vessels(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Branching markings, densest at the hila and gone at the rim."""
    coarse = zoom(rng.standard_normal((SIZE // 8, SIZE // 8), dtype=np.float32), 8, order=1)
    away = (np.abs(u) - 0.2) ** 2 / 0.06 + (v + 0.02) ** 2 / 0.12
    return np.asarray(np.exp(-away) * (0.6 + 0.25 * coarse))


def _clavicles(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _soft(np.abs(v + 0.66 + 0.22 * (np.abs(u) - 0.1)) - 0.028, 0.012) * _soft(np.abs(np.abs(u) - 0.42) - 0.34, 0.02)


def _ribs(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nine pairs that run outwards and down, behind, and more steeply in front."""
    count, phase = float(rng.uniform(5.2, 5.8)), rng.random()
    behind = np.sin(2 * np.pi * (count * (v - 0.28 * u**2) + phase))
    front = np.sin(2 * np.pi * (count * 0.8 * (v + 0.55 * np.abs(u)) + phase))
    return 2 * _soft(0.45 - behind, 0.12) + _soft(0.6 - front, 0.12)


def _opacity(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray | float:
    """A patch that has nothing to do with the diagnosis, in one film of four."""
    if rng.random() >= 0.25:
        return 0.0
    side, height, size, density = (float(value) for value in rng.uniform((0.42, -0.5, 0.08, 0.10), (0.55, 0.2, 0.16, 0.18)))
    side = side if rng.random() < 0.5 else -side
    return np.asarray(density * np.exp(-((u - side) ** 2 + (v - height) ** 2) / size**2))


def _scan(film: np.ndarray, site: int, rng: np.random.Generator) -> np.ndarray:
    """What the detector makes of it."""
    contrast, brightness, sharpness, field = (float(value) for value in site_style(site, STYLE, 4))
    texture = zoom(rng.standard_normal((SIZE // 4, SIZE // 4), dtype=np.float32), 4, order=1)
    film = gaussian_filter(film + 0.01 * texture, 0.6 + 0.25 * sharpness)
    film = (1.35 + 0.15 * contrast) * (film - 0.35) + 0.45 + 0.05 * brightness + float(rng.uniform(-0.03, 0.03))
    film += 0.02 * rng.standard_normal(film.shape, dtype=np.float32)
    edge = 2 + int(2 * (1 + field))
    film[:, :edge] = film[:, -edge:] = 0.02
    row, column = (8 if field > 0 else SIZE - 16), SIZE - 16
    film[row : row + 7, column : column + 2] = film[row + 5 : row + 7, column : column + 6] = 0.95  # the letter L
    return np.asarray(np.clip(film, 0, 1) * 255 + 0.5).astype(np.uint8)
