"""Facts about what stands in for an absent modality."""

from functools import partial

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.strategies.missing import CrossModalRegression, LearnedTokens, MeanImputation, NearestPrototypes
from mmdx.testing import random_features
from mmdx.types import Features

WIDTHS = {"left": 4, "right": 3}
ALL = [LearnedTokens, MeanImputation, CrossModalRegression, NearestPrototypes]


def wrapped(kind, fusion=Concatenation, widths=WIDTHS, **settings):
    torch.manual_seed(0)
    inner = fusion(widths, lambda width: nn.Linear(width, 2))
    return kind(widths, inner, **settings)


def related(rows=256, absent=0.3, seed=0):
    """Two modalities, the right one a linear function of the left one and a little noise."""
    draw = torch.Generator().manual_seed(seed)
    left, matrix = torch.randn(rows, 4, generator=draw), torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    right = left @ matrix / 2 + 0.1 * torch.randn(rows, 3, generator=draw) + 1.5
    present = {"left": torch.ones(rows, dtype=torch.bool), "right": torch.rand(rows, generator=draw) >= absent}
    return {m: Features(x[:, None], torch.ones(rows, 1, dtype=torch.bool)) for m, x in (("left", left), ("right", right))}, present


def fitted(fusion, features, present, steps=300, lr=0.02):
    optimizer = torch.optim.Adam(fusion.parameters(), lr)
    for _ in range(steps):
        optimizer.zero_grad()
        output = fusion.train()(features, present)
        (output.logits.square().mean() + sum(output.aux_losses.values())).backward()
        optimizer.step()
    return fusion.eval()


def seen_by(fusion, features, present):
    """What the fusion inside is given."""
    seen = []
    handle = fusion.fusion.register_forward_pre_hook(lambda module, given: seen.append(given))
    with torch.no_grad():
        fusion(features, present)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("kind", ALL)
def test_a_complete_sample_is_left_as_it_is(kind):
    fusion = wrapped(kind).eval()
    features, present = random_features(WIDTHS)
    present = {m: torch.ones_like(here) for m, here in present.items()}
    assert torch.equal(fusion(features, present).logits, fusion.fusion(features, present).logits)


@pytest.mark.parametrize("kind", ALL)
def test_the_fusion_inside_sees_every_modality_and_one_token_in_an_absent_ones_place(kind):
    fusion = wrapped(kind).eval()
    features, present = random_features(WIDTHS)
    given, here = seen_by(fusion, features, present)
    for m in WIDTHS:
        assert here[m].all()
        assert (given[m].mask.sum(dim=1)[~present[m]] == 1).all()
        assert torch.equal(given[m].tokens[present[m]], features[m].tokens[present[m]])
        assert torch.equal(given[m].mask[present[m]], features[m].mask[present[m]])


@pytest.mark.parametrize("kind", ALL)
def test_an_absent_modality_has_no_weight_of_its_own_and_the_method_is_that_of_the_fusion_inside(kind):
    fusion = wrapped(kind, GatedMultimodalUnit).eval()
    features, present = random_features(WIDTHS)
    weights = fusion(features, present).weights
    assert all((weights[m] > 0).equal(present[m]) for m in WIDTHS)
    assert fusion.method is GatedMultimodalUnit.method


def test_the_mean_is_that_of_the_rows_that_have_the_modality():
    features, present = related()
    fusion = fitted(wrapped(MeanImputation), features, present)
    for m, f in features.items():
        assert torch.allclose(fusion.mean(m), f.pooled[present[m]].mean(dim=0), atol=0.02)
    given, _ = seen_by(fusion, features, present)
    assert torch.equal(given["right"].pooled[~present["right"]][0], fusion.mean("right"))


@pytest.mark.parametrize(("kind", "settings", "least"), [(CrossModalRegression, {}, 0.95), (NearestPrototypes, {}, 0.85)])
def test_what_is_predicted_goes_with_what_is_absent(kind, settings, least):
    """New rows whose right modality, a linear function of the left one, is absent."""
    fusion = fitted(wrapped(kind, **settings), *related())
    features, present = related(seed=1)
    truth = features["right"].pooled
    given, _ = seen_by(fusion, features, present | {"right": torch.zeros_like(present["right"])})
    for column in range(3):
        assert torch.corrcoef(torch.stack([given["right"].pooled[:, column], truth[:, column]]))[0, 1] > least
    assert (given["right"].pooled - truth).square().mean() < 0.3 * (truth - truth.mean(dim=0)).square().mean()


def test_nearest_takes_the_nearest_prototype_where_the_temperature_is_small():
    fusion = wrapped(NearestPrototypes, prototypes=5, temperature=1e-4).eval()
    features, present = related(20)
    given, _ = seen_by(fusion, features, present | {"right": torch.zeros_like(present["right"])})
    nearest = torch.cdist(features["left"].pooled, fusion.prototype["left"]).argmin(dim=1)
    assert torch.allclose(given["right"].pooled, fusion.prototype["right"][nearest], atol=1e-5)


@pytest.mark.parametrize("kind", [MeanImputation, CrossModalRegression, NearestPrototypes])
def test_neither_the_target_nor_the_task_moves_a_prediction(kind):
    fusion, (features, present) = wrapped(kind).train(), related(16)
    leaf = features["right"].tokens.requires_grad_()
    output = fusion(features, present | {"left": ~present["right"] | (torch.arange(16) == 0)})
    own = [p for name, p in fusion.named_parameters() if not name.startswith("fusion.")]
    task = torch.autograd.grad(output.logits.square().sum(), own, retain_graph=True, allow_unused=True)
    assert all(gradient is None or (gradient == 0).all() for gradient in task)
    if kind is MeanImputation:
        assert torch.autograd.grad(output.aux_losses["imputation"], leaf, allow_unused=True)[0] is None


def test_losses_are_those_of_training_alone():
    for kind in ALL[1:]:
        fusion, inputs = wrapped(kind), random_features(WIDTHS)
        assert "imputation" in fusion.train()(*inputs).aux_losses and not fusion.eval()(*inputs).aux_losses
    half, whole = (wrapped(CrossModalRegression, weight=w)(*related(8)).aux_losses["imputation"] for w in (0.5, 1.0))
    assert torch.allclose(2 * half, whole)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (partial(wrapped, CrossModalRegression, weight=0), "missing.weight=0: must be greater than 0"),
        (partial(wrapped, CrossModalRegression, hidden=0), "missing.hidden=0"),
        (partial(wrapped, NearestPrototypes, prototypes=1), "missing.prototypes=1: must be 2 or more"),
        (partial(wrapped, NearestPrototypes, temperature=0), "missing.temperature=0"),
    ],
)
def test_impossible_settings_are_named(make, told):
    with pytest.raises(InputError, match=told):
        make()
