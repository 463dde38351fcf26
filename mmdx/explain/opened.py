"""An encoder laid open where its numbers and ids come in, so that gradients can be taken there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmdx.types import Features, Item


@dataclass(frozen=True)
class Place:
    """Where a path is cut: a tensor of an encoder's items, or the embeddings of its ids (``column`` of them, or all)."""

    modality: str
    name: str
    layer: nn.Module
    ids: bool = False
    column: int | None = None


class Opened(nn.Module):
    """An encoder whose tensors of numbers pass through a layer each, at which captum can cut; embeddings of ids are found when it first runs."""

    def __init__(self, encoder: nn.Module, modality: str) -> None:
        super().__init__()
        self.encoder, self.modality, self.width = encoder, modality, encoder.width
        self.places: list[Place] | None = None

    def forward(self, items: Item) -> Features:
        """The encoder's features."""
        if self.places is None:
            self.places = self._find(items)
        layers = {place.name: place.layer for place in self.places if not place.ids}
        opened = {name: layers[name](values) if name in layers else values for name, values in named_tensors(items).items()}
        return self.encoder(opened[""] if isinstance(items, Tensor) else opened)

    @torch.no_grad()
    def _find(self, items: Item) -> list[Place]:
        named = named_tensors(items)
        places = [Place(self.modality, name, nn.Identity()) for name, values in named.items() if values.is_floating_point()]
        ids = {name: values for name, values in named.items() if not values.is_floating_point() and values.dtype != torch.bool}

        def look(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            for name, values in ids.items():
                if isinstance(inputs[0], Tensor) and inputs[0].untyped_storage().data_ptr() == values.untyped_storage().data_ptr():
                    column = int(inputs[0].storage_offset() - values.storage_offset()) if inputs[0].ndim < values.ndim else None
                    places.append(Place(self.modality, name, layer, True, column))

        hooks = [part.register_forward_pre_hook(look) for part in self.encoder.modules() if isinstance(part, nn.Embedding)]
        try:
            self.encoder(items)
        finally:
            for hook in hooks:
                hook.remove()
        return places


def named_tensors(items: Item) -> dict[str, Tensor]:
    """An encoder's items by name, "" where they are one tensor."""
    return {"": items} if isinstance(items, Tensor) else items


def like(items: Item, named: dict[str, Tensor]) -> Item:
    """Named tensors in the form of some items."""
    return named[""] if isinstance(items, Tensor) else named
