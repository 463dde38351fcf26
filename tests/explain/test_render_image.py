"""Films and volumes as pictures, and overlays that lie where the attributions do."""

import numpy as np
import pytest
from PIL import Image

from mmdx.encoders.image import ImageTransform
from mmdx.encoders.volume import VolumeTransform
from mmdx.explain.overlay import AGAINST, TOWARDS, save_overlay, scaled, shrunk
from mmdx.explain.parts import Part
from mmdx.explain.render_image import SIDE, is_picture, render_images, sheet
from mmdx.types import Transform


def part(raw, transform, weights=None, name=""):
    return Part(raw, transform.prepare(raw), transform, [{} if weights is None else {name: weights}])


def rendered(parts, tmp_path):
    folder = tmp_path / "0001"
    folder.mkdir()
    return render_images(parts, folder, "film")["items"]


@pytest.mark.parametrize(("shape", "kind"), [((300, 200), np.uint8), ((40, 60, 3), np.uint8), ((500, 500), np.uint16), ((64, 64), np.float32)])
def test_a_film_opens_as_jpeg_of_at_most_224_pixels(tmp_path, shape, kind):
    raw = (np.random.default_rng(0).random(shape) * 255).astype(kind)
    items = rendered([part(raw, ImageTransform(size=32))], tmp_path)
    with Image.open(tmp_path / items[0]["file"]) as picture:
        assert picture.format == "JPEG" and picture.size == (items[0]["width"], items[0]["height"]) and max(picture.size) <= SIDE
    assert "overlay" not in items[0]


@pytest.mark.parametrize("shape", [(400, 200), (200, 400), (64, 64)])
def test_the_overlay_lies_on_what_the_encoder_saw_there(tmp_path, shape):
    """A bright square of the film, whose pixels alone have attributions, lies under the overlay's coloured part."""
    raw = np.zeros(shape, np.uint8)
    top, left = shape[0] // 8, shape[1] // 2
    raw[top : top + shape[0] // 4, left : left + shape[1] // 4] = 255
    transform = ImageTransform(size=64)
    seen = transform(transform.prepare(raw), None).numpy()
    items = rendered([part(raw, transform, (seen > 0).astype(np.float32))], tmp_path)
    picture = np.asarray(Image.open(tmp_path / items[0]["file"]).convert("L").resize((64, 64))) > 127
    alpha = np.asarray(Image.open(tmp_path / items[0]["overlay"]).convert("RGBA").resize((64, 64)))[..., 3] > 100
    assert (picture & alpha).sum() / (picture | alpha).sum() > 0.8


def test_several_films_are_several_files(tmp_path):
    items = rendered([part(np.full((20, 20), 9, np.uint8), ImageTransform(size=8))] * 3, tmp_path)
    assert sorted(p.name for p in (tmp_path / "0001").iterdir()) == ["film_0.jpg", "film_1.jpg", "film_2.jpg"] and len(items) == 3


def test_a_volume_is_a_sheet_of_nine_slices_with_the_overlay_on_the_right_one(tmp_path):
    volume = np.zeros((27, 24, 24), np.uint8)
    volume[13] = 255  # the middle slice, which stands in the middle of the sheet
    transform = VolumeTransform(size=(27, 24, 24))
    weights = np.zeros((1, 27, 24, 24), np.float32)
    weights[0, 13] = 1.0
    items = rendered([part(volume, transform, weights)], tmp_path)
    picture = np.asarray(Image.open(tmp_path / items[0]["file"]))
    assert picture.shape == (72, 72) and picture[36, 36] > 200 and picture[12, 12] < 50
    alpha = np.asarray(Image.open(tmp_path / items[0]["overlay"]).convert("RGBA").resize((72, 72)))[..., 3]
    assert alpha[36, 36] > 100 and alpha[12, 12] == 0 and alpha[60, 60] == 0


def test_a_sheet_of_few_slices_repeats_them():
    assert sheet(np.arange(2 * 4, dtype=np.uint8).reshape(2, 2, 2)).shape == (6, 6)


def test_tokens_of_a_grid_become_an_overlay_and_others_do_not(tmp_path):
    raw, transform = np.full((64, 64), 100, np.uint8), ImageTransform(size=64)
    tokens = np.zeros(17)
    tokens[1] = 1.0  # after a class token, the cell at the top left
    items = rendered([part(raw, transform, tokens, "tokens"), part(raw, transform, np.ones(3), "tokens")], tmp_path)
    alpha = np.asarray(Image.open(tmp_path / items[0]["overlay"]).convert("RGBA"))[..., 3]
    assert alpha.shape == (4, 4) and alpha[0, 0] > 100 and alpha.sum() == alpha[0, 0]
    assert "overlay" not in items[1]


def test_colours_say_the_sign_and_nothing_is_transparent(tmp_path):
    save_overlay(np.array([[1.0, -1.0, 0.0]]), tmp_path / "o.png")
    with Image.open(tmp_path / "o.png") as picture:
        pixels = np.asarray(picture.convert("RGBA"))[0]
    assert tuple(pixels[0][:3]) == TOWARDS and tuple(pixels[1][:3]) == AGAINST
    assert pixels[2][3] == 0 and pixels[0][3] == pixels[1][3] > 100
    save_overlay(np.zeros((2, 2)), tmp_path / "none.png")


def test_shrinking_keeps_the_sum_and_scaling_the_sign():
    weights = np.random.default_rng(0).normal(size=(131, 90))
    small = shrunk(weights, 64)
    assert small.shape == (64, 64) and small.sum() == pytest.approx(weights.sum())
    assert np.abs(scaled(weights)).max() == 1 and np.all(np.sign(scaled(weights)) == np.sign(weights))
    assert np.all(scaled(np.zeros(3)) == 0)


def test_arrays_of_a_users_own_transform_are_pictures_only_where_they_hold_pixels():
    plain = Transform()
    assert is_picture(part(np.zeros((8, 8), np.uint8), plain)) and not is_picture(part(np.zeros((12, 500), np.float32), plain))
    assert is_picture(part(np.zeros((8, 8), np.float32), ImageTransform(size=8))) and not is_picture(part(np.zeros(400, np.uint8), plain))
