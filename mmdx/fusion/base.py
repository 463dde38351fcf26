"""What a fusion says of itself, and the steps that most of them begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmdx.errors import InputError
from mmdx.types import Features

FAMILIES = ("simple", "conditioning", "multiplicative", "attention", "missing", "decision")
ABSENCES = ("design", "masking")


class Method(NamedTuple):
    """What a fusion says of itself; a fusion may carry one as its class attribute ``method``.

    Attributes:
        family: one of ``FAMILIES``.
        paper: authors, year and where it is found.
        tokens: whether it reads an encoder's tokens; else their mean.
        absence: "design" where the method says what becomes of an absent modality, "masking" where its slot is masked or zeroed for it.
        own_losses: whether the paper trains each modality's own logits beside the fused ones, as ``training.per_modality_loss=auto`` then does.
        exempt: of ``mmdx.testing.check_fusion`` the checks that it does not keep, and why.
    """

    family: str
    paper: str
    tokens: bool = False
    absence: str = "masking"
    own_losses: bool = False
    exempt: Mapping[str, str] = {}


def modality_names(widths: Mapping[str, int]) -> list[str]:
    """The modalities in alphabetical order, so that neither weights nor outputs depend on the order of the dict.

    Raises:
        InputError: where there is no modality or a width isn't a whole number above 0.
    """
    if not widths:
        raise InputError("widths={}: a fusion needs at least one modality, as in widths={'ecg': 64}.")
    for name, width in widths.items():
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise InputError(f"widths[{name!r}]={width!r}: must be a whole number above 0, the width of that encoder's tokens.")
    return sorted(widths)


def check_counts(**settings: int) -> None:
    """Refuse settings that are not whole numbers of at least 1; the first fault is named by its key."""
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"fusion.{key}={value!r}: must be a whole number of at least 1.")


def present_pooled(features: Mapping[str, Features], present: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Pooled features [B, D_m] of each modality, exactly zero where it is absent.

    Raises:
        InputError: where a modality is missing from the dicts or its width is not the one the fusion was built for.
    """
    pooled = {}
    for name in sorted(widths):
        check_width(name, features, widths)
        pooled[name] = features[name].pooled.where(present[name][:, None], 0.0)
    return pooled


def check_width(name: str, features: Mapping[str, Features], widths: Mapping[str, int]) -> None:
    """Compare one modality's features with the width the fusion was built for; shapes only, never values."""
    if name not in features:
        raise InputError(f"features: no {name!r} among {sorted(features)}; the fusion was built for {sorted(widths)}.")
    given = features[name].tokens.shape[-1]
    if given != widths[name]:
        raise InputError(f"features[{name!r}]: width {given}, but the fusion was built with widths[{name!r}]={widths[name]}.")


def stack_presence(present: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """Presence of the named modalities as one bool tensor [B, M]."""
    return torch.stack([present[name] for name in names], dim=1)


class Tokens(NamedTuple):
    """One modality's tokens, ready for arithmetic.

    Attributes:
        values: [B, N, D], zero where a token is not real.
        real: [B, N] bool, false for padding and for all tokens of an absent modality.
    """

    values: Tensor
    real: Tensor

    @property
    def here(self) -> Tensor:
        """Whether a sample has any real token, [B]."""
        return self.real.any(dim=1)


def present_tokens(features: Mapping[str, Features], present: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Tokens]:
    """Tokens of each modality, in alphabetical order, exactly zero for padding and where the modality is absent.

    Raises:
        InputError: where a modality is missing from the dicts or its width is not the one the fusion was built for.
    """
    tokens = {}
    for name in sorted(widths):
        check_width(name, features, widths)
        real = features[name].mask & present[name][:, None]
        tokens[name] = Tokens(features[name].tokens.where(real[:, :, None], 0.0), real)
    return tokens
