"""From samples' items to one batch: bags and lengths are padded, absence is a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdx.errors import InputError
from mmdx.types import Batch, Item


@dataclass
class Example:
    """One sample whose raw inputs have become items: ``items[m]`` is a list, empty where the sample lacks m."""

    index: int
    items: dict[str, list[Item]]
    target: Any


def collate(examples: list[Example]) -> Batch:
    """Join examples to a batch; see ``Batch`` for the shapes. What stands in an absent slot is zero and is never read.

    Raises:
        InputError: where a sample has no modality at all.
    """
    for example in examples:
        if not any(example.items.values()):
            raise InputError(f"row {example.index}: the sample has none of the modalities {sorted(example.items)}; remove it.")
    inputs, items, present = {}, {}, {}
    for modality in examples[0].items:
        bags = [example.items[modality] for example in examples]
        slots = max(1, *(len(bag) for bag in bags))
        items[modality] = torch.tensor([[i < len(bag) for i in range(slots)] for bag in bags])
        present[modality] = items[modality].any(dim=1)
        inputs[modality] = _stack(bags, slots)
    target = torch.as_tensor(np.stack([example.target for example in examples]))
    return Batch(inputs, items, present, target, {"index": [example.index for example in examples]})


def _stack(bags: list[list[Item]], slots: int) -> Item:
    first = next((bag[0] for bag in bags if bag), None)
    if first is None:
        return torch.zeros(len(bags), slots)
    if isinstance(first, dict):
        return {name: _pad([[item[name] for item in bag] for bag in bags], slots) for name in first}  # type: ignore[index, call-overload]
    return _pad(bags, slots)  # type: ignore[arg-type]


def _pad(bags: list[list[Tensor]], slots: int) -> Tensor:
    tensors = [tensor for bag in bags for tensor in bag]
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    out = tensors[0].new_zeros(len(bags), slots, *shape)
    for b, bag in enumerate(bags):
        for i, tensor in enumerate(bag):
            out[b, i][tuple(slice(0, size) for size in tensor.shape)] = tensor
    return out
