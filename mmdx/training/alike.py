"""What heads that are trained at once may differ in, and how it is told that they differ in nothing else."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

RATE = "rate_of_dropout"
INTERNAL = set(vars(nn.Module()))


class RatedDropout(nn.Module):
    """Dropout whose rate is a buffer, so that heads of different rates can be stacked."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.register_buffer(RATE, torch.tensor(rate))

    def forward(self, x: Tensor) -> Tensor:
        """Zero each number with the probability of the rate, and scale the others."""
        if not self.training:
            return x
        stays = 1 - self.get_buffer(RATE)
        return x * torch.bernoulli(stays.expand_as(x)) / stays.clamp(min=1e-6)


def rates_as_buffers(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """The modules, copied where their rates of dropout differ, and these made buffers."""
    names = [name for name, part in modules[0].named_modules() if type(part) is nn.Dropout]
    rates = {name: [_rate(module.get_submodule(name)) for module in modules] for name in names}
    rated = [name for name, own in rates.items() if len(set(own)) > 1]
    if not rated:
        return list(modules)
    made = [copy.deepcopy(module) for module in modules]
    for name in rated:
        for module, rate in zip(made, rates[name], strict=True):
            module.set_submodule(name, RatedDropout(rate))
    return made


def _rate(dropout: nn.Module) -> float:
    assert isinstance(dropout, nn.Dropout)
    return dropout.p


def described(value: Any) -> Any:
    """What a part of a model or its training is and is set to, for ``json.dumps``; weights and rates of dropout are left out."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, nn.Module):
        plain = {name: own for name, own in vars(value).items() if name not in INTERNAL and not (name == "p" and type(value) is nn.Dropout)}
        tensors = {name: list(tensor.shape) for name, tensor in value.state_dict().items()}
        return [repr(type(value)), plain, tensors, dict(value.named_children())]
    if isinstance(value, partial):
        return [repr(value.func), list(value.args), value.keywords]
    if inspect.isroutine(value) or inspect.isclass(value) or not hasattr(value, "__dict__"):
        return repr(value)
    return [repr(type(value)), vars(value)]
