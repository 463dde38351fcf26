"""Facts about the pooling of a bag's items."""

import pytest
import torch

from mmdx.encoders.aggregate import AttentionItems, MaxItems, MeanItems
from mmdx.errors import InputError
from mmdx.types import Features

POOLINGS = [MeanItems, MaxItems, AttentionItems]


def bag():
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)
    return Features(torch.randn(3, 4, 6), mask)


def test_mean_and_maximum_are_over_the_real_tokens():
    features = bag()
    real = features.tokens[1, [0, 2]]
    torch.testing.assert_close(MeanItems(6)(features).tokens[1, 0], real.mean(dim=0))
    torch.testing.assert_close(MaxItems(6)(features).tokens[1, 0], real.amax(dim=0))


def test_attention_is_the_papers_formula():
    features, pool = bag(), AttentionItems(6, hidden=3)
    v, w = pool.score[0].weight, pool.score[2].weight[0]  # V [L, D], w [L]
    h = features.tokens[1, [0, 2]]
    powers = torch.stack([torch.exp(w @ torch.tanh(v @ h_k)) for h_k in h])
    a = powers / powers.sum()
    torch.testing.assert_close(pool.weights(features)[1, [0, 2]], a)
    torch.testing.assert_close(pool(features).tokens[1, 0], a[0] * h[0] + a[1] * h[1])


def test_attention_of_equal_tokens_is_even_and_zero_where_nothing_is():
    features = bag()._replace(tokens=torch.ones(3, 4, 6))
    weights = AttentionItems(6).weights(features)
    torch.testing.assert_close(weights, torch.tensor([[0.25] * 4, [0.5, 0, 0.5, 0], [0.0] * 4]))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_sample_without_items_gives_a_masked_zero(pooling):
    pooled = pooling(6)(bag())
    assert pooled.tokens.shape == (3, 1, 6)
    assert pooled.mask.tolist() == [[True], [True], [False]]
    assert (pooled.tokens[2] == 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e30])
def test_what_stands_in_a_masked_slot_changes_no_bit_of_output_or_gradient(pooling, filler):
    features, pool = bag(), pooling(6)
    spoiled = Features(features.tokens.masked_fill(~features.mask[:, :, None], filler), features.mask)
    results = []
    for given in (features, spoiled):
        pool.zero_grad()
        tokens = given.tokens.clone().requires_grad_()
        out = pool(Features(tokens, given.mask)).tokens
        out.square().sum().backward()
        results.append([out, tokens.grad, *(p.grad for p in pool.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_order_of_items_does_not_matter(pooling):
    features, pool = bag(), pooling(6)
    order = torch.tensor([2, 0, 3, 1])
    turned = pool(Features(features.tokens[:, order], features.mask[:, order]))
    torch.testing.assert_close(turned.tokens, pool(features).tokens)


def test_a_width_below_one_is_refused():
    with pytest.raises(InputError, match="aggregate.width=0"):
        AttentionItems(0)
