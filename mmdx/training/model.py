"""The model: one encoder a modality, joined by a fusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmdx.types import Batch, Features, FusionOutput, Item


class MultimodalModel(nn.Module):
    """Encoders and a fusion, for batches in which any sample may lack any modality.

    Only items that are there are encoded (gather, encode, scatter), so what stands in an absent slot reaches no layer and no batch
    norm. The tokens of a bag's items are joined under one mask.

    Args:
        encoders: one a modality.
        fusion: joins their features.
        aggregators: for some modalities a module ``Features -> Features`` that sums up the items of a bag.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], fusion: nn.Module, aggregators: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({m: encoders[m] for m in sorted(encoders)})
        self.aggregators = nn.ModuleDict({m: a for m, a in sorted((aggregators or {}).items())})
        self.fusion = fusion

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, sorted."""
        return list(self.encoders)

    @property
    def widths(self) -> dict[str, int]:
        """D of each modality's tokens."""
        return {m: int(encoder.width) for m, encoder in self.encoders.items()}  # type: ignore[arg-type]

    @property
    def dtype(self) -> torch.dtype:
        """Of the fusion's parameters, in which it is computed unless automatic precision says otherwise."""
        return next((p.dtype for p in self.fusion.parameters() if p.is_floating_point()), torch.float32)

    def encode(self, batch: Batch) -> dict[str, Features]:
        """Features of each modality, tokens [B, I * N, D], zero where nothing is there."""
        return {m: self._encode(m, batch.inputs[m], batch.items[m] & batch.present[m][:, None]) for m in self.modalities}

    def _encode(self, modality: str, inputs: Item, items: Tensor) -> Features:
        encoder = self.encoders[modality]
        size, slots = items.shape
        rows = items.flatten().nonzero().squeeze(1)  # [n]
        if len(rows):
            tokens, mask = encoder(_gather(inputs, rows, self.dtype))
            tokens = tokens.new_zeros(size * slots, *tokens.shape[1:]).index_copy(0, rows, tokens)
            mask = mask.new_zeros(size * slots, mask.shape[1]).index_copy(0, rows, mask)
        else:
            tokens, mask = _nothing(encoder, size * slots, items.device, self.dtype)
        features = Features(tokens.reshape(size, -1, tokens.shape[-1]), mask.reshape(size, -1))
        return self.aggregators[modality](features) if modality in self.aggregators else features

    def forward(self, batch: Batch) -> FusionOutput:
        """Logits and what else the fusion returns, for a batch on the model's device."""
        return self.fusion(self.encode(batch), batch.present)

    def offered(self, features: Mapping[str, Features], present: Mapping[str, Tensor], subset: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Logits [b, K] where only a subset of the modalities is offered, and the rows [b] that have any of it."""
        subset = set(subset)
        seen = {m: here if m in subset else torch.zeros_like(here) for m, here in present.items()}
        rows = torch.stack([seen[m] for m in self.modalities], dim=1).any(dim=1).nonzero().squeeze(1)
        chosen = {m: Features(f.tokens[rows], f.mask[rows]) for m, f in features.items()}
        return self.fusion(chosen, {m: here[rows] for m, here in seen.items()}).logits, rows


def _gather(inputs: Item, rows: Tensor, dtype: torch.dtype) -> Item:
    if isinstance(inputs, dict):
        return {name: _gather(values, rows, dtype) for name, values in inputs.items()}  # type: ignore[misc]
    chosen = inputs.flatten(0, 1)[rows]
    return chosen.to(dtype) if chosen.is_floating_point() else chosen


def _nothing(encoder: nn.Module, rows: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One masked token a row, tied to the encoder's parameters at weight zero, so that every rank of a distributed run has a gradient
    for each of them though no row of its batch has the modality.
    """
    tied = sum((0.0 * p.sum() for p in encoder.parameters() if p.requires_grad), torch.zeros((), device=device, dtype=dtype))
    return torch.zeros(rows, 1, encoder.width, device=device, dtype=dtype) + tied, torch.zeros(rows, 1, dtype=torch.bool, device=device)  # type: ignore[call-overload]
