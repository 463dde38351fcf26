"""M3Care is the formula of its docstring."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.m3care import M3Care
from mmdx.types import Features

WIDTHS = {"ecg": 4, "image": 5, "text": 3}


def features(batch):
    torch.manual_seed(0)
    return {m: Features(torch.randn(batch, 2, d), torch.ones(batch, 2, dtype=torch.bool)) for m, d in WIDTHS.items()}


def present(batch, **here):
    return {m: torch.full((batch,), here.get(m, True)) for m in WIDTHS}


def m3care(**settings):
    torch.manual_seed(1)
    return M3Care(WIDTHS, lambda width: nn.Identity(), **{"hidden": 8, "patients": 5, "layers": 0, "dropout": 0.0} | settings)


def tokens(fusion, x, here):
    """The tokens of the modalities before the Transformer layers, [B, M, H]."""
    seen = []
    hook = fusion.joint.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].unflatten(1, (3, -1))))
    fusion(x, here)
    hook.remove()
    return seen[0] - torch.stack(list(fusion.kind.values()))


def kernel(a, b, bandwidth):
    a, b = (nn.functional.layer_norm(v, (8,)) for v in (a, b))
    distance = torch.stack([torch.stack([(p - q).square().sum() for q in b]) for p in a])
    return sum(torch.exp(-distance / (bandwidth * factor)) for factor in (0.5, 1, 2)) / 3


def similarity(fusion, m, rows):
    deep, patients = fusion.similarity[m], fusion.patients[m]
    d, (mapped, plain) = deep.share.sigmoid(), deep.bandwidth.exp()
    return ((1 - d) * kernel(deep.map(rows).relu(), deep.map(patients).relu(), mapped) + d) * kernel(rows, patients, plain)


def cut(similarities, threshold=0.25):
    return similarities.where(similarities > threshold, 0.0)


def borrowed(fusion, m, h, read):
    """Of patients who have the modalities ``read``: what the learned patients say of modality m."""
    near = cut(sum(similarity(fusion, n, h[n]) for n in read) / len(read))
    among = cut(sum(similarity(fusion, n, fusion.patients[n]) for n in WIDTHS) / 3)
    return fusion.borrow[m].second(near @ fusion.borrow[m].first(among @ fusion.patients[m]).relu()).relu()


def test_an_absent_modality_is_borrowed_from_those_who_are_alike_in_the_others():
    fusion, x = m3care(), features(4)
    h = {m: fusion.project[m](x[m].pooled) for m in WIDTHS}
    got = tokens(fusion, x, present(4, image=False))
    torch.testing.assert_close(got[:, 1], borrowed(fusion, "image", h, ["ecg", "text"]))
    g = borrowed(fusion, "text", h, ["ecg", "text"])
    a, b = fusion.borrow["text"].weigh_borrowed(g).sigmoid(), fusion.borrow["text"].weigh_own(h["text"]).sigmoid()
    torch.testing.assert_close(got[:, 2], (a * g + b * h["text"]) / (a + b))


def test_the_threshold_cuts_some_and_not_all_to_begin_with():
    fusion, x = m3care(patients=64, hidden=32, heads=4), features(64)
    near, _ = fusion._similarities({m: fusion.project[m](x[m].pooled) for m in WIDTHS}, torch.ones(64, 3, dtype=torch.bool))
    assert 0.5 < float((near > 0).double().mean()) <= 1
    assert float(near[near > 0].min()) > 0.25


def test_a_patient_too_unlike_all_learned_ones_borrows_from_none():
    fusion, x = m3care(threshold=0.999), features(4)
    got = tokens(fusion, x, present(4, image=False))[:, 1]
    torch.testing.assert_close(got, fusion.borrow["image"].second.bias.relu().expand(4, 8))


def test_the_threshold_learns():
    fusion, x = m3care(), features(4)
    fusion(x, present(4, image=False)).logits.sum().backward()
    assert fusion.threshold.grad != 0


def test_the_loss_is_how_much_the_map_changes_lengths():
    fusion, x = m3care(stability=0.5), features(2)
    here = present(2, text=False) | {"image": torch.tensor([True, False])}
    h = {m: fusion.project[m](x[m].pooled) for m in WIDTHS}
    rows = [("ecg", h["ecg"][0]), ("ecg", h["ecg"][1]), ("image", h["image"][0])]
    change = [(fusion.similarity[m].map(row).norm() - row.norm()).abs() for m, row in rows]
    torch.testing.assert_close(fusion(x, here).aux_losses["stability"], 0.5 * torch.stack(change).mean())


@pytest.mark.parametrize(("setting", "value"), [("heads", 3), ("patients", 0), ("threshold", 1.0), ("stability", -1)])
def test_impossible_settings_are_refused(setting, value):
    with pytest.raises(InputError, match=rf"fusion\.{setting}={value}"):
        m3care(**{setting: value})
