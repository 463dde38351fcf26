"""Low-rank fusion is a linear layer on the outer product of the modalities, of low rank."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.low_rank import LowRankFusion
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def weights(fusion, m):
    """[R, H, D_m + 1], the constant's weights last."""
    layer = fusion.factor[m]
    return torch.cat([layer.weight, layer.bias[:, None]], dim=1).unflatten(0, (fusion.rank, -1))


def test_it_is_a_linear_layer_on_the_outer_product_of_three_modalities():
    fusion = LowRankFusion({"audio": 5, "image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, rank=2).eval()
    x = features(7, audio=5, image=4, text=3)
    nn.init.normal_(fusion.bias)
    z = [torch.cat([fusion.norm[m](x[m].pooled), torch.ones(7, 1)], dim=1) for m in sorted(x)]
    tensor = torch.einsum("bi,bj,bk->bijk", *z)
    low_rank = torch.einsum("rhi,rhj,rhk->hijk", *(weights(fusion, m) for m in sorted(x)))
    expected = torch.einsum("hijk,bijk->bh", low_rank, tensor) + fusion.bias
    torch.testing.assert_close(fusion(x, present(7, audio=True, image=True, text=True)).logits, expected)


def test_without_a_modality_the_weights_of_its_constant_are_left_in_the_product():
    fusion, x = LowRankFusion({"image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, rank=2).eval(), features(7, image=4, text=3)
    z = torch.cat([fusion.norm["image"](x["image"].pooled), torch.ones(7, 1)], dim=1)
    expected = torch.einsum("rhi,rh,bi->bh", weights(fusion, "image"), weights(fusion, "text")[:, :, -1], z)
    torch.testing.assert_close(fusion(x, present(7, image=True, text=False)).logits, expected)


def test_of_one_modality_it_is_a_linear_layer():
    fusion, x = LowRankFusion({"image": 4}, lambda width: nn.Identity(), hidden=6, rank=2).eval(), features(7, image=4)
    weight = weights(fusion, "image").sum(dim=0)
    expected = fusion.norm["image"](x["image"].pooled) @ weight[:, :-1].T + weight[:, -1]
    torch.testing.assert_close(fusion(x, present(7, image=True)).logits, expected)


def test_a_rank_below_one_is_refused():
    with pytest.raises(InputError, match="fusion.rank=0: must be a whole number above 0"):
        LowRankFusion({"image": 4, "text": 3}, lambda width: nn.Linear(width, 1), rank=0)
