"""Multiplicative interactions are z^T W x + U z + V x + b, pair by pair."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu

from mmdx.errors import InputError
from mmdx.fusion.interactions import MultiplicativeInteractions
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def build(**widths):
    fusion = MultiplicativeInteractions(widths, lambda width: nn.Identity(), hidden=6, rank=2).eval()
    nn.init.normal_(fusion.bias)
    return fusion


def full(fusion, m, n):
    """W [D_m, D_n, H] of a pair."""
    core = fusion.pair[f"{m}+{n}"].weight.reshape(6, 2, 2)
    return torch.einsum("hpq,pi,qj->ijh", core, fusion.project[m].weight, fusion.project[n].weight)


def test_of_two_modalities_it_is_the_papers_formula():
    fusion, inputs = build(image=4, text=3), features(7, image=4, text=3)
    z, x = (fusion.norm[m](inputs[m].pooled) for m in ("image", "text"))
    u, v = (fusion.linear[m].weight for m in ("image", "text"))
    expected = torch.einsum("bi,ijh,bj->bh", z, full(fusion, "image", "text"), x) + z @ u.T + x @ v.T + fusion.bias
    torch.testing.assert_close(fusion(inputs, present(7, image=True, text=True)).logits, gelu(expected))


def test_of_three_modalities_it_has_each_pair_once():
    fusion, inputs = build(audio=5, image=4, text=3), features(7, audio=5, image=4, text=3)
    x = {m: fusion.norm[m](inputs[m].pooled) for m in inputs}
    expected = fusion.bias + sum(x[m] @ fusion.linear[m].weight.T for m in x)
    for m, n in [("audio", "image"), ("audio", "text"), ("image", "text")]:
        expected = expected + torch.einsum("bi,ijh,bj->bh", x[m], full(fusion, m, n), x[n])
    torch.testing.assert_close(fusion(inputs, present(7, audio=True, image=True, text=True)).logits, gelu(expected))


def test_without_a_modality_the_linear_term_of_the_other_is_left():
    fusion, inputs = build(image=4, text=3), features(7, image=4, text=3)
    expected = fusion.norm["image"](inputs["image"].pooled) @ fusion.linear["image"].weight.T + fusion.bias
    torch.testing.assert_close(fusion(inputs, present(7, image=True, text=False)).logits, gelu(expected))


def test_a_rank_below_one_is_refused():
    with pytest.raises(InputError, match="fusion.rank=0: must be a whole number above 0"):
        MultiplicativeInteractions({"image": 4, "text": 3}, lambda width: nn.Linear(width, 1), rank=0)
