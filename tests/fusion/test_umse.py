"""Set embedding: modalities meet in the bottleneck only, and what is absent is skipped there."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.umse import SetEmbedding
from mmdx.types import Features

WIDTHS = {"audio": 4, "image": 5, "text": 3}
SMALL = {"hidden": 8, "heads": 2}


def two(width):
    return nn.Linear(width, 2)


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def test_without_the_absent_modality_the_model_is_the_same():
    full = SetEmbedding(WIDTHS, two, **SMALL).eval()
    less = SetEmbedding({m: WIDTHS[m] for m in ("image", "text")}, two, **SMALL).eval()
    less.load_state_dict({name: value for name, value in full.state_dict().items() if "audio" not in name})
    x, here = features(), present("image", "text")
    torch.testing.assert_close(full(x, here).logits, less({m: x[m] for m in ("image", "text")}, {m: here[m] for m in ("image", "text")}).logits)


def test_in_the_first_layer_each_modality_is_by_itself():
    """Nothing has been read from the bottleneck yet, so what a modality adds to the mean does not depend on the others."""
    fusion = SetEmbedding(WIDTHS, two, **SMALL).eval()
    fusion.layers = fusion.layers[:1]
    x = features()
    alone = [fusion(x, present(m)).logits for m in ("image", "text")]
    torch.testing.assert_close(fusion(x, present("image", "text")).logits, sum(alone) / 2)


def test_the_second_layer_is_the_papers_formula():
    fusion = SetEmbedding(WIDTHS, two, layers=2, bottlenecks=2, **SMALL).eval()
    x, names = features(), ("audio", "text")
    z = fusion.bottleneck.expand(4, 2, 8)
    sets = {m: torch.cat([fusion.class_token[m].expand(4, 1, 8), fusion.project[m](x[m].tokens) + fusion.kind[m]], dim=1) for m in names}
    for step in range(2):
        whole = {m: fusion.layers[step][m](torch.cat([sets[m], z], dim=1)) for m in names}
        sets, z = {m: whole[m][:, :4] for m in names}, (whole["audio"][:, 4:] + whole["text"][:, 4:]) / 2
    expected = fusion.head((fusion.norm(sets["audio"][:, 0]) + fusion.norm(sets["text"][:, 0])) / 2)
    torch.testing.assert_close(fusion(x, present(*names)).logits, expected)


def test_the_order_of_tokens_says_nothing():
    fusion = SetEmbedding(WIDTHS, two, **SMALL).eval()
    x, here = features(), present(*WIDTHS)
    shuffled = x | {"image": Features(x["image"].tokens[:, [2, 0, 1]], x["image"].mask)}
    torch.testing.assert_close(fusion(shuffled, here).logits, fusion(x, here).logits)


@pytest.mark.parametrize(("settings", "words"), [({"hidden": 7}, r"fusion\.hidden=7: must be a multiple"), ({"bottlenecks": 0}, r"bottlenecks=0")])
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        SetEmbedding(WIDTHS, two, **settings)
