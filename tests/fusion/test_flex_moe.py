"""Facts of the flexible mixture of experts."""

import pytest
import torch
from token_cases import accuracy_on_exclusive_or, features, present
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.flex_moe import Experts, FlexMoE, NoisyRouter, router_losses, squared_variation

WIDTHS = {"image": 5, "text": 3}


def build(widths=WIDTHS, **settings):
    torch.manual_seed(0)
    settings = {"hidden": 8, "heads": 2, "dropout": 0.0} | settings
    return FlexMoE(widths, lambda width: nn.Linear(width, 2), **settings).eval()


def test_combinations_begin_with_the_full_one_and_each_has_an_expert():
    fusion = build({"image": 5, "text": 3, "audio": 2})
    named = [[m for m, here in zip(fusion.modalities, row, strict=True) if here] for row in fusion.combination.tolist()]
    assert named == [["audio", "image", "text"], ["audio", "image"], ["audio", "text"], ["image", "text"], ["audio"], ["image"], ["text"]]
    assert fusion.experts.weight1.shape[0] == 7


def test_the_router_chooses_k_and_their_gates_are_a_softmax_of_their_logits():
    torch.manual_seed(0)
    router = NoisyRouter(4, experts=5, top_k=2).eval()
    x = torch.randn(3, 6, 4)
    gates, load, logits = router(x)
    torch.testing.assert_close(logits, router.clean(x))
    top, index = logits.topk(2, dim=-1)
    torch.testing.assert_close(gates.gather(-1, index), top.softmax(dim=-1))
    assert gates.gt(0).sum(dim=-1).eq(2).all()
    assert load.gather(-1, index).gt(0.5).all() and load.lt(0.5).sum(dim=-1).eq(3).all()  # more likely in than out, without noise


def test_load_is_the_chance_that_noise_leaves_an_expert_among_the_chosen():
    torch.manual_seed(0)
    router = NoisyRouter(4, experts=3, top_k=1)
    x = torch.randn(1, 1, 4)
    chosen = router(x.expand(20000, -1, -1))
    torch.testing.assert_close(chosen[1].mean(dim=0), chosen[0].gt(0).float().mean(dim=0), atol=0.02, rtol=0)


def test_experts_are_two_layers_each_and_an_unchosen_one_counts_for_nothing():
    torch.manual_seed(0)
    experts = Experts(4, 3)
    x, gates = torch.randn(2, 5, 4), torch.tensor([0.25, 0.0, 0.75]).expand(2, 5, 3)
    f = [nn.functional.gelu(x @ experts.weight1[e].T + experts.bias1[e]) @ experts.weight2[e].T + experts.bias2[e] for e in range(3)]
    torch.testing.assert_close(experts(x, gates), 0.25 * f[0] + 0.75 * f[2])


def test_the_bank_stands_in_for_what_is_absent_by_the_combination_that_is_there():
    fusion = build({"a": 2, "b": 2, "c": 2})
    x = features(a=2, b=2, c=2)
    base = fusion(x, present(a=True, b=False, c=True)).logits
    with torch.no_grad():
        fusion.bank["b"][torch.arange(7) != 2] += 1.0  # combination 2 is a with c
        fusion.bank["a"] += 1.0
    torch.testing.assert_close(fusion(x, present(a=True, b=False, c=True)).logits, base)
    with torch.no_grad():
        fusion.bank["b"][2] += 1.0
    assert not torch.allclose(fusion(x, present(a=True, b=False, c=True)).logits, base, atol=1e-3)


def test_router_losses_are_those_of_complete_and_of_incomplete_samples():
    torch.manual_seed(0)
    gates, load, logits = torch.rand(3, 2, 4), torch.rand(3, 2, 4), torch.randn(3, 2, 4)
    which = torch.eye(3, dtype=torch.bool)[[0, 1, 2]]
    real = torch.tensor([[True, True], [True, True], [True, False]])
    losses = router_losses(gates, load, logits, real, which)
    variation = [t[0].sum(dim=0) for t in (gates, load)] + [(t[1].sum(dim=0) + t[2, 0])[1:] for t in (gates, load)]
    torch.testing.assert_close(losses["balance"], sum(v.var() / v.mean() ** 2 for v in variation))
    rows = torch.stack([logits[1, 0], logits[1, 1], logits[2, 0]])
    torch.testing.assert_close(losses["combination"], nn.functional.cross_entropy(rows, torch.tensor([1, 1, 2])))
    assert squared_variation(torch.zeros(4)).eq(0) and squared_variation(torch.ones(1)).eq(0)


def test_the_combination_loss_is_zero_where_every_sample_is_complete():
    losses = build()(features(**WIDTHS), present(image=True, text=True)).aux_losses
    assert losses["combination"].eq(0) and losses["balance"] > 0
    alone = build({"image": 5})(features(image=5), present(image=True)).aux_losses
    assert all(loss.eq(0) for loss in alone.values())


def test_it_learns_exclusive_or_of_two_signs():
    assert accuracy_on_exclusive_or(build, lr=1e-2, steps=60, hidden=16) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 9}, "fusion.hidden=9: must be a multiple of fusion.heads=2"),
        ({"experts": 2}, "fusion.experts=2: 2 modalities have 3 combinations"),
        ({"top_k": 0}, "fusion.top_k=0: must be a whole number of at least 1"),
        ({"balance": -1.0}, "fusion.balance=-1.0: must be 0 or more"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)
