"""What heads that are trained at once may differ in, and how it is told that they differ in nothing else."""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence
from functools import partial
from types import CellType, FunctionType
from typing import Any

import numpy as np
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


def described(value: Any, above: tuple[int, ...] = ()) -> str:
    """What a part of a model or its training is and is set to, the same in every process; weights and rates of dropout are left out."""
    if id(value) in above:
        return "itself"
    within = (*above, id(value))

    def each(values: Any) -> str:
        return ", ".join(described(one, within) for one in values)

    def pairs(values: Mapping[Any, Any]) -> str:
        return ", ".join(sorted(f"{described(key, within)}: {described(own, within)}" for key, own in values.items()))

    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, nn.Module):
        plain = {name: own for name, own in vars(value).items() if name not in INTERNAL and not (name == "p" and type(value) is nn.Dropout)}
        shapes = {name: list(tensor.shape) for name, tensor in (*value.named_parameters(recurse=False), *value.named_buffers(recurse=False))}
        return f"{kind}({pairs(plain)}; {pairs(shapes)}; {pairs(dict(value.named_children()))})"
    if isinstance(value, Tensor | np.ndarray):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return f"{kind}({array.dtype} {array.shape} {hashlib.blake2b(np.ascontiguousarray(array).tobytes()).hexdigest()})"
    if isinstance(value, Mapping):
        return f"{kind}({pairs(value)})"
    if isinstance(value, list | tuple | set | frozenset):
        return f"{kind}({each(sorted(value, key=str) if isinstance(value, set | frozenset) else value)})"
    if isinstance(value, partial):
        return f"partial({described(value.func, within)}; {each(value.args)}; {pairs(value.keywords)})"
    if isinstance(value, FunctionType):
        closed = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return f"{value.__module__}.{value.__qualname__}({value.__code__.co_code.hex()}; {each((*closed, *(value.__defaults__ or ())))})"
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "__dict__"):
        return f"{kind}({pairs(vars(value))})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
