"""DAFT: scale and shift come from the squeezed tokens and the conditioning modality together."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.daft import DAFT
from mmdx.types import Features

WIDTHS = {"image": 5, "tabular": 4}


def fused(widths, **settings):
    torch.manual_seed(0)
    fusion = DAFT(widths, lambda width: nn.Identity(), **{"hidden": 4, "reduction": 2.0, **settings}).eval()
    x = {m: Features(torch.randn(6, 3, d), torch.tensor([True, True, m != "image"]).expand(6, 3)) for m, d in widths.items()}
    return fusion, x


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def standardised(x):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()


def transformed(fusion, m, tokens, z):
    """The paper's residual block over the real tokens, written out; its weights are at their start, the norm's at 1 and 0."""
    x = (standardised(tokens) @ fusion.project[m][1].weight.T + fusion.project[m][1].bias).clamp(min=0)
    f = standardised(x @ fusion.before[m][0].weight.T)
    first, _, last = fusion.auxiliary[m]
    alpha_beta = torch.cat([f.mean(1), z], -1) @ first.weight.T
    alpha, beta = (alpha_beta.clamp(min=0) @ last.weight.T).split(4, dim=-1)
    g = (alpha[:, None] * f + beta[:, None]).clamp(min=0)
    return (x + standardised(g @ fusion.after[m][0].weight.T)).clamp(min=0).mean(1)


def test_image_and_tabular_decide_the_scale_and_shift_together():
    fusion, x = fused(WIDTHS)
    expected = transformed(fusion, "image", x["image"].tokens[:, :2], x["tabular"].pooled)
    torch.testing.assert_close(fusion(x, here(image=True, tabular=True)).logits, expected)


def test_without_tabular_data_its_part_of_the_squeeze_is_zero():
    fusion, x = fused(WIDTHS)
    expected = transformed(fusion, "image", x["image"].tokens[:, :2], torch.zeros(6, 4))
    torch.testing.assert_close(fusion(x, here(image=True, tabular=False)).logits, expected)


def test_tabular_data_alone_are_projected():
    fusion, x = fused(WIDTHS)
    expected = fusion.project["tabular"](x["tabular"].pooled)
    torch.testing.assert_close(fusion(x, here(image=False, tabular=True)).logits, expected)


def test_several_modalities_are_each_transformed_and_averaged_over_the_present():
    fusion, x = fused({"ecg": 2, "image": 5, "text": 3}, condition="ecg")
    image = transformed(fusion, "image", x["image"].tokens[:, :2], x["ecg"].pooled)
    text = transformed(fusion, "text", x["text"].tokens, x["ecg"].pooled)
    torch.testing.assert_close(fusion(x, here(ecg=True, image=True, text=True)).logits, (image + text) / 2)
    torch.testing.assert_close(fusion(x, here(ecg=True, image=False, text=True)).logits, text)


def test_the_auxiliary_network_narrows_by_the_reduction_and_never_to_nothing():
    assert fused(WIDTHS)[0].auxiliary["image"][0].out_features == 4
    assert fused(WIDTHS, reduction=100.0)[0].auxiliary["image"][0].out_features == 1


@pytest.mark.parametrize(
    ("settings", "message"), [({"condition": "labs"}, r"fusion\.condition=labs: .*image, tabular"), ({"reduction": 0.5}, r"fusion\.reduction=0\.5: ")]
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        DAFT(WIDTHS, lambda width: nn.Linear(width, 1), **settings)
