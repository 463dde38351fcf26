"""Random numbers that row i of seed s always gets, whatever the size of the cohort and the order of reading."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BLOCK = 4096
"""Rows drawn together: a block is always drawn whole, so that a larger cohort begins with the rows of a smaller one."""


def generator(*key: int) -> np.random.Generator:
    """The generator of a key, such as (seed, stream, row)."""
    return np.random.default_rng(np.random.SeedSequence(key))


def uniforms(seed: int, stream: int, rows: int, columns: int) -> np.ndarray:
    """Uniform numbers in 0 to 1, [rows, columns]; row i depends on (seed, stream, i) and ``columns`` only."""
    return _blocks(np.random.Generator.random, seed, stream, rows, columns)


def normals(seed: int, stream: int, rows: int, columns: int) -> np.ndarray:
    """Standard normal numbers, [rows, columns]; row i depends on (seed, stream, i) and ``columns`` only."""
    return _blocks(np.random.Generator.standard_normal, seed, stream, rows, columns)


def _blocks(draw: Callable[..., np.ndarray], seed: int, stream: int, rows: int, columns: int) -> np.ndarray:
    drawn = np.empty((rows, columns))
    for block, start in enumerate(range(0, rows, BLOCK)):
        drawn[start : start + BLOCK] = draw(generator(seed, stream, block), (BLOCK, columns))[: rows - start]
    return drawn
