"""What several encoders need: masks of real tokens, batch norms on a single row, layers of a Transformer, checks of its sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdx.errors import InputError
from mmdx.types import Features


@contextmanager
def running_statistics(module: nn.Module, items: Tensor) -> Iterator[None]:
    """For a single training row, batch norms use their running statistics: over one row and one cell there is no variance."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training] if len(items) == 1 else []
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


def all_real(tokens: Tensor) -> Features:
    """Features whose tokens [n, N, D] all are real."""
    return Features(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))


def block_layers(model: nn.Module) -> list[nn.Module]:
    """What lies before a model's longest list of blocks, each block, what lies after; together they hold every parameter."""
    lists = [part for part in model.modules() if isinstance(part, nn.ModuleList) and any(True for _ in part.parameters())]
    if not lists:
        return [model]
    blocks = max(lists, key=lambda part: sum(p.numel() for p in part.parameters()))
    inside = {id(p) for p in blocks.parameters()}
    before, after, seen = nn.ParameterList(), nn.ParameterList(), False
    for parameter in model.parameters():
        if id(parameter) in inside:
            seen = True
        else:
            (after if seen else before).append(parameter)
    return [part for part in (before, *blocks, after) if any(True for _ in part.parameters())]


def check_transformer(width: int, layers: int, heads: int, dropout: float) -> None:
    """Check the sizes that every Transformer is built from.

    Raises:
        InputError: naming the argument that is out of range.
    """
    for name, value in {"width": width, "layers": layers, "heads": heads}.items():
        if value < 1:
            raise InputError(f"{name}={value}: must be at least 1.")
    if width % heads:
        raise InputError(f"width={width}: must be a multiple of heads={heads}.")
    if not 0.0 <= dropout < 1.0:
        raise InputError(f"dropout={dropout}: must be from 0 to below 1.")
