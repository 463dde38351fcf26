"""Facts about DICOM: which values come out, of which transfer syntax, and the sentence for what cannot be read."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from made_files import by_pillow, frames, message, rle, write_dicom
from PIL import Image

from mmdx.data.readers import read_image, read_volume

pydicom = pytest.importorskip("pydicom")

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4095, (6, 5)).astype(np.uint16)


def written(folder, pixels=GREY, **attributes):
    write_dicom(folder / "x.dcm", 0, pixels, **attributes)
    return folder / "x.dcm"


def table(first, entries, bits=16, **names):
    """A lookup table as a sequence item."""
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, bits], [int(v) for v in entries]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    for name, value in names.items():
        setattr(item, name, value)
    return item


def test_of_several_windows_the_first_holds(tmp_path):
    one = read_image(written(tmp_path, WindowCenter=2000, WindowWidth=1000))
    np.testing.assert_array_equal(read_image(written(tmp_path, WindowCenter=[2000, 40], WindowWidth=[1000, 80])), one)
    inside = (GREY > 1500) & (GREY < 2499)
    expected = ((GREY[inside] - 1999.5) / 999 + 0.5) * 4095  # PS3.3, C.11.2.1.2.1
    np.testing.assert_allclose(one[inside], expected, rtol=1e-5)


def test_empty_windows_and_rescales_are_none(tmp_path):
    np.testing.assert_array_equal(read_image(written(tmp_path, WindowCenter=None, WindowWidth=None, RescaleSlope=None)), GREY)


def test_a_lookup_table_of_values_of_interest_is_looked_up_after_rescaling(tmp_path):
    entries = RNG.integers(0, 65535, 4200)
    path = written(tmp_path, RescaleSlope=1, RescaleIntercept=-100, VOILUTSequence=[table(0, entries)], WindowCenter=1, WindowWidth=1)
    np.testing.assert_array_equal(read_image(path), entries[np.maximum(GREY.astype(int) - 100, 0)].astype(np.float32))


def test_a_modality_table_replaces_slope_and_intercept(tmp_path):
    entries = RNG.integers(0, 65535, 4096)
    path = written(tmp_path, ModalityLUTSequence=[table(0, entries, ModalityLUTType="US")])
    np.testing.assert_array_equal(read_image(path), entries[GREY].astype(np.float32))


def test_a_palette_gives_its_colours_in_8_bits(tmp_path):
    index = RNG.integers(0, 255, (6, 5)).astype(np.uint8)
    colours = RNG.integers(0, 65535, (3, 256)).astype(np.uint16)
    names = ["Red", "Green", "Blue"]
    tags = {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
    tags |= {f"{name}PaletteColorLookupTableData": colour.tobytes() for name, colour in zip(names, colours, strict=True)}
    image = read_image(written(tmp_path, index, PhotometricInterpretation="PALETTE COLOR", **tags))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, (colours[:, index] >> 8).transpose(1, 2, 0))


def in_colour(path, values, photometric, planar=0):
    write_dicom(path, 0, values[..., 0])
    data = pydicom.dcmread(path)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, photometric, planar
    data.PixelData = (values if planar == 0 else values.transpose(2, 0, 1)).tobytes()
    data.save_as(path)
    return read_image(path)


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_come_as_rgb(tmp_path, planar):
    rgb = RNG.integers(0, 255, (6, 4, 3)).astype(np.uint8)
    np.testing.assert_array_equal(in_colour(tmp_path / "a.dcm", rgb, "RGB", planar), rgb)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    converted = in_colour(tmp_path / "b.dcm", ybr, "YBR_FULL", planar).astype(int)
    assert np.abs(converted - np.asarray(Image.fromarray(ybr, "YCbCr").convert("RGB")).astype(int)).max() <= 1


@pytest.mark.parametrize("compress", [None, rle, by_pillow("JPEG2000Lossless", "JPEG2000", irreversible=False, no_jp2=True)])
def test_lossless_syntaxes_give_every_value_frame_by_frame(tmp_path, compress):
    np.testing.assert_array_equal(read_volume(written(tmp_path, frames(1), compress=compress)), frames(1))
    np.testing.assert_array_equal(read_image(written(tmp_path, frames(2)[0], compress=compress)), frames(2)[0])


def test_jpeg_gives_what_pillow_decodes(tmp_path):
    pixels = (frames(1)[0] // 16).astype(np.uint8)
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "JPEG", quality=90)
    path = written(tmp_path, pixels, compress=by_pillow("JPEGBaseline8Bit", "JPEG", quality=90))
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(buffer)))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("rtdose_rle.dcm", "rtdose.dcm"),
    ],
)
def test_the_library_own_files_of_lossless_syntaxes_are_equal(name, same):
    if "jpeg" in name:
        pytest.importorskip("gdcm")
    one, other = (pydicom.data.get_testdata_file(file, download=False) for file in (name, same))
    if not one or not other:
        pytest.skip("this pydicom comes without its test files")
    np.testing.assert_array_equal(read_image(one), read_image(other))


def test_an_enhanced_file_is_rescaled_frame_by_frame_and_windowed_as_its_first(tmp_path):
    def group(slope, centre):
        item, rescale, window = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, -10, "US"
        item.PixelValueTransformationSequence = [rescale]
        if centre:
            window.WindowCenter, window.WindowWidth = centre, 1000
            item.FrameVOILUTSequence = [window]
        return item

    pixels = frames(1, 3)
    path = written(tmp_path, pixels, PerFrameFunctionalGroupsSequence=[group(slope, 0) for slope in (1, 2, 3)])
    np.testing.assert_allclose(read_volume(path), pixels * np.array([1.0, 2, 3])[:, None, None] - 10)
    path = written(tmp_path, pixels, PerFrameFunctionalGroupsSequence=[group(1, centre) for centre in (2000, 50, 60)])
    windowed = read_volume(path)
    np.testing.assert_array_equal(windowed[pixels - 10 < 1499], windowed.min())
    np.testing.assert_array_equal(windowed[pixels > 2510], windowed.max())
    shared = written(tmp_path, pixels, SharedFunctionalGroupsSequence=[group(4, 0)])
    np.testing.assert_allclose(read_volume(shared), pixels * 4.0 - 10)


def test_bits_beyond_those_in_use_may_hold_an_overlay_or_no_sign_but_nothing_else(tmp_path):
    marked = GREY | (RNG.integers(0, 2, GREY.shape).astype(np.uint16) << 12)
    assert "has values beyond its 12 bits (BitsStored)" in message(read_image, written(tmp_path, marked))
    data = pydicom.dcmread(written(tmp_path, marked))
    data.add_new((0x6000, 0x0102), "US", 12)
    data.save_as(tmp_path / "x.dcm")
    np.testing.assert_array_equal(read_image(tmp_path / "x.dcm"), GREY)
    signed = np.where(GREY > 2047, GREY.astype(int) - 4096, GREY)
    np.testing.assert_array_equal(read_image(written(tmp_path, GREY, PixelRepresentation=1)), signed)
    np.testing.assert_array_equal(read_image(written(tmp_path, signed.astype(np.int16), PixelRepresentation=1)), signed)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"HighBit": 15}, "BitsStored is 12 and HighBit 15, expected 11"),
        ({"BitsStored": 17, "HighBit": 16}, "'Bits Stored' value of '17' is invalid"),
        ({"WindowCenter": 40}, "states a window centre without a window width"),
        ({"WindowWidth": 40}, "states a window width without a window centre"),
        ({"WindowCenter": 40, "WindowWidth": 0}, "Window Width must be greater than or equal to 1"),
        ({"PhotometricInterpretation": "HSV"}, "its photometric interpretation is HSV, expected MONOCHROME1 or 2, RGB"),
        ({"Rows": 7}, "number of bytes of pixel data is less than expected"),
        ({"BitsAllocated": None}, "Bits Allocated"),
    ],
)
def test_what_the_file_says_and_cannot_be(tmp_path, attributes, words):
    assert words in message(read_image, written(tmp_path, **attributes))


def test_files_without_an_image(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[132:])
    assert "has no DICOM preamble and file header" in message(read_image, path)
    for name, words in (("test-SR.dcm", "it is a Comprehensive SR Storage without pixel data"), ("DICOMDIR", "Media Storage Directory Storage")):
        if found := pydicom.data.get_testdata_file(name, download=False):
            (tmp_path / name).write_bytes(Path(found).read_bytes())
            assert words in message(read_image, tmp_path / name)


def test_colour_of_several_frames_is_refused(tmp_path):
    write_dicom(path := tmp_path / "x.dcm", 0, (frames(1) // 16).astype(np.uint8))
    data = pydicom.dcmread(path)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.PixelData = data.PixelData * 3
    data.save_as(path)
    assert "a colour DICOM of several frames is neither an image nor a volume" in message(read_volume, path)


def of_syntax(folder, name):
    data = pydicom.dcmread(written(folder, compress=rle))
    data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, name)
    data.save_as(folder / "x.dcm")
    return folder / "x.dcm"


def test_a_syntax_that_no_installed_decoder_reads_is_named_with_the_package_that_does(tmp_path, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    assert "its pixels are MPEG2 Main Profile / Main Level, which no decoder" in message(read_image, of_syntax(tmp_path, "MPEG2MPML"))
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    for syntax, name, package in (
        ("JPEGLSLossless", "JPEG-LS Lossless Image Compression", "python-gdcm: pip install 'mmdx[medical]'"),
        ("JPEGLosslessSV1", "JPEG Lossless, Non-Hierarchical", "python-gdcm: pip install 'mmdx[medical]'"),
        ("HTJ2KLossless", "High-Throughput JPEG 2000", "pylibjpeg>=2.0 and pylibjpeg-openjpeg>=2.0"),
    ):
        missing = ["gdcm - requires gdcm>=3.0.10"] if "gdcm" in package else [f"pylibjpeg - requires {package}"]
        monkeypatch.setattr(Decoder, "missing_dependencies", property(lambda self, missing=missing: missing))
        text = message(read_image, of_syntax(tmp_path, syntax))
        assert f"its pixels are {name}" in text and f"which needs {package}" in text


def test_12_bit_jpeg_names_the_one_package_that_reads_it():
    path = pydicom.data.get_testdata_file("JPGExtended.dcm", download=False)
    if not path:
        pytest.skip("this pydicom comes without its test files")
    try:
        read_image(path)
    except Exception as error:
        assert "JPEG Extended" in str(error) and "pylibjpeg-libjpeg>=2.1 may read it" in str(error)


def test_a_truncated_compressed_file_is_told_as_such(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    for keep in (0.4, 0.7, 0.95):
        path = written(tmp_path, frames(1), compress=rle)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
        assert "is cut short: its compressed pixels do not end" in message(read_volume, path)
