"""Multiplicative fusions learn the exclusive-or of two modalities' signs, which no sum of what each modality says can."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from token_cases import accuracy_on_exclusive_or
from torch import nn

from mmdx.fusion.bilinear import BilinearPooling
from mmdx.fusion.compact_bilinear import CompactBilinearPooling
from mmdx.fusion.embracenet import EmbraceNet
from mmdx.fusion.interactions import MultiplicativeInteractions
from mmdx.fusion.late import SumOfLogits
from mmdx.fusion.low_rank import LowRankFusion
from mmdx.fusion.mutan import Block, Mutan
from mmdx.fusion.poe import MixtureOfProducts
from mmdx.fusion.shaspec import ShaSpec
from mmdx.fusion.tensor import TensorFusion
from mmdx.types import Features

MULTIPLICATIVE = [
    (TensorFusion, {"hidden": 16, "rank": 4}),
    (LowRankFusion, {"hidden": 16, "rank": 2}),
    (BilinearPooling, {"hidden": 16, "rank": 4}),
    (CompactBilinearPooling, {"size": 128}),
    (MultiplicativeInteractions, {"hidden": 16, "rank": 4}),
    (Mutan, {"hidden": 16, "rank": 2}),
    (Block, {"hidden": 16, "blocks": 4, "rank": 2}),
]


def draw(count, seed):
    """Two modalities of width 8, a sign in the first feature of each, and whether the signs differ."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (2, count), generator=generator).float() * 2 - 1
    noise = torch.randn(2, count, 1, 8, generator=generator) * 0.5
    noise[:, :, 0, 0] += 2 * signs
    return {m: Features(x, torch.ones(count, 1, dtype=torch.bool)) for m, x in zip(("image", "text"), noise, strict=True)}, signs[0] != signs[1]


def held_out_auroc(build, head=lambda width: nn.Linear(width, 1), **settings):
    """AUROC on 1,000 new samples after 50 steps on 300."""
    torch.manual_seed(0)
    fusion = build({"image": 8, "text": 8}, head, **settings)
    optimiser = torch.optim.Adam(fusion.parameters(), lr=0.01)
    features, target = draw(300, seed=1)
    here = {m: torch.ones(300, dtype=torch.bool) for m in features}
    for _ in range(50):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(fusion(features, here).logits[:, 0], target.float()).backward()
        optimiser.step()
    fresh, truth = draw(1000, seed=2)
    with torch.no_grad():
        logits = fusion.eval()(fresh, {m: torch.ones(1000, dtype=torch.bool) for m in fresh}).logits[:, 0]
    return roc_auc_score(truth, logits)


@pytest.mark.parametrize(("build", "settings"), MULTIPLICATIVE, ids=[build.__name__ for build, _ in MULTIPLICATIVE])
def test_a_product_of_modalities_learns_their_exclusive_or(build, settings):
    assert held_out_auroc(build, **settings) > 0.9


@pytest.mark.parametrize("build", [EmbraceNet, ShaSpec])
def test_what_a_linear_head_makes_a_sum_learns_it_with_a_layer_more(build):
    """In evaluation both are sums over modalities of what each says; the papers have a network in the place of the linear head."""
    assert held_out_auroc(build) < 0.6
    assert held_out_auroc(build, head=lambda width: nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 1))) > 0.95


def test_a_mixture_of_products_learns_it_here():
    """Its experts are joined before they are drawn; that it stays at chance in the comparison of fusions is no matter of form."""
    assert held_out_auroc(MixtureOfProducts) > 0.9


def test_a_linear_model_of_the_concatenation_does_not():
    assert held_out_auroc(SumOfLogits) < 0.6


@pytest.mark.parametrize("signs", [False, True])
def test_what_tests_of_token_fusions_are_asked_is_not_learned_by_a_sum_of_what_each_says(signs):
    def build(widths):
        return SumOfLogits(widths, lambda width: nn.Linear(width, 2))

    assert accuracy_on_exclusive_or(build, lr=1e-2, steps=120, signs=signs) < 0.75
