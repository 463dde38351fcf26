"""The weighted sum's weights: a softmax of one learned number a modality, over the modalities present."""

import torch
from torch import nn

from mmdx.fusion.weighted_sum import WeightedSum
from mmdx.types import Features


def fused(widths):
    torch.manual_seed(0)
    fusion = WeightedSum(widths, lambda width: nn.Identity(), hidden=4).eval()
    nn.init.normal_(fusion.score)
    x = {m: Features(torch.randn(6, 3, d), torch.ones(6, 3, dtype=torch.bool)) for m, d in widths.items()}
    return fusion, x


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def test_it_is_the_mixture_of_the_projected_modalities():
    fusion, x = fused({"text": 3, "ecg": 2, "image": 5})
    w = fusion.score.exp() / fusion.score.exp().sum()
    mixed = sum(w[i] * fusion.project[m](x[m].pooled) for i, m in enumerate(["ecg", "image", "text"]))
    output = fusion(x, here(ecg=True, image=True, text=True))
    torch.testing.assert_close(output.logits, nn.functional.gelu(mixed))
    torch.testing.assert_close(output.weights["image"], w[1].expand(6))


def test_at_the_start_all_modalities_count_alike():
    fusion = WeightedSum({"image": 5, "text": 3}, lambda width: nn.Linear(width, 1))
    assert fusion.score.softmax(0).tolist() == [0.5, 0.5]


def test_the_weights_of_the_present_modalities_keep_their_ratio_and_sum_to_one():
    fusion, x = fused({"ecg": 2, "image": 5, "text": 3})
    whole = fusion(x, here(ecg=True, image=True, text=True)).weights
    part = fusion(x, here(ecg=True, image=False, text=True)).weights
    assert part["image"].eq(0).all()
    torch.testing.assert_close(part["ecg"] + part["text"], torch.ones(6))
    torch.testing.assert_close(part["ecg"] / part["text"], whole["ecg"] / whole["text"])


def test_the_only_modality_present_is_projected_at_full_weight():
    fusion, x = fused({"image": 5, "text": 3})
    expected = nn.functional.gelu(fusion.project["text"](x["text"].pooled))
    torch.testing.assert_close(fusion(x, here(image=False, text=True)).logits, expected)
