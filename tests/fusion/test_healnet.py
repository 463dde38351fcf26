"""Facts of the Hybrid Early-fusion Attention Learning Network."""

import pytest
import torch
from token_cases import accuracy_on_exclusive_or, features, present
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.healnet import HybridEarlyFusion

WIDTHS = {"image": 5, "text": 3}


def build(widths=WIDTHS, **settings):
    torch.manual_seed(0)
    settings = {"hidden": 8, "heads": 1, "latents": 3, "dropout": 0.0} | settings
    return HybridEarlyFusion(widths, lambda width: nn.Linear(width, 2), **settings).eval()


def attend(attention, queries, context):
    key, value = attention.key_value(context).chunk(2, dim=-1)
    weights = (attention.query(queries) @ key.mT / 8**0.5).softmax(dim=-1)
    return nn.functional.leaky_relu(attention.out(weights @ value), 0.01)


def step_of_the_paper(step, s, context, norm):
    s = s + attend(step.attention, step.norm(s), norm(context))
    value, gate = step.feed_forward.inner(step.norm_forward(s)).chunk(2, dim=-1)
    return s + step.feed_forward.out(value * nn.functional.selu(gate))


def test_modalities_update_the_shared_latents_in_turn():
    fusion = build()
    x = features(**WIDTHS)
    s = fusion.latents.expand(4, -1, -1)
    for layer in fusion.layers:
        for m in ("image", "text"):
            s = step_of_the_paper(layer.cross[m], s, x[m].tokens, layer.cross[m].norm_context)
            s = step_of_the_paper(layer.own, s, s, layer.own.norm)
    torch.testing.assert_close(fusion(x, present(image=True, text=True)).logits, fusion.head(fusion.norm(s.mean(dim=1))))


@pytest.mark.parametrize("absent", ["image", "text"])
def test_the_step_of_an_absent_modality_is_skipped(absent):
    (other,) = set(WIDTHS) - {absent}
    both, alone = build(), build({other: WIDTHS[other]})
    alone.load_state_dict({name: value for name, value in both.state_dict().items() if f".{absent}." not in name})
    x = features(**WIDTHS)
    here = present(image=absent != "image", text=absent != "text")
    torch.testing.assert_close(both(x, here).logits, alone(x, present(**{other: True})).logits)


def test_it_learns_exclusive_or_of_two_signs():
    assert accuracy_on_exclusive_or(build, lr=1e-2, steps=60, signs=True, layers=1) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 9, "heads": 2}, "fusion.hidden=9: must be a multiple of fusion.heads=2"),
        ({"latents": 0}, "fusion.latents=0: must be a whole number of at least 1"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)
