"""Random numbers that row i of seed s always gets, whatever the size of the cohort and the order of reading."""

from __future__ import annotations

import numpy as np

BLOCK = 4096
"""Rows drawn together: a block is always drawn whole, so that a larger cohort begins with the rows of a smaller one."""


def generator(*key: int) -> np.random.Generator:
    """The generator of a key, such as (seed, stream, row)."""
    return np.random.default_rng(np.random.SeedSequence(key))


def uniforms(seed: int, stream: int, rows: int, columns: int) -> np.ndarray:
    """Uniform numbers in 0 to 1, [rows, columns]; row i depends on (seed, stream, i) and ``columns`` only."""
    blocks = [generator(seed, stream, block).random((BLOCK, columns)) for block in range(-(-rows // BLOCK))]
    return np.concatenate([*blocks, np.empty((0, columns))])[:rows]


def normals(seed: int, stream: int, rows: int, columns: int) -> np.ndarray:
    """Standard normal numbers, [rows, columns]; row i depends on (seed, stream, i) and ``columns`` only."""
    blocks = [generator(seed, stream, block).standard_normal((BLOCK, columns)) for block in range(-(-rows // BLOCK))]
    return np.concatenate([*blocks, np.empty((0, columns))])[:rows]
