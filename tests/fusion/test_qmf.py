"""Quality-aware fusion weighs each modality's logits by their energy."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.qmf import QualityAware
from mmdx.testing import check_fusion
from mmdx.types import Features

WIDTHS = {"image": 5, "text": 3}


def features(batch=4):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d, generator=draw), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(*names, batch=4):
    return {m: torch.full((batch,), m in names) for m in WIDTHS}


def test_weights_are_the_energies_of_the_own_logits():
    fusion = QualityAware(WIDTHS, lambda width: nn.Linear(width, 3), scale=0.3, temperature=2.0)
    x = features()
    own = {m: fusion.heads[m](x[m].pooled) for m in WIDTHS}
    energy = {m: -2 * (own[m] / 2).exp().sum(dim=1, keepdim=True).log() for m in WIDTHS}
    output = fusion(x, present("image", "text"))
    torch.testing.assert_close(output.logits, -0.3 * sum(energy[m] * own[m] for m in WIDTHS))
    torch.testing.assert_close(output.weights["image"], (energy["image"] / (energy["image"] + energy["text"]))[:, 0])
    torch.testing.assert_close(fusion(x, present("text")).logits, -0.3 * energy["text"] * own["text"])


def test_of_one_output_yes_and_no_count_alike_and_the_surer_modality_counts_more():
    fusion = QualityAware(WIDTHS, lambda width: nn.Linear(width, 1))
    for m, logit in {"image": -4.0, "text": 1.0}.items():
        nn.init.zeros_(fusion.heads[m].weight)
        nn.init.constant_(fusion.heads[m].bias, logit)
    output = fusion(features(), present("image", "text"))
    assert (output.weights["image"] > output.weights["text"]).all()
    for m in WIDTHS:
        nn.init.constant_(fusion.heads[m].bias, -fusion.heads[m].bias.item())
    torch.testing.assert_close(fusion(features(), present("image", "text")).logits, -output.logits)


@pytest.mark.slow
def test_independent_outputs_are_one_output_each():
    check_fusion(lambda widths, head: QualityAware(widths, head, independent=True))
    fusion = QualityAware(WIDTHS, lambda width: nn.Linear(width, 2), independent=True)
    logits = fusion(features(), present("image", "text")).logits
    for k in range(2):
        one = QualityAware(WIDTHS, lambda width: nn.Linear(width, 1))
        one.load_state_dict({name: value[k : k + 1] for name, value in fusion.state_dict().items()})
        torch.testing.assert_close(one(features(), present("image", "text")).logits, logits[:, k : k + 1])


@pytest.mark.parametrize("settings", [{"scale": 0.0}, {"temperature": -1.0}])
def test_settings_not_above_zero_are_refused(settings):
    key, value = next(iter(settings.items()))
    with pytest.raises(InputError, match=rf"fusion\.{key}={value}: must be above 0"):
        QualityAware(WIDTHS, lambda width: nn.Linear(width, 1), **settings)
