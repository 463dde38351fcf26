"""A fusion as the conformance kit builds it, what the kit gives it, and how its answers are compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from mmdx.fusion.base import ABSENCES, FAMILIES, Method
from mmdx.types import Features, FusionOutput

WIDTHS = {"audio": 20, "ecg": 12, "image": 24, "labs": 7, "text": 16}
TOKENS = {"audio": 5, "ecg": 1, "image": 9, "labs": 2, "text": 7}
CASES = (["image"], ["image", "text"], ["text", "image", "audio"], ["audio", "ecg", "image", "text"], ["text", "labs", "image", "ecg", "audio"])
"""Modalities that a fusion is built for, one to five."""
ROWS = 8
NOT_NUMBERS = (float("nan"), float("inf"), 1e30)
Inputs = tuple[dict[str, Features], dict[str, Tensor]]
Parts = dict[str, Tensor]
Places = dict[str, Tensor]
"""Of each modality the tokens that are meant, bool [B, N]."""


@dataclass
class Case:
    """A fusion to be built for some modalities, and what it is given."""

    build: Callable[..., nn.Module]
    widths: dict[str, int]
    outputs: int

    def __str__(self) -> str:
        return f"with modalities {list(self.widths)}"

    def made(self, seed: int = 0, order: Sequence[str] | None = None) -> nn.Module:
        """The fusion in evaluation, its weights drawn from a seed, its widths in some order of their names."""
        torch.manual_seed(seed)
        return self.build(widths={m: self.widths[m] for m in order or self.widths}, head=partial(nn.Linear, out_features=self.outputs)).eval()

    @property
    def inputs(self) -> Inputs:
        """Features and presence."""
        return random_features(self.widths)


def random_features(widths: Mapping[str, int], batch: int = ROWS, seed: int = 1) -> Inputs:
    """Features and presence in which each modality is absent somewhere, bags differ in length, and one sample has one modality."""
    draw = torch.Generator().manual_seed(seed)
    features, present = {}, {}
    for row, (m, width) in enumerate(widths.items()):
        count = TOKENS.get(m, 3)
        mask = torch.arange(count)[None, :] < torch.randint(1, count + 1, (batch, 1), generator=draw)
        features[m] = Features(torch.randn(batch, count, width, generator=draw), mask)
        present[m] = torch.ones(batch, dtype=torch.bool)
        if len(widths) > 1:
            present[m][row % batch] = False
            present[m][batch - 1] = row == 0
    return features, present


def check_made(case: Case) -> Mapping[str, str]:
    """That the fusion can be built, says what it is in known words and is called as mmdx calls it; what it is exempt from, with the reasons."""
    try:
        fusion = case.made()
    except Exception as fault:
        told = f"{type(fault).__name__}: {first_line(fault)}"
        raise AssertionError(f"{case}: it could not be built ({told}), expected a fusion of any number of modalities, one to five here") from fault
    names = [*inspect.signature(fusion.forward).parameters][:2]
    assert names == ["features", "present"], f"{case}: forward takes ({', '.join(names)}), expected (features, present); training refuses other names"
    method = getattr(fusion, "method", None)
    if method is None:
        return {}
    assert isinstance(method, Method), f"method={method!r}: expected a mmdx.fusion.base.Method"
    for key, allowed in (("family", FAMILIES), ("absence", ABSENCES)):
        assert getattr(method, key) in allowed, f"method.{key}={getattr(method, key)!r}: must be one of {', '.join(allowed)}"
    return method.exempt


def first_line(fault: Exception) -> str:
    """What an exception says, in one line."""
    return (str(fault).strip() or "no message").splitlines()[0]


def mode(training: bool) -> str:
    """The word for it."""
    return "training" if training else "evaluation"


def fused(fusion: nn.Module, features: Mapping[str, Features], present: Mapping[str, Tensor], seed: int = 2) -> FusionOutput:
    """The output without gradients, whatever the fusion draws being drawn from a seed."""
    torch.manual_seed(seed)
    with torch.no_grad():
        return fusion(features=features, present=present)


def parts(output: FusionOutput) -> Parts:
    """Every tensor of an output, by name."""
    named = {"logits": output.logits}
    for kind in ("per_modality", "weights", "aux_losses"):
        named |= {f"{kind}[{name!r}]": value for name, value in getattr(output, kind).items()}
    return named


def differing(base: Parts, other: Parts, within: float) -> str | None:
    """The first part that is not the same, up to some number or, where that is 0, to the bit; None where all are."""
    for name in base | other:
        if name not in base or name not in other or base[name].shape != other[name].shape:
            return name
        same = torch.allclose(base[name], other[name], atol=within) if within else torch.equal(base[name], other[name])
        if not same:
            return name
    return None


def absent(inputs: Inputs) -> Places:
    """The tokens of absent slots."""
    features, present = inputs
    return {m: ~present[m][:, None].expand_as(f.mask) for m, f in features.items()}


def padding(inputs: Inputs) -> Places:
    """The padding of slots that are there."""
    features, present = inputs
    return {m: present[m][:, None] & ~f.mask for m, f in features.items()}


def filled(inputs: Inputs, places: Places, values: Sequence[float]) -> Inputs:
    """The inputs with values in some tokens, one value a row, in turn."""
    features, present = inputs
    made = {}
    for k, (m, f) in enumerate(features.items()):
        column = torch.tensor(values)[(torch.arange(len(f.tokens)) + k) % len(values)][:, None, None]
        made[m] = Features(torch.where(places[m][:, :, None], column, f.tokens), f.mask)
    return made, present


def masked_as(inputs: Inputs, how: str) -> Inputs:
    """The inputs with other masks in absent slots: ``true``, ``false``, ``random``, or ``given``."""
    features, present = inputs
    draw, made = torch.Generator().manual_seed(5), {}
    for m, f in features.items():
        drawn = torch.rand(f.mask.shape, generator=draw) < 0.5
        mask = {"true": torch.ones_like(drawn), "false": torch.zeros_like(drawn), "random": drawn, "given": f.mask}[how]
        made[m] = Features(f.tokens, torch.where(present[m][:, None], f.mask, mask))
    return made, present


def rows(inputs: Inputs, chosen: slice | Tensor) -> Inputs:
    """Some samples of the batch."""
    features, present = inputs
    return {m: Features(f.tokens[chosen], f.mask[chosen]) for m, f in features.items()}, {m: here[chosen] for m, here in present.items()}
