"""Bilinear pooling is a linear layer on the normalised products of each pair, beside linear terms."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, normalize

from mmdx.errors import InputError
from mmdx.fusion.bilinear import BilinearPooling
from mmdx.fusion.power import power_normalise
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def signed_root_and_length(products):
    return normalize(products.sign() * products.abs().sqrt(), dim=-1)


def test_it_is_the_sum_of_the_pairs_normalised_products_and_of_linear_terms():
    names = ["audio", "image", "text"]
    fusion = BilinearPooling({"audio": 5, "image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, rank=2, epsilon=1e-12).eval()
    x = features(7, audio=5, image=4, text=3)
    p = {m: fusion.project[m](x[m].pooled) for m in names}
    expected = fusion.bias + sum(p[m] @ fusion.linear[m].weight.T for m in names)
    for m, n in [("audio", "image"), ("audio", "text"), ("image", "text")]:
        products = torch.einsum("bi,bj->bij", p[m], p[n]).reshape(7, 4)
        expected = expected + 2 * signed_root_and_length(products) @ fusion.pair[f"{m}+{n}"].weight.T  # 2: the root of 4 products
    torch.testing.assert_close(fusion(x, present(7, audio=True, image=True, text=True)).logits, gelu(expected))


def test_without_a_modality_the_others_pairs_and_linear_terms_are_left():
    three = BilinearPooling({"audio": 5, "image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, rank=2).eval()
    two = BilinearPooling({"image": 4, "text": 3}, lambda width: nn.Identity(), hidden=6, rank=2).eval()
    two.load_state_dict({k: v for k, v in three.state_dict().items() if "audio" not in k})
    x = features(7, audio=5, image=4, text=3)
    expected = two(x, present(7, image=True, text=True)).logits
    torch.testing.assert_close(three(x, present(7, audio=False, image=True, text=True)).logits, expected)


def test_the_root_of_products_at_zero_has_a_finite_slope():
    products = torch.zeros(2, 4, requires_grad=True)
    normalised = power_normalise(products, 1e-4)
    normalised.sum().backward()
    assert normalised.eq(0).all() and products.grad.isfinite().all()


@pytest.mark.parametrize(("settings", "words"), [({"rank": 0}, "fusion.rank=0: "), ({"epsilon": 0.0}, "fusion.epsilon=0.0: must be above 0")])
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        BilinearPooling({"image": 4, "text": 3}, lambda width: nn.Linear(width, 1), **settings)
