"""The steps that fusions of decisions begin with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def own_logits(heads: nn.ModuleDict, pooled: Mapping[str, Tensor], here: Tensor) -> Tensor:
    """Each modality's logits from its pooled features, [B, M, K] in alphabetical order, 0 where it is absent.

    Args:
        heads: one output layer a modality.
        pooled: features [B, D_m] of each modality, zero where absent.
        here: presence [B, M].
    """
    votes = torch.stack([heads[m](pooled[m]) for m in sorted(pooled)], dim=1)
    return votes.where(here[:, :, None], 0.0)


def by_modality(values: Tensor, names: list[str]) -> dict[str, Tensor]:
    """[B, M, ...] taken apart to [B, ...] of each modality."""
    return dict(zip(names, values.unbind(dim=1), strict=True))


def count_outputs(layer: nn.Module, width: int) -> int:
    """K of an output layer that takes features of a width, found by giving it zeros."""
    training = layer.training
    with torch.no_grad():
        outputs = layer.eval()(torch.zeros(1, width)).shape[-1]
    layer.train(training)
    return int(outputs)
