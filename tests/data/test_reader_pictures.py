"""Facts about pictures: the values that a library wrote come back, upright, in the file's own value type."""

import struct

import numpy as np
import pytest
from PIL import Image

from mmdx.data.readers import read_image

RNG = np.random.default_rng(0)
TYPES = {
    "uint8": RNG.integers(0, 255, (20, 17), dtype=np.uint8),
    "uint16": RNG.integers(0, 65535, (20, 17), dtype=np.uint16),
    "int32": RNG.integers(-(2**30), 2**30, (20, 17), dtype=np.int32),
    "float32": RNG.normal(size=(20, 17)).astype(np.float32),
}


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("kind", [*TYPES])
def test_tiff_of_any_type_and_lossless_compression(tmp_path, kind, compression):
    Image.fromarray(TYPES[kind]).save(tmp_path / "x.tif", compression=compression)
    image = read_image(tmp_path / "x.tif")
    assert image.dtype == TYPES[kind].dtype and image.dtype.isnative
    np.testing.assert_array_equal(image, TYPES[kind])


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_tiff_with_the_predictor_of_differences(tmp_path, kind):
    Image.fromarray(TYPES[kind]).save(tmp_path / "x.tif", compression="tiff_lzw", tiffinfo={317: 2})
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), TYPES[kind])


def write_tiff(path, pixels, order="<", tile=None, photometric=1):
    """A plain TIFF by hand (TIFF 6.0), as microscopes and scanners write them: either byte order, in tiles, white as 0."""
    height, width = pixels.shape
    parts = [pixels]
    if tile:
        padded = np.pad(pixels, [(0, -height % tile), (0, -width % tile)])
        parts = [padded[y : y + tile, x : x + tile] for y in range(0, height, tile) for x in range(0, width, tile)]
    data = [part.astype(part.dtype.newbyteorder(order)).tobytes() for part in parts]
    starts = 8 + np.concatenate([[0], np.cumsum([len(one) for one in data])])
    tables = int(starts[-1])  # where offsets and counts are written
    tags = {256: width, 257: height, 258: pixels.dtype.itemsize * 8, 259: 1, 262: photometric, 277: 1}
    tags |= {322: tile, 323: tile} if tile else {278: height}
    place, counts = (324, 325) if tile else (273, 279)
    many = len(data) > 1
    tags |= {place: tables if many else 8, counts: tables + 4 * len(data) if many else len(data[0])}
    entries = [
        struct.pack(f"{order}HHII", tag, 4, len(data) if many and tag in (place, counts) else 1, value) for tag, value in sorted(tags.items())
    ]
    lists = b"".join(struct.pack(f"{order}{len(data)}I", *values) for values in ([int(s) for s in starts[:-1]], [len(one) for one in data]))
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, tables + len(lists))
    path.write_bytes(head + b"".join(data) + lists + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_tiff_in_tiles_and_either_byte_order(tmp_path, kind, tile, order):
    write_tiff(tmp_path / "x.tif", TYPES[kind], order, tile)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), TYPES[kind])


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_tiff_where_0_is_white_is_turned(tmp_path, kind):
    write_tiff(tmp_path / "x.tif", TYPES[kind], photometric=0)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), np.iinfo(kind).max - TYPES[kind])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_is_stretched_to_8(tmp_path, bits):
    steps = 2**bits
    indices = RNG.integers(0, steps, (9, 16), dtype=np.uint8)
    grey = (indices * (255 // (steps - 1))).astype(np.uint8)
    Image.fromarray(grey).convert("1" if bits == 1 else "L").save(tmp_path / "x.png", bits=bits)
    if bits == 1:
        np.testing.assert_array_equal(read_image(tmp_path / "x.png"), grey)
    assert read_image(tmp_path / "x.png").dtype == np.uint8


def test_cmyk_jpeg_has_the_colours_it_was_made_of(tmp_path):
    across, down = np.meshgrid(np.linspace(0, 255, 32), np.linspace(0, 255, 32))
    smooth = np.stack([across, down, np.full((32, 32), 90.0)], axis=2).astype(np.uint8)
    image = Image.fromarray(smooth).convert("CMYK")
    image.save(tmp_path / "x.jpg", quality=98, subsampling=0)
    found = read_image(tmp_path / "x.jpg")
    assert found.shape == (32, 32, 3)
    assert np.abs(found.astype(int) - smooth.astype(int)).max() < 12


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_what_exif_turns_comes_upright(tmp_path, suffix, turn):
    pixels = np.kron(RNG.integers(0, 255, (3, 2), dtype=np.uint8), np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}", exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    upright = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]}
    upright |= {5: pixels.T, 6: pixels.T[:, ::-1], 7: pixels.T[::-1, ::-1], 8: pixels.T[::-1]}
    assert np.abs(read_image(tmp_path / f"x.{suffix}").astype(int) - upright[turn]).max() <= (2 if suffix == "jpg" else 0)
