"""Compact bilinear pooling is a count sketch of the modalities' outer product."""

import pytest
import torch
from torch import nn

from mmdx.errors import InputError
from mmdx.fusion.compact_bilinear import CompactBilinearPooling
from mmdx.fusion.power import power_normalise
from mmdx.types import Features


def features(batch, **widths):
    draw = torch.Generator().manual_seed(0)
    return {m: Features(torch.randn(batch, 3, d, generator=draw), torch.ones(batch, 3, dtype=torch.bool)) for m, d in widths.items()}


def present(batch, **here):
    return {m: torch.full((batch,), value) for m, value in here.items()}


def build(widths, **settings):
    return CompactBilinearPooling(widths, lambda width: nn.Identity(), **settings).eval()


def extended(fusion, x, m):
    """[z_m; 1], z_m the layer-normalised features over the root of their width."""
    z = fusion.norm[m](x[m].pooled) / fusion.widths[m] ** 0.5
    return torch.cat([z, torch.ones(len(z), 1)], dim=1)


@pytest.mark.parametrize("size", [16, 15])
def test_it_is_the_count_sketch_of_the_outer_product_with_summed_bins_and_multiplied_signs(size):
    fusion, x = build({"image": 4, "text": 3}, size=size), features(7, image=4, text=3)
    image, text = fusion.sketch["image"], fusion.sketch["text"]
    outer = torch.einsum("bi,bj->bij", extended(fusion, x, "image"), extended(fusion, x, "text"))
    bins = (image.bins[:, None] + text.bins) % size
    sketch = torch.zeros(7, size).index_add(1, bins.flatten(), (outer * image.signs[:, None] * text.signs).flatten(1))
    torch.testing.assert_close(fusion(x, present(7, image=True, text=True)).logits, power_normalise(sketch, 1e-3), rtol=1e-4, atol=1e-4)


def test_of_three_modalities_it_is_the_circular_convolution_of_their_sketches():
    fusion, x = build({"audio": 5, "image": 4, "text": 3}, size=16), features(7, audio=5, image=4, text=3)
    spectrum = torch.ones(7, 9, dtype=torch.complex64)
    for m in x:
        sketch = fusion.sketch[m]
        spectrum = spectrum * torch.fft.rfft(torch.zeros(7, 16).index_add(1, sketch.bins, extended(fusion, x, m) * sketch.signs))
    expected = power_normalise(torch.fft.irfft(spectrum, n=16), 1e-3)
    torch.testing.assert_close(fusion(x, present(7, audio=True, image=True, text=True)).logits, expected, rtol=1e-4, atol=1e-3)


def test_without_a_modality_the_others_sketch_is_left_turned_by_the_bin_of_the_constant():
    fusion, x = build({"image": 4, "text": 3}, size=16), features(7, image=4, text=3)
    image, text = fusion.sketch["image"], fusion.sketch["text"]
    sketch = torch.zeros(7, 16).index_add(1, image.bins, extended(fusion, x, "image") * image.signs)
    expected = power_normalise(text.signs[-1] * sketch.roll(int(text.bins[-1]), dims=1), 1e-3)
    torch.testing.assert_close(fusion(x, present(7, image=True, text=False)).logits, expected, rtol=1e-3, atol=1e-3)


def test_bins_and_signs_follow_the_seed_and_nothing_else():
    torch.manual_seed(0)
    first = build({"image": 40, "text": 30}).sketch.state_dict()
    torch.manual_seed(1)
    same, other = build({"image": 40, "text": 30}).sketch.state_dict(), build({"image": 40, "text": 30}, seed=1).sketch.state_dict()
    assert set(first) == {f"{m}.{part}" for m in ("image", "text") for part in ("bins", "signs")}
    assert all(torch.equal(first[k], same[k]) and not torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(("settings", "words"), [({"size": 1}, "fusion.size=1: must be"), ({"epsilon": 0.0}, "fusion.epsilon")])
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        build({"image": 4, "text": 3}, **settings)
