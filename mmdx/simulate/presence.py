"""Which modalities a sample has: missing completely at random, at least one always left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np


def draw_presence(missing: Mapping[str, float], chance: np.ndarray, key: np.ndarray) -> dict[str, np.ndarray]:
    """Whether each sample has each modality.

    Each goes missing by itself with its rate; where all would, one, drawn evenly, stays.

    Args:
        missing: rate by modality in use.
        chance: uniform in 0 to 1, [n, M], columns in the order of ``missing``: missing where below the rate.
        key: the same, independent of ``chance``: the largest stays.

    Returns:
        bool [n] by modality.
    """
    here = chance >= np.array(list(missing.values()))
    none = ~here.any(axis=1)
    here[none, key[none].argmax(axis=1)] = True
    return {m: here[:, i] for i, m in enumerate(missing)}


def pattern_probabilities(missing: Mapping[str, float], subset: Sequence[str]) -> dict[tuple[str, ...], float]:
    """Probability of each set of modalities that a sample has out of ``subset``, among samples that have one of them at least.

    Args:
        missing: rate of every modality in use, as for ``draw_presence``.
        subset: names from it.
    """
    names = list(missing)
    total = dict.fromkeys((p for p in product((False, True), repeat=len(names)) if any(p)), 0.0)
    all_missing = float(np.prod(list(missing.values())))
    for pattern in total:
        factors = [1 - missing[m] if there else missing[m] for m, there in zip(names, pattern, strict=True)]
        total[pattern] = float(np.prod(factors)) + (all_missing / len(names) if sum(pattern) == 1 else 0.0)
    seen: dict[tuple[str, ...], float] = {}
    for pattern, probability in total.items():
        left = tuple(m for m, there in zip(names, pattern, strict=True) if there and m in subset)
        seen[left] = seen.get(left, 0.0) + probability
    nothing = seen.pop((), 0.0)
    return {left: probability / (1 - nothing) for left, probability in seen.items() if probability > 0}
