"""EmbraceNet is the formula of its docstring."""

import pytest
import torch
from torch import nn

from mmdx.fusion.embracenet import EmbraceNet
from mmdx.types import Features

WIDTHS = {"ecg": 4, "image": 5, "text": 3}


def features(batch):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(batch, **here):
    return {m: torch.full((batch,), here.get(m, True)) for m in WIDTHS}


@pytest.fixture
def fusion():
    torch.manual_seed(1)
    return EmbraceNet(WIDTHS, lambda width: nn.Identity(), hidden=64)


def docked(fusion, x):
    return {m: (x[m].pooled @ fusion.docking[m][0].weight.T + fusion.docking[m][0].bias).relu() for m in x}


def test_in_training_each_unit_is_that_of_one_modality_present(fusion):
    x = features(6)
    d = docked(fusion, x)
    e = fusion(x, present(6, image=False)).logits
    near = {m: torch.isclose(e, d[m], atol=1e-6) for m in d}
    assert (near["ecg"] | near["text"]).all()
    assert (near["ecg"] & ~near["text"]).any() and (near["text"] & ~near["ecg"]).any()


def test_the_present_modalities_are_drawn_equally_often(fusion):
    x = {m: Features(torch.ones(4000, 1, d), torch.ones(4000, 1, dtype=torch.bool)) for m, d in WIDTHS.items()}
    with torch.no_grad():
        for value, m in enumerate(WIDTHS):
            fusion.docking[m][0].weight.zero_()
            fusion.docking[m][0].bias.fill_(value + 1)
        drawn = fusion(x, present(4000)).logits
        pair = fusion(x, present(4000, ecg=False)).logits
    for value in (1, 2, 3):
        assert abs(float(drawn.eq(value).double().mean()) - 1 / 3) < 0.005  # about 5 standard errors of 256,000 draws
    assert pair.ne(1).all() and abs(float(pair.eq(2).double().mean()) - 1 / 2) < 0.005


def test_evaluation_is_the_mean_of_the_present_docking_layers_and_of_the_draws(fusion):
    x, here = features(3), present(3, text=False)
    d = docked(fusion, x)
    many = {m: Features(f.tokens.repeat(4000, 1, 1), f.mask.repeat(4000, 1)) for m, f in x.items()}
    with torch.no_grad():
        draws = fusion(many, present(12000, text=False)).logits.unflatten(0, (4000, 3)).mean(dim=0)
        expected = fusion.eval()(x, here).logits
    torch.testing.assert_close(expected, (d["ecg"] + d["image"]) / 2)
    assert float((draws - expected).abs().max()) < 0.1  # more than 5 standard errors


def test_the_only_modality_present_fills_the_whole_vector(fusion):
    x, here = features(3), present(3, ecg=False, image=False)
    output = fusion(x, here)
    torch.testing.assert_close(output.logits, docked(fusion, x)["text"])
    assert output.weights["text"].eq(1).all() and output.weights["ecg"].eq(0).all()
