"""MedFuse is an LSTM over the modalities that are present."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.medfuse import MedFuse
from mmdx.types import Features

WIDTHS = {"ecg": 4, "image": 5, "text": 3}


def features(batch):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(batch, **here):
    return {m: torch.full((batch,), here.get(m, True)) for m in WIDTHS}


def medfuse(**settings):
    torch.manual_seed(1)
    return MedFuse(WIDTHS, lambda width: nn.Identity(), hidden=8, **settings).eval()


def lstm(fusion):
    """PyTorch's own LSTM with the weights of the fusion."""
    net = nn.LSTM(8, 8, batch_first=True)
    with torch.no_grad():
        net.weight_ih_l0.copy_(fusion.gates.weight)
        net.weight_hh_l0.copy_(fusion.recurrent.weight)
        net.bias_ih_l0.copy_(fusion.gates.bias)
        net.bias_hh_l0.zero_()
    return net


@pytest.mark.parametrize("read", [["ecg", "image", "text"], ["ecg", "text"], ["image"]])
def test_it_is_an_lstm_over_the_tokens_of_the_modalities_present(read):
    fusion, x = medfuse(), features(4)
    tokens = torch.stack([fusion.project[m](x[m].pooled) for m in read], dim=1)
    _, (last, _) = lstm(fusion)(tokens)
    here = present(4, **{m: m in read for m in WIDTHS})
    torch.testing.assert_close(fusion(x, here).logits, last[0])


def test_the_order_of_reading_can_be_given():
    fusion, x = medfuse(order=["text", "ecg", "image"]), features(4)
    tokens = torch.stack([fusion.project[m](x[m].pooled) for m in ("text", "ecg", "image")], dim=1)
    _, (last, _) = lstm(fusion)(tokens)
    torch.testing.assert_close(fusion(x, present(4)).logits, last[0])


@pytest.mark.parametrize("order", [["text", "ecg"], ["text", "ecg", "image", "image"], ["text", "ecg", "xray"]])
def test_an_order_that_is_not_the_modalities_is_refused(order):
    with pytest.raises(InputError, match=r"fusion\.order=.*\['ecg', 'image', 'text'\]"):
        medfuse(order=order)
