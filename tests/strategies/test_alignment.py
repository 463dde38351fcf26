"""Facts about the losses that bring modalities together."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, layer_norm, normalize

from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.strategies.alignment import BarlowTwins, DeepCCA, InfoNCE, MaskedModality, SigLIP
from mmdx.testing import random_features
from mmdx.types import Features

WIDTHS = {"image": 6, "text": 5}
ALL = [InfoNCE, SigLIP, BarlowTwins, DeepCCA, MaskedModality]


def wrapped(kind, widths=WIDTHS, **settings):
    torch.manual_seed(0)
    return kind(widths, Concatenation(widths, lambda width: nn.Linear(width, 2)), **settings)


def pairs(rows=12, width=5, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, width, generator=draw) for _ in range(2)], torch.arange(rows) % 3 != 1


def one_token(**values):
    return {m: Features(x[:, None], torch.ones(len(x), 1, dtype=torch.bool)) for m, x in values.items()}


@pytest.mark.parametrize("kind", ALL)
def test_before_training_the_logits_are_those_of_the_fusion_inside(kind):
    fusion, inputs = wrapped(kind).eval(), random_features(WIDTHS)
    assert torch.allclose(fusion(*inputs).logits, fusion.fusion(*inputs).logits, atol=1e-6)
    assert len(wrapped(kind, adapter=0).adapter) == 0


def test_infonce_is_clips():
    (a, b), rows = pairs()
    fusion = wrapped(InfoNCE)
    scores = normalize(a[rows], dim=1) @ normalize(b[rows], dim=1).T / 0.07
    own = torch.arange(int(rows.sum()))
    assert torch.allclose(fusion.pair(a, b, rows), (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2, atol=1e-5)


def test_siglip_is_the_papers_pseudo_code():
    (a, b), rows = pairs()
    n = int(rows.sum())
    scores = normalize(a[rows], dim=1) @ normalize(b[rows], dim=1).T * 10 - 10
    labels = 2 * torch.eye(n) - torch.ones(n, n)
    assert torch.allclose(wrapped(SigLIP).pair(a, b, rows), -torch.log(torch.sigmoid(labels * scores)).sum() / n, atol=1e-4)


def test_barlow_twins_is_the_papers_and_0_for_the_same_decorrelated_features():
    (a, b), rows = pairs(40)
    fusion = wrapped(BarlowTwins, off_diagonal=0.1)
    c = torch.corrcoef(torch.cat([a[rows], b[rows]], 1).T)[:5, 5:]
    plain = (1 - c.diagonal()).square().sum() + 0.1 * (c - c.diagonal().diag()).square().sum()
    assert torch.allclose(fusion.pair(a, b, rows), plain, atol=1e-3)
    same = torch.linalg.qr(a - a.mean(0))[0] * math.sqrt(40)
    assert fusion.pair(same, same, torch.ones(40, dtype=torch.bool)) == pytest.approx(0, abs=1e-6)


def test_cca_is_1_less_the_mean_canonical_correlation():
    (a, b), rows = pairs(60)
    b = b + a @ torch.randn(5, 5, generator=torch.Generator().manual_seed(3))
    x, y = (v[rows].double() - v[rows].double().mean(0) for v in (a, b))
    qx, qy = (torch.linalg.qr(v)[0] for v in (x, y))
    expected = 1 - torch.linalg.svdvals(qx.T @ qy).mean()  # Björck & Golub 1973
    assert wrapped(DeepCCA, ridge=1e-6).pair(a, b, rows) == pytest.approx(float(expected), abs=1e-4)
    mixed = a @ torch.randn(5, 5, generator=torch.Generator().manual_seed(4)) + 2
    assert wrapped(DeepCCA, ridge=1e-6).pair(a, mixed, rows) == pytest.approx(0, abs=1e-2)  # any invertible map is all the same to it


def test_masked_modality_reconstructs_each_from_the_others():
    fusion = wrapped(MaskedModality, width=4, weight=1.0, adapter=0).train()
    draw = torch.Generator().manual_seed(0)
    image, text = torch.randn(7, 6, generator=draw), torch.randn(7, 5, generator=draw)
    present = {"image": torch.arange(7) > 0, "text": torch.arange(7) < 5}
    both, losses = present["image"] & present["text"], []
    for target, source, name, other in ((image, text, "image", "text"), (text, image, "text", "image")):
        guess = fusion.reconstruct[name](nn.functional.gelu(fusion.project[other](source)))
        losses.append((layer_norm(target, target.shape[1:]) - guess)[both].square().mean())
    assert torch.allclose(fusion(one_token(image=image, text=text), present).aux_losses["alignment"], sum(losses) / 2, atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("both", [0, 1, 2])
def test_few_pairs_in_a_batch_give_finite_losses_and_gradients(kind, both):
    fusion, (features, _) = wrapped(kind).train(), random_features(WIDTHS)
    present = {"image": torch.ones(8, dtype=torch.bool), "text": torch.arange(8) < both}
    loss = fusion(features, present).aux_losses["alignment"]
    gradients = torch.autograd.grad(loss, [p for name, p in fusion.named_parameters() if name.startswith("project")])
    assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    if both == 0:
        assert loss == 0 and all((gradient == 0).all() for gradient in gradients)


@pytest.mark.parametrize("kind", ALL)
def test_the_loss_falls_and_the_adapter_carries_it_to_the_fusion(kind):
    """Frozen features of two modalities with a shared part: what the fusion inside sees changes."""
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(64, 3, generator=draw)
    image = torch.cat([shared, torch.randn(64, 3, generator=draw)], 1)
    text = shared @ torch.randn(3, 5, generator=draw) + 0.2 * torch.randn(64, 5, generator=draw)
    features, present = one_token(image=image, text=text), {m: torch.ones(64, dtype=torch.bool) for m in WIDTHS}
    fusion = wrapped(kind, weight=1.0, width=3).train()
    optimizer, losses = torch.optim.Adam(fusion.parameters(), 0.01), []
    for _ in range(100):
        optimizer.zero_grad()
        losses.append(fusion(features, present).aux_losses["alignment"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    assert not torch.allclose(fusion.eval()(features, present).logits, fusion.fusion(features, present).logits, atol=1e-3)


def test_a_pair_is_aligned_on_the_rows_that_have_both_and_pairs_are_averaged():
    widths = {"audio": 4, "image": 6, "text": 5}
    fusion, (features, present) = wrapped(InfoNCE, widths, weight=0.3).train(), random_features(widths)
    z = {m: fusion.project[m](f.pooled) for m, f in features.items()}
    expected = [fusion.pair(z[m][both], z[o][both], torch.ones(int(both.sum()), dtype=torch.bool))
                for m, o in (("audio", "image"), ("audio", "text"), ("image", "text")) for both in [present[m] & present[o]]]  # fmt: skip
    assert torch.allclose(fusion(features, present).aux_losses["alignment"], 0.3 * sum(expected) / 3, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [(InfoNCE, "weight", -1), (SigLIP, "width", 0), (BarlowTwins, "off_diagonal", -1), (DeepCCA, "ridge", 0), (MaskedModality, "adapter", -2)],
)
def test_impossible_settings_are_named(kind, setting, value):
    with pytest.raises(InputError, match=f"alignment.{setting}={value}: must be"):
        wrapped(kind, **{setting: value})
