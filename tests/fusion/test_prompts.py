"""Missing-aware prompts: a joint Transformer that has, besides the tokens, the prompts of what is missing."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.prompts import MissingAwarePrompts
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}
SMALL = {"hidden": 8, "heads": 2, "length": 2}


def two(width):
    return nn.Linear(width, 2)


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def plainly(fusion, x, names, prompts):
    """The sequence without a mask: the prompts of the pattern, the class token and the tokens of what is there."""
    parts = [fusion.project[m](x[m].tokens) + fusion.kind[m] for m in names]
    h = torch.cat([fusion.class_token.expand(4, 1, -1), *parts], dim=1)
    added = 0
    for number, layer in enumerate(fusion.layers):
        if number < len(fusion.complete):
            new = torch.cat([prompt[number] for prompt in prompts])
            h = torch.cat([new.expand(4, -1, -1), h], dim=1)
            added += len(new)
        h = layer(h)
    return fusion.head(fusion.norm(h[:, added]))


@pytest.mark.parametrize("prompt_layers", [1, 2])
def test_a_sample_has_the_prompts_of_its_absent_modalities_or_that_of_completeness(prompt_layers):
    fusion = MissingAwarePrompts(WIDTHS, two, prompt_layers=prompt_layers, **SMALL).eval()
    x = features()
    for names in (tuple(WIDTHS), ("image", "text"), ("text",)):
        absent = [fusion.absent[m] for m in WIDTHS if m not in names]
        expected = plainly(fusion, x, names, absent or [fusion.complete])
        torch.testing.assert_close(fusion(x, present(*names)).logits, expected)


def test_prompts_grow_with_the_modalities_and_not_with_their_subsets():
    fusion = MissingAwarePrompts(WIDTHS, two, **SMALL)
    assert fusion.complete.shape == (1, 2, 8) and sorted(fusion.absent) == sorted(WIDTHS)


def test_only_the_prompts_of_the_pattern_are_trained_by_a_sample():
    fusion = MissingAwarePrompts(WIDTHS, two, **SMALL)
    fusion(features(), present("image", "text")).logits.square().sum().backward()
    assert fusion.absent["audio"].grad.abs().sum() > 0
    for other in (fusion.complete, fusion.absent["image"], fusion.absent["text"]):
        assert other.grad.eq(0).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 7}, r"fusion\.hidden=7: must be a multiple"),
        ({"length": 0}, r"fusion\.length=0: a prompt must have"),
        ({"prompt_layers": 3}, r"fusion\.prompt_layers=3: must be from 1 to fusion\.layers=2"),
        ({"prompt_layers": 0}, r"fusion\.prompt_layers=0"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        MissingAwarePrompts(WIDTHS, two, **settings)
