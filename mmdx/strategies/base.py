"""A strategy wraps a fusion, whichever it is, and is a fusion itself; what strategies share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import check_width, modality_names
from mmdx.types import Features, FusionOutput


class Strategy(nn.Module):
    """A fusion around another: same names and widths of modalities, same forward; it adds losses or changes what the other sees.

    What it adds in training is done in training mode alone. Losses enter ``aux_losses`` times their weight.

    Args:
        widths: D_m, the width of each modality's features.
        fusion: the fusion inside, built for the same widths.
    """

    def __init__(self, widths: Mapping[str, int], fusion: nn.Module) -> None:
        super().__init__()
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.fusion = fusion

    @property
    def method(self) -> object:
        """What the fusion inside says of itself."""
        return getattr(self.fusion, "method", None)

    def others(self, modality: str) -> list[str]:
        """Every modality but one."""
        return [m for m in self.modalities if m != modality]


def require(fulfilled: bool, key: str, value: object, words: str) -> None:
    """Refuse a setting.

    Raises:
        InputError: where it isn't fulfilled, naming the key, the value and what would be accepted.
    """
    if not fulfilled:
        raise InputError(f"{key}={value}: must be {words}.")


def with_loss(output: FusionOutput, name: str, loss: Tensor) -> FusionOutput:
    """The output with one more loss."""
    return output._replace(aux_losses={**output.aux_losses, name: loss})


def mean_over(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of values [B] over some rows [B]; a zero that still has a gradient where there is none."""
    return values.where(rows, 0.0).sum() / rows.sum().clamp(min=1)


def squared_error(target: Tensor, guess: Tensor, rows: Tensor) -> Tensor:
    """Mean over some rows [B] and all numbers of ``(target - guess)^2`` [B, D]; no gradient reaches the target."""
    return mean_over((target.detach() - guess).square().mean(dim=1), rows)


def any_of(present: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """Rows [B] that have at least one of the named modalities."""
    return torch.stack([present[m] for m in names]).any(dim=0)


def zeroed(features: Mapping[str, Features], present: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Features]:
    """The features with zeros in the place of padding and of what stands in absent slots."""
    for m in widths:
        check_width(m, features, widths)
    real = {m: (features[m].mask & present[m][:, None])[:, :, None] for m in widths}
    return {m: Features(features[m].tokens.where(real[m], 0.0), features[m].mask) for m in widths}
