"""Facts about distillation from all modalities to some."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div

from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.strategies.distillation import FullModality, divergence
from mmdx.testing import random_features

WIDTHS = {"audio": 5, "image": 4, "text": 3}


def wrapped(**settings):
    torch.manual_seed(0)
    return FullModality(WIDTHS, Concatenation(WIDTHS, lambda width: nn.Linear(width, 3), dropout=0.0), **settings)


def test_the_output_is_that_of_the_fusion_inside():
    fusion, inputs = wrapped(), random_features(WIDTHS)
    for training in (True, False):
        assert torch.equal(fusion.train(training)(*inputs).logits, fusion.fusion(*inputs).logits)
    assert not fusion.eval()(*inputs).aux_losses


def test_the_divergence_is_hintons():
    torch.manual_seed(1)
    t, s = 3 * torch.randn(7, 3), 3 * torch.randn(7, 3)
    softmax = 16 * kl_div((s / 4).log_softmax(1), (t / 4).softmax(1), reduction="none").sum(1)
    assert torch.allclose(divergence("multiclass", 4.0, t, s), softmax, atol=1e-5)
    p = (t / 4).sigmoid()
    entropy = binary_cross_entropy_with_logits(t / 4, p, reduction="none")
    each = 16 * (binary_cross_entropy_with_logits(s / 4, p, reduction="none") - entropy)
    assert torch.allclose(divergence("multilabel", 4.0, t, s), each.mean(1), atol=1e-5)
    assert torch.allclose(divergence("regression", 4.0, t, s), (t - s).square().mean(1))


def test_each_modality_is_hidden_at_the_rate_and_one_always_stays():
    there = torch.rand(60_000, 3, generator=torch.Generator().manual_seed(0)) < 0.7
    torch.manual_seed(0)
    left = wrapped(rate=0.5).hide(there)
    assert not (left & ~there).any() and left.any(1).equal(there.any(1))
    full = there.all(1)
    assert left[full].float().mean(0) == pytest.approx(torch.full((3,), 0.5 + 0.125 / 3), abs=0.01)
    assert wrapped(rate=1.0).hide(there).sum(1).eq(there.any(1)).all()


def test_the_loss_is_a_mean_over_the_rows_from_which_something_was_hidden_and_moves_the_student_alone():
    fusion, (features, present) = wrapped(rate=0.3, weight=0.5, kind="multiclass").train(), random_features(WIDTHS)
    torch.manual_seed(5)
    loss = fusion(features, present).aux_losses["distillation"]
    torch.manual_seed(5)
    there = torch.stack([present[m] for m in WIDTHS], 1)
    left = fusion.hide(there)
    rows = (left != there).any(1)
    assert 0 < rows.sum() < len(rows)
    student = fusion.fusion(features, dict(zip(WIDTHS, left.unbind(1), strict=True))).logits
    plain = 0.5 * divergence("multiclass", 2.0, fusion.fusion(features, present).logits.detach(), student)[rows].mean()
    assert torch.allclose(loss, plain)
    own, expected = (torch.autograd.grad(value, list(fusion.parameters())) for value in (loss, plain))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own, expected, strict=True))


def test_a_sample_with_one_modality_has_nothing_to_hide():
    fusion, (features, present) = wrapped().train(), random_features(WIDTHS)
    one = {m: torch.full_like(here, m == "text") for m, here in present.items()}
    assert fusion(features, one).aux_losses["distillation"] == 0


@pytest.mark.parametrize(("setting", "value"), [("kind", "clustering"), ("weight", -1), ("temperature", 0), ("rate", 0), ("rate", 1.5)])
def test_impossible_settings_are_named(setting, value):
    with pytest.raises(InputError, match=f"distillation.{setting}={value}: must be"):
        wrapped(**{setting: value})
