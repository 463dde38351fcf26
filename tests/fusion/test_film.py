"""FiLM: scale and shift of one modality's channels come from another."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.film import FiLM
from mmdx.types import Features

WIDTHS = {"ecg": 2, "image": 5, "text": 3}


def fused(widths, **settings):
    torch.manual_seed(0)
    fusion = FiLM(widths, lambda width: nn.Identity(), hidden=4, **settings).eval()
    x = {m: Features(torch.randn(6, 3, d), torch.tensor([True, True, m != "image"]).expand(6, 3)) for m, d in widths.items()}
    return fusion, x


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def block(fusion, m, tokens, gamma, beta):
    """The paper's residual block for one token, written out."""
    x = (fusion.project[m][1](fusion.project[m][0](tokens))).clamp(min=0)
    y = fusion.linear[m](x)
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    return x + (gamma * y + beta).clamp(min=0)


def test_text_scales_and_shifts_the_channels_of_the_image():
    fusion, x = fused({"image": 5, "text": 3})
    weight, bias = fusion.film["image"].weight, fusion.film["image"].bias
    c = x["text"].tokens.mean(1)
    gamma, beta = 1 + c @ weight[:4].T + bias[:4], c @ weight[4:].T + bias[4:]
    real = x["image"].tokens[:, :2]  # the third token is padding
    expected = torch.stack([block(fusion, "image", real[:, i], gamma, beta) for i in range(2)]).mean(0)
    torch.testing.assert_close(fusion(x, here(image=True, text=True)).logits, expected)


def test_without_the_conditioning_modality_the_others_pass_unmodulated():
    fusion, x = fused(WIDTHS)
    ecg = block(fusion, "ecg", x["ecg"].tokens, 1.0, 0.0).mean(1)
    image = block(fusion, "image", x["image"].tokens[:, :2], 1.0, 0.0).mean(1)
    torch.testing.assert_close(fusion(x, here(ecg=True, image=True, text=False)).logits, (ecg + image) / 2)
    torch.testing.assert_close(fusion(x, here(ecg=False, image=True, text=False)).logits, image)


def test_the_conditioning_modality_alone_is_projected():
    fusion, x = fused(WIDTHS)
    expected = fusion.project["text"][1](fusion.project["text"][0](x["text"].pooled)).clamp(min=0)
    torch.testing.assert_close(fusion(x, here(ecg=False, image=False, text=True)).logits, expected)
    alone, _ = fused({"text": 3})
    torch.testing.assert_close(alone(x, here(text=True)).logits, alone.project["text"](x["text"].pooled))


def test_any_modality_can_be_the_condition():
    fusion, x = fused(WIDTHS, condition="ecg")
    assert fusion.modulated == ["image", "text"]
    base = fusion(x, here(ecg=True, image=True, text=True)).logits
    other = x | {"ecg": Features(x["ecg"].tokens + 1, x["ecg"].mask)}
    assert not torch.allclose(fusion(other, here(ecg=True, image=True, text=True)).logits, base)


def test_a_condition_that_is_no_modality_is_named():
    with pytest.raises(InputError, match=r"fusion\.condition=labs: must be one of the modalities, image, text"):
        FiLM({"image": 5, "text": 3}, lambda width: nn.Linear(width, 1), condition="labs")
