"""Highway layers: a gate between the joined features and their non-linear transform."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.highway import Highway
from mmdx.types import Features


def fused(widths, **settings):
    torch.manual_seed(0)
    fusion = Highway(widths, lambda width: nn.Identity(), hidden=4, **settings).eval()
    return fusion, {m: Features(torch.randn(6, 3, d), torch.ones(6, 3, dtype=torch.bool)) for m, d in widths.items()}


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def joined(fusion, x, present):
    """The linear projection of the concatenation, zeros standing for an absent modality."""
    weight = torch.cat([fusion.project[m][1].weight for m in sorted(x)], dim=1)
    normed = [fusion.project[m][0](x[m].pooled) if m in present else torch.zeros_like(x[m].pooled) for m in sorted(x)]
    return torch.cat(normed, dim=1) @ weight.T + fusion.bias


def test_each_layer_mixes_its_input_and_a_transform_of_it():
    fusion, x = fused({"image": 5, "text": 3}, gate_bias=0.5)
    h = joined(fusion, x, ["image", "text"])
    for t, g in zip(fusion.transform, fusion.gate, strict=True):
        gate = 1 / (1 + (-(h @ g.weight.T + 0.5)).exp())
        h = gate * (h @ t.weight.T + t.bias).clamp(min=0) + (1 - gate) * h
    torch.testing.assert_close(fusion(x, here(image=True, text=True)).logits, h)


def test_closed_gates_carry_the_joined_features_to_the_head():
    fusion, x = fused({"ecg": 2, "image": 5, "text": 3}, gate_bias=-50.0)
    torch.testing.assert_close(fusion(x, here(ecg=True, image=True, text=True)).logits, joined(fusion, x, ["ecg", "image", "text"]))
    torch.testing.assert_close(fusion(x, here(ecg=True, image=False, text=True)).logits, joined(fusion, x, ["ecg", "text"]))


def test_no_layers_are_refused():
    with pytest.raises(InputError, match=r"fusion\.layers=0: must be 1 or more"):
        Highway({"image": 5}, lambda width: nn.Linear(width, 1), layers=0)
