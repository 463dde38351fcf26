"""Features of a cohort as tensors: batches of them by row numbers, without a loader."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdx.training.frozen import EncodedCohort, StandardisedFeatures, statistics
from mmdx.types import Batch, Features, Item, Transform


class FeatureTable:
    """Features of every row of a cohort; what is not in a batch stays in the memory maps.

    Args:
        cohort: where the features are.
        modalities: which of them.
    """

    def __init__(self, cohort: EncodedCohort, modalities: tuple[str, ...]) -> None:
        self.located = {m: cohort.located[m] for m in sorted(modalities)}
        self.flat = {m: [torch.from_numpy(part) for part in own.tokens] for m, own in self.located.items()}

    @property
    def bytes(self) -> int:
        """How large the features are."""
        return sum(flat.nbytes for own in self.flat.values() for flat in own)

    def standardised(self, transforms: Mapping[str, Any]) -> FeatureTable:
        """The same features, standardised, in memory."""
        made = copy.copy(self)
        made.flat = {m: [standardised(flat, *(s[0] for s in scale([transforms[m]]))) for flat in own] for m, own in self.flat.items()}
        return made

    def present(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Whether rows have each modality, bool, in the shape of ``rows``."""
        return {m: own.length[rows] >= 0 for m, own in self.located.items()}

    def features(self, rows: np.ndarray) -> dict[str, Features]:
        """Features of rows [...]: tokens [..., N, D], N being the most that any of them has, and their mask [..., N]."""
        return {m: self._features(m, rows) for m in self.located}

    def _features(self, m: str, rows: np.ndarray) -> Features:
        own, flat = self.located[m], self.flat[m]
        length = np.maximum(own.length[rows], 0)
        slots = max(1, int(length.max(initial=0)))
        mask = np.arange(slots) < length[..., None]
        place = np.where(mask, own.start[rows][..., None] + np.arange(slots), 0)
        if len(flat) == 1:
            tokens = _taken(flat[0], place)
        else:
            segment = np.broadcast_to(own.segment[rows][..., None], place.shape)
            tokens = torch.zeros(*place.shape, flat[0].shape[1])
            for number, part in enumerate(flat):
                here = (segment == number) & mask
                if here.any():
                    tokens[torch.from_numpy(here)] = _taken(part, place[here])
        known = torch.from_numpy(mask)
        return Features(tokens if mask.all() else tokens.masked_fill(~known[..., None], 0.0), known)

    def fit(self, rows: np.ndarray) -> dict[str, dict[str, Any]]:
        """Mean and standard deviation of each modality's tokens over some rows, as states of ``StandardisedFeatures``."""
        found = {}
        for m, own in self.located.items():
            there = rows[own.length[rows] > 0]
            parts = []
            for number, flat in enumerate(self.flat[m]):
                here = there[own.segment[there] == number]
                lengths = own.length[here]
                first = np.repeat(own.start[here] - (lengths.cumsum() - lengths), lengths)
                parts.append(flat.numpy()[first + np.arange(lengths.sum())] if len(here) else np.zeros((0, flat.shape[1]), np.float32))
            found[m] = statistics(np.concatenate([part for part in parts if len(part)] or parts[:1]))
        return found


def _taken(flat: Tensor, place: np.ndarray) -> Tensor:
    taken = flat.index_select(0, torch.from_numpy(place.reshape(-1))) if len(flat) else torch.zeros(place.size, flat.shape[1])
    return taken.reshape(*place.shape, flat.shape[1])


class FeatureBatches:
    """Batches of some rows for evaluation, without a loader.

    Args:
        cohort: where the features are.
        transforms: fitted, of each modality.
        target: encoded targets of all rows of the data set.
        rows: which.
        size: rows of a batch.
    """

    def __init__(self, cohort: EncodedCohort, transforms: Mapping[str, Transform], target: np.ndarray, rows: np.ndarray, size: int) -> None:
        self.table, self.target, self.rows, self.size = FeatureTable(cohort, tuple(transforms)), target, rows, size
        self.transforms = dict(transforms)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.rows), self.size):
            rows = self.rows[start : start + self.size]
            inputs: dict[str, Item] = {}
            items: dict[str, Tensor] = {}
            present = {m: torch.from_numpy(here) for m, here in self.table.present(rows).items()}
            for m, (tokens, mask) in self.table.features(rows).items():
                made = standardised(tokens, *scale([self.transforms[m]])).where(mask[..., None], 0.0)
                inputs[m], items[m] = {"tokens": made[:, None], "mask": mask[:, None]}, present[m][:, None]
            yield Batch(inputs, items, present, torch.as_tensor(self.target[rows]), {"index": rows.tolist()})


def scale(transforms: list[Any]) -> tuple[Tensor, Tensor]:
    """Means and standard deviations [E, 1, 1, D] of E standardisations; [1, 1, D] of one alone."""
    assert all(isinstance(transform, StandardisedFeatures) for transform in transforms)
    mean, sd = (torch.from_numpy(np.stack([getattr(t, name) for t in transforms]))[:, None, None] for name in ("mean", "sd"))
    return (mean[0], sd[0]) if len(transforms) == 1 else (mean, sd)


def standardised(tokens: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Tokens less the mean, over the standard deviation."""
    return (tokens - mean) / sd
