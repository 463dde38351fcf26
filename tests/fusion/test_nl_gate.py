"""NL-gate: a residual and attention from one modality's tokens to those of the others."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.nl_gate import NonLocalGate
from mmdx.types import Features

WIDTHS = {"ecg": 2, "image": 5, "text": 3}


def fused(widths, **settings):
    torch.manual_seed(0)
    fusion = NonLocalGate(widths, lambda width: nn.Identity(), hidden=4, **settings).eval()
    x = {m: Features(torch.randn(6, 3, d), torch.tensor([True, True, m != "text"]).expand(6, 3)) for m, d in widths.items()}
    return fusion, x


def here(**present):
    return {m: torch.full((6,), value) for m, value in present.items()}


def through(fusion, layer, m, x):
    return layer(fusion.norm[m](x[m].tokens[:, : int(x[m].mask[0].sum())]))


def test_each_query_token_adds_a_weighted_mean_of_the_other_modalitys_values():
    fusion, x = fused({"image": 5, "text": 3})
    q = through(fusion, fusion.to_query, "image", x)
    k, v = through(fusion, fusion.to_key["text"], "text", x), through(fusion, fusion.to_value["text"], "text", x)
    assert k.shape[1] == 2  # the third token of text is padding
    total = 0
    for i in range(3):
        score = torch.stack([(q[:, i] * k[:, j]).sum(-1).exp() for j in range(2)])
        total = total + q[:, i] + (score[0, :, None] * v[:, 0] + score[1, :, None] * v[:, 1]) / score.sum(0)[:, None]
    torch.testing.assert_close(fusion(x, here(image=True, text=True)).logits, nn.functional.gelu(total / 3))


def test_without_the_query_modality_it_is_the_mean_of_the_values():
    fusion, x = fused(WIDTHS)
    values = torch.cat([through(fusion, fusion.to_value[m], m, x) for m in ("image", "text")], dim=1)
    torch.testing.assert_close(fusion(x, here(ecg=False, image=True, text=True)).logits, nn.functional.gelu(values.mean(1)))


def test_the_query_modality_alone_is_projected():
    fusion, x = fused(WIDTHS, query="image")
    expected = nn.functional.gelu(through(fusion, fusion.to_query, "image", x).mean(1))
    torch.testing.assert_close(fusion(x, here(ecg=False, image=True, text=False)).logits, expected)
    alone, _ = fused({"image": 5})
    assert alone(x, here(image=True)).logits.isfinite().all()


def test_an_absent_key_modality_is_as_if_it_had_never_been():
    whole, x = fused(WIDTHS)
    part, _ = fused({"ecg": 2, "image": 5})
    part.load_state_dict({name: value for name, value in whole.state_dict().items() if "text" not in name})
    torch.testing.assert_close(whole(x, here(ecg=True, image=True, text=False)).logits, part(x, here(ecg=True, image=True)).logits)


def test_a_query_that_is_no_modality_is_named():
    with pytest.raises(InputError, match=r"fusion\.query=labs: must be one of the modalities, image, text"):
        NonLocalGate({"image": 5, "text": 3}, lambda width: nn.Linear(width, 1), query="labs")
