"""MUTAN and BLOCK are Tucker decompositions with a core of constrained rank, whole and in blocks."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.mutan import Block, Mutan
from mmdx.fusion.power import power_normalise
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def mutan(**widths):
    return Mutan(widths, lambda width: nn.Identity(), hidden=6, rank=2).eval()


def test_mutan_is_a_tucker_decomposition_with_slices_of_the_given_rank():
    fusion, x = mutan(image=4, text=3), features(7, image=4, text=3)
    for factor in fusion.factor.values():
        nn.init.zeros_(factor.bias)  # the paper has no constants
    q, v = (fusion.project[m](x[m].pooled) for m in ("image", "text"))
    left, right = (fusion.factor[m].weight.reshape(6, 2, 6) for m in ("image", "text"))  # of input, term, output
    core = torch.einsum("irk,jrk->ijk", left, right)
    assert all(int(torch.linalg.matrix_rank(core[:, :, k])) == 2 for k in range(6))
    expected = torch.einsum("bi,ijk,bj->bk", q, core, v)
    torch.testing.assert_close(fusion(x, present(7, image=True, text=True)).logits, expected)


def test_without_a_modality_its_constants_are_left_in_each_term():
    fusion, x = mutan(image=4, text=3), features(7, image=4, text=3)
    made = (fusion.project["image"](x["image"].pooled) @ fusion.factor["image"].weight[0] + fusion.factor["image"].bias).reshape(7, 2, 6)
    expected = (made * fusion.factor["text"].bias.reshape(2, 6)).sum(dim=1)
    torch.testing.assert_close(fusion(x, present(7, image=True, text=False)).logits, expected)


def test_each_chunk_of_block_is_mutan_on_that_chunk_normalised():
    fusion = Block({"image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, blocks=2, rank=2).eval()
    x = features(7, image=4, text=3)
    p = {m: fusion.project[m](x[m].pooled) for m in x}
    chunks = []
    for c in range(2):
        image, text = (p[m][:, 3 * c : 3 * c + 3] @ fusion.factor[m].weight[c] + fusion.factor[m].bias[c] for m in ("image", "text"))
        chunks.append(power_normalise((image * text).reshape(7, 2, 3).sum(dim=1), fusion.epsilon))
    torch.testing.assert_close(fusion(x, present(7, image=True, text=True)).logits, torch.cat(chunks, dim=1))


@pytest.mark.parametrize(
    ("build", "settings", "words"),
    [
        (Mutan, {"rank": 0}, "fusion.rank=0: must be a whole number above 0"),
        (Block, {"rank": 0}, "fusion.rank=0: must be a whole number above 0"),
        (Block, {"blocks": 3, "hidden": 128}, "fusion.blocks=3: .*divides fusion.hidden=128"),
        (Block, {"blocks": 0}, "fusion.blocks=0: "),
        (Block, {"epsilon": 0.0}, "fusion.epsilon=0.0: must be above 0"),
    ],
)
def test_impossible_settings_are_refused(build, settings, words):
    with pytest.raises(InputError, match=words):
        build({"image": 4, "text": 3}, lambda width: nn.Linear(width, 1), **settings)
