"""SMIL is the formula of its docstring."""

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from mmdx.errors import InputError
from mmdx.fusion.smil import SMIL
from mmdx.types import Features

WIDTHS = {"ecg": 4, "image": 5, "text": 3}


def features(batch):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(batch, **here):
    return {m: torch.full((batch,), here.get(m, True)) for m in WIDTHS}


def smil(**settings):
    torch.manual_seed(1)
    fusion = SMIL(WIDTHS, lambda width: nn.Identity(), **{"hidden": 8, "priors": 3, "dropout": 0.0} | settings)
    with torch.no_grad():
        for layer in fusion.mean.values():
            layer.weight.normal_()
    return fusion


def own(fusion, x):
    return {m: fusion.project[m](x[m].pooled) for m in x}


def test_a_complete_sample_is_neither_rebuilt_nor_regularised():
    fusion, x = smil().eval(), features(4)
    expected = fusion.joint(torch.cat(list(own(fusion, x).values()), 1)).relu()
    torch.testing.assert_close(fusion(x, present(4)).logits, expected)


def test_an_absent_modality_is_the_weighted_sum_of_its_priors():
    fusion, x = smil().eval(), features(4)
    h = own(fusion, x)
    weights = fusion.mean["image"]((h["ecg"] + h["text"]) / 2)
    h["image"] = sum(weights[:, [p]] * fusion.priors["image"][p] for p in range(3))
    z = torch.cat(list(h.values()), 1)
    expected = (fusion.joint(z) * softplus(fusion.scale(z))).relu()
    torch.testing.assert_close(fusion(x, present(4, image=False)).logits, expected)


def test_at_the_start_the_weights_are_the_papers_with_mean_1():
    fusion, x = SMIL(WIDTHS, lambda width: nn.Identity(), hidden=8, priors=3), features(2)
    torch.testing.assert_close(fusion.mean["text"](x["image"].pooled @ torch.ones(5, 8)), torch.ones(2, 3))


def test_in_training_the_weights_vary_as_much_as_the_spread_says():
    fusion = smil().train()
    condition = torch.randn(8).expand(20000, 8)
    with torch.no_grad():
        fusion.priors["text"].copy_(torch.eye(3, 8))  # so that a rebuilt modality shows the weights
        drawn = fusion._rebuild("text", condition)[:, :3]
        mean, spread = fusion.mean["text"](condition[0]), softplus(fusion.spread["text"](condition[0]))
    assert float(((drawn.mean(dim=0) - mean) / spread).abs().max()) < 0.04  # over 5 standard errors
    assert float((drawn.std(dim=0) / spread - 1).abs().max()) < 0.03


def test_the_loss_is_that_of_rebuilding_each_modality_from_the_others_where_there_are_others():
    fusion, x = smil(reconstruction=0.5).eval(), features(2)
    here = {"ecg": torch.tensor([True, True]), "image": torch.tensor([True, False]), "text": torch.tensor([False, False])}
    h = own(fusion, x)
    ecg = fusion.mean["ecg"](h["image"][:1]) @ fusion.priors["ecg"]
    image = fusion.mean["image"](h["ecg"][:1]) @ fusion.priors["image"]
    errors = torch.cat([ecg - h["ecg"][:1], image - h["image"][:1]])
    torch.testing.assert_close(fusion(x, here).aux_losses["reconstruction"], 0.5 * errors.square().mean())
    assert fusion(x, present(2, ecg=False, image=False)).aux_losses["reconstruction"] == 0


@pytest.mark.parametrize(("setting", "value"), [("priors", 0), ("reconstruction", -1)])
def test_impossible_settings_are_refused(setting, value):
    with pytest.raises(InputError, match=rf"fusion\.{setting}={value}: must be"):
        smil(**{setting: value})
