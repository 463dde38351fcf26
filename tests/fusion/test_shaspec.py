"""ShaSpec is the formula of its docstring."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.shaspec import ShaSpec
from mmdx.types import Features

WIDTHS = {"ecg": 4, "image": 5, "text": 3}


def features(batch):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(batch, **here):
    return {m: torch.full((batch,), here.get(m, True)) for m in WIDTHS}


def shaspec(**settings):
    torch.manual_seed(1)
    return ShaSpec(WIDTHS, lambda width: nn.Identity(), hidden=8, **settings).eval()


def parts(fusion, x):
    shared = {m: fusion.shared(fusion.enter[m](x[m].pooled)) for m in x}
    specific = {m: fusion.specific[m](x[m].pooled) for m in x}
    return shared, specific


def test_a_present_modality_is_its_shared_features_and_a_residual_of_both():
    fusion, x = shaspec(), features(4)
    r, s = parts(fusion, x)
    expected = [r[m] + torch.cat([r[m], s[m]], 1) @ fusion.compose.weight.T + fusion.compose.bias for m in WIDTHS]
    torch.testing.assert_close(fusion(x, present(4)).logits, torch.cat(expected, 1))


def test_the_mean_of_what_the_others_share_stands_in_for_an_absent_modality():
    fusion, x = shaspec(), features(4)
    r, _ = parts(fusion, x)
    both = fusion(x, present(4, image=False)).logits.unflatten(1, (3, 8))
    torch.testing.assert_close(both[:, 1], (r["ecg"] + r["text"]) / 2)
    alone = fusion(x, present(4, image=False, ecg=False)).logits.unflatten(1, (3, 8))
    torch.testing.assert_close(alone[:, 0], r["text"])
    torch.testing.assert_close(alone[:, 1], r["text"])


def test_losses_are_the_distance_of_shared_features_and_the_cross_entropy_of_the_modality():
    fusion, x = shaspec(alignment=0.5, domain=0.25), features(4)
    r, s = parts(fusion, x)
    here = present(4) | {"image": torch.tensor([True, True, False, False])}
    losses = fusion(x, here).aux_losses
    l1 = nn.L1Loss(reduction="none")
    distances = [l1(r["ecg"], r["text"]), l1(r["ecg"][:2], r["image"][:2]), l1(r["image"][:2], r["text"][:2])]
    torch.testing.assert_close(losses["alignment"], 0.5 * torch.cat(distances).mean())
    told = fusion.classify_domain(torch.cat([s["ecg"], s["image"][:2], s["text"]]))
    expected = nn.functional.cross_entropy(told, torch.tensor([0] * 4 + [1] * 2 + [2] * 4))
    torch.testing.assert_close(losses["domain"], 0.25 * expected)


def test_there_is_nothing_to_align_where_each_sample_has_one_modality():
    fusion, x = shaspec(), features(4)
    assert fusion(x, present(4, image=False, text=False)).aux_losses["alignment"] == 0
    alone = ShaSpec({"ecg": 4}, lambda width: nn.Identity(), hidden=8)
    losses = alone({"ecg": x["ecg"]}, {"ecg": torch.ones(4, dtype=torch.bool)}).aux_losses
    assert losses["alignment"] == 0 and losses["domain"] == 0


@pytest.mark.parametrize("setting", ["alignment", "domain"])
def test_a_negative_weight_is_refused(setting):
    with pytest.raises(InputError, match=rf"fusion\.{setting}=-1: must be 0 or more"):
        shaspec(**{setting: -1})
