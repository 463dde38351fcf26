"""Products of experts are products of Gaussian densities, and their mixture runs over the subsets of what is present."""

from itertools import combinations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from mmdx.errors import InputError
from mmdx.fusion.poe import MixtureOfProducts, ProductOfExperts
from mmdx.testing import check_fusion
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def build(fusion_class, **settings):
    torch.manual_seed(0)
    return fusion_class(WIDTHS, lambda width: nn.Identity(), hidden=6, latent=2, **settings).double()


def beliefs(fusion, x, names):
    experts = [fusion.eval().experts[m](x[m].pooled.double()) for m in names]
    return [(mean, log_variance.exp()) for mean, log_variance in experts]


def multiplied(gaussians):
    """Mean and variance of the normalised product of Gaussian densities, by summing over a fine grid."""
    grid = torch.linspace(-12, 12, 6001, dtype=torch.double)[:, None, None]
    density = sum(Normal(mean, variance.sqrt()).log_prob(grid) for mean, variance in gaussians).softmax(dim=0)
    mean = (density * grid).sum(dim=0)
    return mean, (density * (grid - mean) ** 2).sum(dim=0)


def double(x):
    return {m: Features(f.tokens.double(), f.mask) for m, f in x.items()}


PRIOR = (torch.zeros((), dtype=torch.double), torch.ones((), dtype=torch.double))


@pytest.mark.parametrize("names", [("text",), ("audio", "image"), ("audio", "image", "text")])
def test_product_of_experts_is_the_product_of_the_densities_there_and_the_prior(names):
    fusion, x = build(ProductOfExperts, kl_weight=0.5), features()
    mean, variance = multiplied([*beliefs(fusion, x, names), PRIOR])
    output = fusion(double(x), present(*names))
    torch.testing.assert_close(output.logits, mean, atol=1e-6, rtol=1e-6)
    expected = kl_divergence(Normal(mean, variance.sqrt()), Normal(*PRIOR)).sum(dim=1).mean()
    torch.testing.assert_close(output.aux_losses["kl"], 0.5 * expected, atol=1e-5, rtol=1e-5)


def test_an_unsure_expert_leaves_the_rest_as_it_is():
    fusion, x = build(ProductOfExperts).eval(), features()
    nn.init.zeros_(fusion.experts["text"].log_variance.weight)
    nn.init.constant_(fusion.experts["text"].log_variance.bias, 40.0)
    both = fusion(double(x), present("image", "text"))
    torch.testing.assert_close(both.logits, fusion(double(x), present("image")).logits)
    assert both.weights["text"].lt(1e-6).all()


@pytest.mark.parametrize("prior_expert", [False, True])
@pytest.mark.parametrize("names", [("text",), ("audio", "image"), ("audio", "image", "text")])
def test_mixture_is_even_over_the_subsets_of_what_is_present(names, prior_expert):
    fusion, x = build(MixtureOfProducts, kl_weight=0.5, prior_expert=prior_expert), features()
    subsets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    products = [multiplied(beliefs(fusion, x, subset) + [PRIOR] * prior_expert) for subset in subsets]
    output = fusion(double(x), present(*names))
    torch.testing.assert_close(output.logits, torch.stack([mean for mean, _ in products]).mean(dim=0), atol=1e-6, rtol=1e-6)
    each = [kl_divergence(Normal(mean, variance.sqrt()), Normal(*PRIOR)).sum(dim=1).mean() for mean, variance in products]
    torch.testing.assert_close(output.aux_losses["kl"], 0.5 * sum(each) / len(each), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fusion_class", [ProductOfExperts, MixtureOfProducts])
def test_training_draws_from_the_posterior_that_evaluation_takes_the_mean_of(fusion_class):
    fusion, x = build(fusion_class, dropout=0.0), features(batch=1)
    many = {m: Features(f.tokens.double().expand(10000, -1, -1), f.mask.expand(10000, -1)) for m, f in x.items()}
    here = present("audio", "text", batch=10000)
    drawn = fusion.train()(many, here).logits
    torch.testing.assert_close(drawn.mean(dim=0), fusion.eval()(many, here).logits[0], atol=0.07, rtol=0)
    sets = [("audio", "text")] if fusion_class is ProductOfExperts else [("audio",), ("text",), ("audio", "text")]
    parts = [multiplied(beliefs(fusion, x, s) + [PRIOR] * (fusion_class is ProductOfExperts)) for s in sets]
    second = torch.stack([variance + mean**2 for mean, variance in parts]).mean(dim=0)[0]
    torch.testing.assert_close((drawn**2).mean(dim=0), second, atol=0.1, rtol=0)


@pytest.mark.slow
def test_mixture_with_the_prior_in_each_product_keeps_the_contract():
    check_fusion(lambda widths, head: MixtureOfProducts(widths, head, prior_expert=True))


def test_impossible_settings_are_refused():
    with pytest.raises(InputError, match=r"fusion\.kl_weight=-1: must be 0"):
        ProductOfExperts(WIDTHS, nn.Identity, kl_weight=-1)
    with pytest.raises(InputError, match="9 modalities have 511 subsets"):
        MixtureOfProducts({f"m{i}": 2 for i in range(9)}, nn.Identity)
