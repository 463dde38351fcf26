"""Tensor fusion holds every product across modalities, and without a modality the terms that do without it."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu

from mmdx.errors import InputError
from mmdx.fusion.tensor import TensorFusion
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def bare(widths, rank):
    fusion = TensorFusion(widths, lambda width: nn.Identity(), hidden=6, rank=rank).eval()
    fusion.joint[1] = nn.Identity()
    return fusion


def test_the_tensor_is_the_outer_product_of_three_embeddings_with_a_constant():
    fusion, x = bare({"audio": 5, "image": 4, "text": 3}, rank=2), features(7, audio=5, image=4, text=3)
    z = {m: torch.cat([fusion.embed[m](x[m].pooled), torch.ones(7, 1)], dim=1) for m in x}
    tensor = torch.einsum("bi,bj,bk->bijk", z["audio"], z["image"], z["text"])
    weight = fusion.joint[0].weight.reshape(6, 3, 3, 3)
    expected = torch.einsum("hijk,bijk->bh", weight, tensor) + fusion.joint[0].bias
    torch.testing.assert_close(fusion(x, present(7, audio=True, image=True, text=True)).logits, expected)


def test_without_a_modality_the_terms_of_the_others_are_left():
    fusion, x = bare({"image": 4, "text": 3}, rank=2), features(7, image=4, text=3)
    z = gelu(fusion.embed["image"][1](fusion.embed["image"][0](x["image"].pooled)))
    weight = fusion.joint[0].weight.reshape(6, 3, 3)  # of image and text, each with its constant last
    expected = z @ weight[:, :2, 2].T + weight[:, 2, 2] + fusion.joint[0].bias
    torch.testing.assert_close(fusion(x, present(7, image=True, text=False)).logits, expected)


@pytest.mark.parametrize(("count", "rank"), [(1, 32), (2, 32), (3, 15), (4, 7), (5, 4)])
def test_the_rank_is_the_largest_at_which_the_tensor_fits(count, rank):
    fusion = TensorFusion({f"m{i}": 3 for i in range(count)}, lambda width: nn.Linear(width, 1))
    assert fusion.rank == rank and fusion.joint[0].in_features == (rank + 1) ** count <= 4096


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 8, "size": 500}, r"fusion.rank=8: .*3 modalities would have 729 entries, more than fusion.size=500; .*\(6 fits\)"),
        ({"rank": 0}, "fusion.rank=0: must be a whole number above 0"),
        ({"size": 7}, "fusion.size=7: the tensor of 3 modalities has at least 8 entries"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(settings, words):
    with pytest.raises(InputError, match=words):
        TensorFusion({"audio": 5, "image": 4, "text": 3}, lambda width: nn.Linear(width, 1), **settings)
