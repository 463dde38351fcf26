"""What a case shows of one modality: each raw input with what its transform made of it and the attributions of its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdx.explain.attribution import Arrays, Attribution
from mmdx.study import Study
from mmdx.training.fit import TrainedModel
from mmdx.training.frozen import StandardisedFeatures
from mmdx.types import Transform


@dataclass(frozen=True)
class Part:
    """One raw input of a bag.

    Attributes:
        raw: as the data set gives it, see ``mmdx/data/raw.py``.
        prepared: as the transform prepared it.
        transform: what made items of it.
        items: attributions of each of its items; empty dicts where these have none of their own, or the modality hardly counts. Features computed
            beforehand have ``tokens`` [N].
    """

    raw: Any
    prepared: Any
    transform: Transform
    items: list[Arrays]


def parts_of(study: Study, trained: TrainedModel, modality: str, raws: Any, attribution: Attribution) -> list[Part]:
    """The parts of one modality of a sample, in the order of its bag."""
    transform, arrays = trained.transforms[modality], attribution.items[modality]
    bag = raws if isinstance(raws, list) else [raws]
    encoded = isinstance(transform, StandardisedFeatures)
    if encoded:  # the encoder ran beforehand: its tokens are attributed, and shown on what it read
        transform = study.cohort.transforms[modality]
        prepared = [transform.prepare(raw) for raw in bag]
    else:
        prepared = study.cohort[attribution.index][modality]
    counts = [_count(transform, one) for one in prepared]
    if encoded:
        tokens = study.cohort[attribution.index][modality][0]
        arrays = _tokens_by_item(arrays[0]["tokens"][: len(tokens)].sum(axis=1), sum(counts))
    each = iter(arrays)
    if modality not in attribution.telling:
        each = iter([{} for _ in range(sum(counts))])
    return [Part(r, p, transform, [next(each) for _ in range(n)]) for r, p, n in zip(bag, prepared, counts, strict=True)]


def _count(transform: Transform, prepared: Any) -> int:
    made = transform(prepared, None)
    return len(made) if isinstance(made, list) else 1


def _tokens_by_item(tokens: np.ndarray, items: int) -> list[Arrays]:
    """Tokens of a whole bag by item, where each item has as many."""
    if len(tokens) % items:
        return [{} for _ in range(items)]
    return [{"tokens": own} for own in tokens.reshape(items, -1)]
