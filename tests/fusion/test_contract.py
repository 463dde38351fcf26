"""Every fusion that has a YAML file keeps the contract of ``mmdx.testing.check_fusion``."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from mmdx.commands.hydra_app import config_folder
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.late import SumOfLogits
from mmdx.testing import check_fusion, random_features

PATHS = sorted((Path(config_folder()) / "fusion").glob("*.yaml"))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_fusion_keeps_the_contract(path):
    cfg = OmegaConf.load(path)
    check_fusion(lambda widths, head: instantiate(cfg, widths=widths, head=head))


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
