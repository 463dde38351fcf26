"""Facts of the Multimodal Transformer with pairwise cross-attention."""

import math

import pytest
import torch
from token_cases import accuracy_on_exclusive_or, features, present
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.mult import MultimodalTransformer
from mmdx.types import Features

WIDTHS = {"image": 5, "text": 3}


def build(widths=WIDTHS, **settings):
    torch.manual_seed(0)
    settings = {"hidden": 4, "heads": 2, "layers": 1, "dropout": 0.0} | settings
    return MultimodalTransformer(widths, lambda width: nn.Linear(width, 2), **settings).eval()


def position(i, width=4):
    return [f(i / 10000 ** (j / width)) for j in range(0, width, 2) for f in (math.sin, math.cos)]


def layer_of_equation_4(layer, stream, source):
    everything = torch.ones(source.shape[:2], dtype=torch.bool)
    hat = layer.attention(layer.norm1(stream), layer.norm1(source), everything) + layer.norm1(stream)
    return layer.feed_forward(layer.norm2(hat)) + layer.norm2(hat)


def test_two_modalities_are_the_equations_of_the_paper():
    fusion = build(layers=2)
    x = features(**WIDTHS)
    z = {m: x[m].tokens @ fusion.project[m].weight.T + torch.tensor([position(i) for i in (1, 2, 3)]) for m in x}
    last = []
    for target, source in (("image", "text"), ("text", "image")):
        y = z[target]
        for layer in fusion.target[target].cross[source].layers:
            y = layer_of_equation_4(layer, y, z[source])
        last.append(layer_of_equation_4(fusion.target[target].memory[0], y, y)[:, -1])
    h = torch.cat(last, dim=-1)
    one, two = fusion.residual[0], fusion.residual[3]
    expected = fusion.head(h + two(one(h).relu()))
    torch.testing.assert_close(fusion(x, present(image=True, text=True)).logits, expected)


def test_an_absent_source_adds_nothing_and_an_absent_target_is_zero():
    fusion = build()
    x = features(**WIDTHS)
    z = x["image"].tokens @ fusion.project["image"].weight.T + torch.tensor([position(i) for i in (1, 2, 3)])
    layer = fusion.target["image"].cross["text"].layers[0]
    y = layer.norm2(layer.norm1(z))
    y = layer.feed_forward(y) + y
    last = layer_of_equation_4(fusion.target["image"].memory[0], y, y)[:, -1]
    h = torch.cat([last, torch.zeros_like(last)], dim=-1)
    torch.testing.assert_close(fusion(x, present(image=True, text=False)).logits, fusion.head(h + fusion.residual(h)))


def test_a_single_modality_is_a_self_attention_transformer_and_its_last_token():
    fusion = build({"image": 5})
    x = features(image=5)
    z = x["image"].tokens @ fusion.project["image"].weight.T + torch.tensor([position(i) for i in (1, 2, 3)])
    h = layer_of_equation_4(fusion.target["image"].memory[0], z, z)[:, -1]
    torch.testing.assert_close(fusion(x, present(image=True)).logits, fusion.head(h + fusion.residual(h)))


def test_padding_changes_nothing_wherever_it_stands():
    fusion, here = build(), present(image=True, text=True)
    x = features(**WIDTHS)
    padding, none = torch.full((4, 2, 5), 7.0), torch.zeros(4, 2, dtype=torch.bool)
    image = x["image"]
    for parts, masks in (([image.tokens, padding], [image.mask, none]), ([padding, image.tokens], [none, image.mask])):
        longer = x | {"image": Features(torch.cat(parts, dim=1), torch.cat(masks, dim=1))}
        torch.testing.assert_close(fusion(longer, here).logits, fusion(x, here).logits)


def test_every_ordered_pair_has_its_own_transformer():
    fusion = build({"image": 5, "text": 3, "audio": 2}, hidden=4)
    pairs = {(t, s) for t in fusion.target for s in fusion.target[t].cross}
    assert len(pairs) == 6 and all(t != s for t, s in pairs)
    assert fusion.head.in_features == 3 * 2 * 4


def test_it_learns_exclusive_or_of_two_signs():
    assert accuracy_on_exclusive_or(build, lr=1e-2, steps=60, hidden=8) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 5}, "fusion.hidden=5: must be a multiple of fusion.heads=2"),
        ({"memory_layers": 0}, "fusion.memory_layers=0: must be a whole number of at least 1"),
    ],
)
def test_impossible_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        build(**settings)
