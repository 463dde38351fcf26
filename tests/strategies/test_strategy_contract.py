"""Every strategy that has a YAML file keeps a fusion's contract around whatever fusion it wraps."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from mmdx.commands.hydra_app import config_folder
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.fusion.late import MeanOfLogits
from mmdx.fusion.tokens import JointTransformer
from mmdx.testing import check_fusion, random_features
from mmdx.testing.fusion import CHECKS, QUICK

GROUPS = ("missing", "alignment", "distillation")
OTHER = ("none", "teacher")  # no fusions
PATHS = sorted(path for group in GROUPS for path in (Path(config_folder()) / group).glob("*.yaml") if path.stem not in OTHER)
SMALL = partial(JointTransformer, hidden=16, layers=1, heads=2)
INNER = {"concat": Concatenation, "gated": GatedMultimodalUnit, "late": MeanOfLogits, "tokens": SMALL}


def named(path):
    return f"{path.parent.name}-{path.stem}"


def build(path, inner):
    cfg = OmegaConf.load(path)
    return lambda widths, head: instantiate(cfg, widths=widths, fusion=INNER[inner](widths, head))


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_a_strategy_keeps_the_contract(path):
    check_fusion(build(path, "concat"), only=QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("path", PATHS, ids=named)
def test_a_strategy_keeps_the_contract_around_any_fusion(path, inner):
    """Under ``gated`` and ``late`` weights and logits of each modality are passed on."""
    check_fusion(build(path, inner), only=[name for name in CHECKS if name not in QUICK or inner != "concat"])


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_training_in_bfloat16_and_on_one_row_is_finite(path):
    fusion = build(path, "gated")({"image": 24, "text": 16}, lambda width: nn.Linear(width, 1)).train()
    features, present = random_features({"image": 24, "text": 16}, batch=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = fusion(features, {m: torch.ones_like(here) for m, here in present.items()})
        (output.logits.float().square().sum() + sum(loss.float() for loss in output.aux_losses.values())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_widths_that_do_not_fit_are_named(path):
    fusion = build(path, "concat")({"image": 24, "text": 16}, lambda width: nn.Linear(width, 1))
    with pytest.raises(InputError, match=r"features\['text'\]: width 10, .*widths\['text'\]=16"):
        fusion(*random_features({"image": 24, "text": 10}))


@pytest.mark.parametrize("group", GROUPS)
def test_none_is_no_strategy(group):
    assert OmegaConf.load(Path(config_folder()) / group / "none.yaml") == {}
