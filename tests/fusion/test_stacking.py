"""Stacking is a model of the modalities' own logits and of which are there."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.stacking import Stacking
from mmdx.testing import check_fusion
from mmdx.types import Features

WIDTHS = {"image": 5, "text": 3}


def two(width):
    return nn.Linear(width, 2)


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def test_it_is_a_linear_model_of_the_own_logits_with_an_intercept_for_what_is_there():
    fusion = Stacking(WIDTHS, two)
    nn.init.normal_(fusion.head.weight)
    x = features()
    own = {m: fusion.heads[m](x[m].pooled) for m in WIDTHS}
    weight, bias = fusion.head.weight, fusion.head.bias  # columns: image's 2 logits, text's 2 logits, image is there, text is there
    both = own["image"] @ weight[:, :2].T + own["text"] @ weight[:, 2:4].T + weight[:, 4] + weight[:, 5] + bias
    torch.testing.assert_close(fusion(x, present("image", "text")).logits, both)
    torch.testing.assert_close(fusion(x, present("text")).logits, own["text"] @ weight[:, 2:4].T + weight[:, 5] + bias)


def test_it_begins_as_the_mean_and_learns_from_output_layers_at_zero():
    fusion = Stacking(WIDTHS, two)
    x, here = features(), present("image", "text")
    own = [fusion.heads[m](x[m].pooled) for m in WIDTHS]
    torch.testing.assert_close(fusion(x, here).logits, (own[0] + own[1]) / 2)
    for head in fusion.heads.values():
        nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    fusion(x, here).logits[:, 0].sum().backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in fusion.heads.values())


def test_with_a_hidden_layer_it_can_give_what_no_weighting_of_the_logits_gives():
    """Exclusive or of the two modalities' decisions, from first-level models that are held."""
    torch.manual_seed(0)
    fusion = Stacking({"a": 1, "b": 1}, lambda width: nn.Linear(width, 1), hidden=16, dropout=0.0)
    for head in fusion.heads.values():
        nn.init.ones_(head.weight), nn.init.zeros_(head.bias)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    x = {m: Features(signs[:, i : i + 1, None], torch.ones(4, 1, dtype=torch.bool)) for i, m in enumerate("ab")}
    here = {m: torch.ones(4, dtype=torch.bool) for m in "ab"}
    target = torch.tensor([0.0, 1.0, 1.0, 0.0])
    optimizer = torch.optim.Adam([*fusion.between.parameters(), *fusion.head.parameters()], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(fusion(x, here).logits[:, 0], target).backward()
        optimizer.step()
    assert ((fusion(x, here).logits[:, 0] > 0) == target.bool()).all()


@pytest.mark.slow
def test_with_a_hidden_layer_it_keeps_the_contract():
    check_fusion(lambda widths, head: Stacking(widths, head, hidden=8))


def test_a_negative_width_is_refused():
    with pytest.raises(InputError, match=r"fusion\.hidden=-1: must be 0"):
        Stacking(WIDTHS, two, hidden=-1)
