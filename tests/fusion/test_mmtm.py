"""MMTM: channels of each modality are gated by what all have in common."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.mmtm import MultimodalTransferModule
from mmdx.types import Features


def fused(widths):
    torch.manual_seed(0)
    fusion = MultimodalTransferModule(widths, lambda width: nn.Identity(), hidden=4, ratio=2.0).eval()
    x = {m: Features(torch.randn(6, 3, d), torch.tensor([True, True, m != "image"]).expand(6, 3)) for m, d in widths.items()}
    return fusion, x


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def by_formula(fusion, x, present):
    """Each stream's pooled output with the modalities of ``present`` alone, written out for real tokens."""
    tokens = {m: (fusion.first[m][1](fusion.first[m][0](f.tokens[:, : int(f.mask[0].sum())]))).clamp(min=0) for m, f in x.items()}
    squeezed = torch.cat([tokens[m].mean(1) if m in present else torch.zeros(6, 4) for m in sorted(x)], -1)
    z = (squeezed @ fusion.squeeze[0].weight.T + fusion.squeeze[0].bias).clamp(min=0)
    gate = {m: 2 / (1 + (-(z @ fusion.excite[m].weight.T + fusion.excite[m].bias)).exp()) for m in present}
    return {m: fusion.second[m][0](gate[m][:, None] * tokens[m]).clamp(min=0).mean(1) for m in present}


def test_each_modalitys_channels_are_gated_by_all():
    fusion, x = fused({"ecg": 2, "image": 5, "text": 3})
    output, expected = fusion(x, here(ecg=True, image=True, text=True)), by_formula(fusion, x, ["ecg", "image", "text"])
    for m in x:
        torch.testing.assert_close(output.per_modality[m], expected[m])
    torch.testing.assert_close(output.logits, sum(expected.values()) / 3)


def test_an_absent_modality_squeezes_to_zero_and_has_no_say():
    fusion, x = fused({"image": 5, "text": 3})
    output = fusion(x, here(image=True, text=False))
    torch.testing.assert_close(output.logits, by_formula(fusion, x, ["image"])["image"])
    assert output.weights["text"].eq(0).all() and output.weights["image"].eq(1).all()
    assert output.per_modality["text"].eq(0).all()


def test_gates_of_one_half_leave_the_streams_as_they_are():
    fusion, x = fused({"image": 5, "text": 3})
    for linear in fusion.excite.values():
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
    expected = fusion.second["text"](fusion.first["text"](x["text"].tokens)).mean(1)
    torch.testing.assert_close(fusion(x, here(image=True, text=True)).per_modality["text"], expected)


def test_the_common_representation_is_narrower_by_the_ratio():
    assert fused({"image": 5, "text": 3})[0].squeeze[0].out_features == 4
    with pytest.raises(InputError, match=r"fusion\.ratio=0: must be 1 or more"):
        MultimodalTransferModule({"image": 5}, lambda width: nn.Linear(width, 1), ratio=0)
