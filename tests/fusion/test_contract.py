"""Every fusion that has a YAML file keeps the contract of ``mmdx.testing.check_fusion``."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from mmdx.commands.hydra_app import config_folder
from mmdx.errors import InputError
from mmdx.fusion.base import Method
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.late import SumOfLogits
from mmdx.testing import check_fusion, random_features
from mmdx.testing.fusion import CHECKS, QUICK
from mmdx.types import FusionOutput

PATHS = sorted((Path(config_folder()) / "fusion").glob("*.yaml"))


def built_from(path):
    cfg = OmegaConf.load(path)
    return lambda widths, head: instantiate(cfg, widths=widths, head=head)


HEAVY = {"healnet", "m3care", "mbt", "mult", "umse"}  # take seconds


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in HEAVY else []) for p in PATHS])
def test_fusion_keeps_the_contract(path):
    check_fusion(built_from(path), only=QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("check", sorted(set(CHECKS) - set(QUICK)))
@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_fusion_can_be_stacked_exported_and_trained_in_bfloat16(path, check):
    check_fusion(built_from(path), only=[check])


@pytest.mark.slow
def test_sum_of_logits_with_informative_absence_keeps_the_contract():
    check_fusion(lambda widths, head: SumOfLogits(widths, head, informative_absence=True))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_widths_that_do_not_fit_are_named(path):
    fusion = instantiate(OmegaConf.load(path), widths={"image": 24, "text": 16}, head=lambda width: nn.Linear(width, 1))
    features, present = random_features({"image": 24, "text": 10})
    with pytest.raises(InputError, match=r"features\['text'\]: width 10, .*widths\['text'\]=16"):
        fusion(features, present)


@pytest.mark.parametrize("widths", [{}, {"image": 0}, {"image": "wide"}])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(InputError, match="widths"):
        Concatenation(widths, head=lambda width: nn.Linear(width, 1))


class Mean(nn.Module):
    """A fusion that keeps the contract, and breaks it where it is told to."""

    method = Method("simple", "none")

    def __init__(self, widths, head, fault=""):
        super().__init__()
        self.widths, self.fault = dict(widths), fault
        self.parts = nn.ModuleDict({m: nn.Linear(widths[m], 8) for m in sorted(widths)})
        self.unused = nn.Linear(2, 2) if fault == "gradients" else None
        self.head = head(8)

    def forward(self, features, present):
        total = 0
        for k, m in enumerate(features):
            x = features[m].pooled
            if self.fault != "absence":
                x = x.where(present[m][:, None], 0.0)
            total = total + self.parts[m](x) * present[m][:, None] * (k + 1 if self.fault == "order" else 1)
        if self.fault == "batch":
            total = total - total.mean(dim=0)
        if self.fault == "stacked" and float(total.sum()) > 1e9:
            total = total * 0
        if self.fault == "exported":
            total = total + torch.zeros(len(total), 8)
        logits = self.head(total)
        return FusionOutput(logits[:, :1] if self.fault == "output" else logits)


@pytest.mark.slow
def test_a_plain_fusion_passes_every_check():
    check_fusion(Mean)


@pytest.mark.parametrize("fault", ["output", "absence", "order", "batch", "gradients", "stacked", "exported"])
def test_each_check_finds_the_fault_it_is_there_for(fault):
    with pytest.raises(AssertionError, match="with modalities") as found:
        check_fusion(partial(Mean, fault=fault), only=[fault])
    told = {"output": r"expected \(8, 3\)", "absence": "in absent slots changes logits", "order": "order", "batch": "row 0 alone",
            "gradients": "no gradient reaches unused.weight", "stacked": "no .item", "exported": "len.tensor"}  # fmt: skip
    assert found.match(told[fault])


def test_an_exemption_is_declared_with_its_reason():
    class Neighbours(Mean):
        method = Method("missing", "none", exempt={"batch": "borrows from neighbours"})

    check_fusion(partial(Neighbours, fault="batch"), only=["batch"])
    Neighbours.method = Method("missing", "none", exempt={"batch": ""})
    with pytest.raises(AssertionError, match="each exemption needs its reason"):
        check_fusion(Neighbours, only=["batch"])
    Neighbours.method = Method("missing", "none", exempt={"bach": "?"})
    with pytest.raises(AssertionError, match="the checks are output, repeat"):
        check_fusion(Neighbours, only=["batch"])
