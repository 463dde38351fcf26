"""Facts of the Perceiver as a fusion."""

import pytest
import torch
from token_cases import accuracy_on_exclusive_or, features, present
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.perceiver import Perceiver

WIDTHS = {"image": 5, "text": 3}


def build(widths=WIDTHS, **settings):
    torch.manual_seed(0)
    settings = {"hidden": 8, "heads": 2, "latents": 3, "dropout": 0.0} | settings
    return Perceiver(widths, lambda width: nn.Linear(width, 2), **settings).eval()


def attend(attention, queries, context):
    (key, value), parts = attention.key_value(context).chunk(2, dim=-1), []
    query = attention.query(queries)
    for h in range(attention.heads):
        at = slice(h * 8 // attention.heads, (h + 1) * 8 // attention.heads)
        scores = query[..., at] @ key[..., at].mT / (8 / attention.heads) ** 0.5
        parts.append(scores.softmax(dim=-1) @ value[..., at])
    return attention.out(torch.cat(parts, dim=-1))


def test_latents_read_the_joined_tokens_and_then_one_another():
    fusion = build()
    x = features(**WIDTHS)
    tokens = torch.cat([fusion.project[m](x[m].tokens) + fusion.kind[m] for m in ("image", "text")], dim=1)
    z = fusion.latents.expand(4, -1, -1)
    for layer in fusion.layers:
        z = z + attend(layer.attention, layer.norm_latents(z), layer.norm_tokens(tokens))
        z = z + layer.feed_forward(layer.norm(z))
        block = layer.blocks[0]
        z = z + attend(block.attention, block.norm1(z), block.norm1(z))
        z = z + block.feed_forward(block.norm2(z))
    torch.testing.assert_close(fusion(x, present(image=True, text=True)).logits, fusion.head(fusion.norm(z.mean(dim=1))))


def test_an_absent_modality_leaves_the_network_of_the_others():
    both, alone = build(), build({"image": 5})
    alone.load_state_dict({name: value for name, value in both.state_dict().items() if "text" not in name})
    x = features(**WIDTHS)
    torch.testing.assert_close(both(x, present(image=True, text=False)).logits, alone(x, present(image=True)).logits)


def test_the_embedding_tells_apart_modalities_whose_tokens_are_the_same():
    fusion = build({"a": 3, "b": 3})
    fusion.project["b"].load_state_dict(fusion.project["a"].state_dict())
    x = features(a=3)["a"]
    logits = [fusion({"a": x, "b": x}, present(a=i == 0, b=i == 1)).logits for i in (0, 1)]
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)
    with torch.no_grad():
        fusion.kind["b"].copy_(fusion.kind["a"])
    torch.testing.assert_close(fusion({"a": x, "b": x}, present(a=False, b=True)).logits, logits[0])


def test_it_learns_exclusive_or_of_two_signs():
    assert accuracy_on_exclusive_or(build, lr=3e-3, steps=100, hidden=16) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 9}, "fusion.hidden=9: must be a multiple of fusion.heads=2"),
        ({"cross_heads": 3}, "fusion.hidden=8: must be a multiple of fusion.cross_heads=3"),
        ({"latents": 0}, "fusion.latents=0: must be a whole number of at least 1"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)
