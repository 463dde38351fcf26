"""The fusions that there are, with what each says of itself and what it costs at a reference size."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdx.errors import InputError
from mmdx.fusion.base import FAMILIES
from mmdx.parts import STRATEGIES, make
from mmdx.types import Features

WIDTHS = {"a": 512, "b": 384}
TOKENS, BATCH = 4, 64
"""The reference size: two modalities, a ResNet-18's width and a MiniLM's, four tokens each, one logit, in a batch of 64."""


@dataclass
class Row:
    """One fusion.

    Attributes:
        name: of its YAML file.
        family, paper, tokens, absence, own_losses, exempt: as in ``mmdx.fusion.base.Method``; a fusion that carries none has empty ones.
        parameters: how many it has at the reference size.
        megaflops: millions of multiplications and additions of one sample's forward pass in a batch of 64, as torch counts those of matrix
            products; what a batch shares is shared out, and Fourier transforms are not counted.
    """

    name: str
    family: str
    paper: str
    tokens: bool | None
    absence: str
    own_losses: bool
    parameters: int
    megaflops: float
    exempt: dict[str, str] = field(default_factory=dict)


def fusions(config_folder: str) -> list[str]:
    """Names of all fusions, those of installed plug-ins included."""
    with initialize_config_dir(config_folder, version_base="1.3"):
        return list(GlobalHydra.instance().config_loader().get_group_options("fusion"))


def described(name: str, config_folder: str) -> Row:
    """One fusion, built at the reference size.

    Raises:
        InputError: where its config does not build a fusion.
    """
    with initialize_config_dir(config_folder, version_base="1.3"):
        cfg = compose(f"fusion/{name}")
    assert isinstance(cfg, DictConfig)
    torch.manual_seed(0)
    fusion = make(cfg.fusion, "fusion", "fusion", widths=dict(WIDTHS), head=partial(nn.Linear, out_features=1)).eval()
    features = {m: Features(torch.randn(BATCH, TOKENS, width), torch.ones(BATCH, TOKENS, dtype=torch.bool)) for m, width in WIDTHS.items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its products are not counted
    try:
        with FlopCounterMode(display=False) as counter:
            fusion.requires_grad_(False)(features, {m: torch.ones(BATCH, dtype=torch.bool) for m in WIDTHS})
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    method = getattr(fusion, "method", None)
    said = method._asdict() if method else {"family": "", "paper": "", "tokens": None, "absence": "", "own_losses": False, "exempt": {}}
    parameters = sum(parameter.numel() for parameter in fusion.parameters())
    return Row(name, parameters=parameters, megaflops=counter.get_total_flops() / BATCH / 1e6, **said)


def strategies(config_folder: str) -> list[tuple[str, str, str]]:
    """Group, name and what it does, of every strategy around a fusion, and every balancing, that comes with mmdx."""
    found = []
    for group in (*STRATEGIES, "balance"):
        for path in sorted((Path(config_folder) / group).glob("*.yaml")):
            if path.stem != "none":
                found.append((group, path.stem, path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")))
    return found


def table(config_folder: str) -> tuple[list[Row], list[str]]:
    """All fusions by family and name, and a sentence for each that could not be built or run."""
    rows, faults = [], []
    for name in fusions(config_folder):
        try:
            rows.append(described(name, config_folder))
        except Exception as fault:  # a plug-in's may be any
            faults.append(str(fault) if isinstance(fault, InputError) else f"fusion={name}: {type(fault).__name__}: {fault}")
    return sorted(rows, key=lambda row: (FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES), row.name)), faults


HEADER = ("fusion", "family", "reads", "absence", "own losses", "parameters", "MFLOPs", "exempt from", "paper")


def _cells(row: Row) -> tuple[str, ...]:
    reads = {True: "tokens", False: "their mean", None: ""}[row.tokens]
    own = "yes" if row.own_losses else ""
    return row.name, row.family, reads, row.absence, own, f"{row.parameters:,}", f"{row.megaflops:.3g}", ", ".join(row.exempt), row.paper


def aligned(rows: list[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADER, *map(_cells, rows)]
    wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = {HEADER.index("parameters"), HEADER.index("MFLOPs")}
    told = [[cell.rjust(size) if k in numbers else cell.ljust(size) for k, (cell, size) in enumerate(zip(line, wide, strict=True))] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in told) + "\n"


def markdown(rows: list[Row]) -> str:
    """The table for a page, with the reasons of exemptions."""
    lines = [f"| {' | '.join(HEADER)} |", "|---" * len(HEADER) + "|"]
    for row in rows:
        cells = dict(zip(HEADER, _cells(row), strict=True))
        cells |= {"fusion": f"`{row.name}`", "exempt from": "; ".join(f"{check}: {reason}" for check, reason in row.exempt.items())}
        lines.append(f"| {' | '.join(cells.values())} |")
    return "\n".join(lines) + "\n"


def plain(rows: list[Row]) -> list[dict[str, object]]:
    """The rows as JSON has them."""
    return [asdict(row) for row in rows]
