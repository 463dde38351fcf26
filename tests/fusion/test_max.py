"""Max-pooling fusion: unit by unit the largest of the modalities present."""

import torch
from torch import nn

from mmdx.fusion.max import Maximum
from mmdx.types import Features


def fused(widths):
    torch.manual_seed(0)
    fusion = Maximum(widths, lambda width: nn.Identity(), hidden=8).eval()
    x = {m: Features(torch.randn(6, 3, d), torch.ones(6, 3, dtype=torch.bool)) for m, d in widths.items()}
    return fusion, x, {m: fusion.project[m](x[m].pooled) for m in widths}


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def test_each_unit_is_that_of_the_modality_that_excites_it_most():
    fusion, x, projected = fused({"ecg": 2, "image": 5, "text": 3})
    largest = torch.maximum(torch.maximum(projected["ecg"], projected["image"]), projected["text"])
    torch.testing.assert_close(fusion(x, here(ecg=True, image=True, text=True)).logits, nn.functional.gelu(largest))


def test_an_absent_modality_takes_no_part_even_where_all_others_are_below_zero():
    fusion, x, _ = fused({"image": 5, "text": 3})
    with torch.no_grad():
        fusion.project["image"][1].bias.fill_(-20.0)
    expected = nn.functional.gelu(fusion.project["image"](x["image"].pooled))
    torch.testing.assert_close(fusion(x, here(image=True, text=False)).logits, expected)


def test_only_the_largest_modality_of_a_unit_learns_from_it():
    fusion, x, projected = fused({"image": 5, "text": 3})
    fusion(x, here(image=True, text=True)).logits[0, 0].backward()
    winner, loser = ("image", "text") if projected["image"][0, 0] > projected["text"][0, 0] else ("text", "image")
    assert fusion.project[winner][1].bias.grad[0] != 0
    assert fusion.project[loser][1].bias.grad.eq(0).all()
