"""Facts about the readers: what a good file gives, and the sentence for each way of being bad."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_files import message, write_nifti, write_record, write_rle, write_series
from PIL import Image, ImageFile

import mmdx
from mmdx.data.readers import read_image, read_recording, read_text, read_volume
from mmdx.errors import InputError, SampleError

RNG = np.random.default_rng(0)
TONE = (np.sin(np.arange(4000) / 5) * 20000).astype(np.int16)


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, TONE, 2000)
    return path


def test_pcm_comes_as_float_between_minus_one_and_one(wav):
    sound = read_recording(wav, expected_rate=2000)
    assert sound.rate == 2000 and sound.samples.dtype == np.float32
    np.testing.assert_array_equal(sound.samples, (TONE / 32768).astype(np.float32))


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "two.wav", np.stack([TONE, np.zeros_like(TONE)], axis=1), 2000)
    np.testing.assert_allclose(read_recording(tmp_path / "two.wav").samples, TONE / 65536, atol=1e-7)


@pytest.mark.parametrize("length", [20, 30, 43, 44])
def test_a_wav_cut_within_its_header(wav, length):
    wav.write_bytes(wav.read_bytes()[:length])
    assert "audio file 'tone.wav'" in message(read_recording, wav)


def test_a_wav_with_fewer_samples_than_its_header_promises(wav):
    wav.write_bytes(wav.read_bytes()[:-100])
    assert "is cut short: the header promises 100 bytes more" in message(read_recording, wav)


def test_a_streamed_wav_that_states_no_length_is_read(wav):
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    wav.write_bytes(data)
    assert len(read_recording(wav).samples) == len(TONE)


def test_a_flac_cut_short(tmp_path):
    path = tmp_path / "noise.flac"
    soundfile.write(path, RNG.integers(-9999, 9999, 40000).astype(np.int16), 2000)
    path.write_bytes(path.read_bytes()[:30000])
    assert "cut short" in message(read_recording, path)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(2000, np.float32), "is silent"),
        (np.full(2000, 0.25, np.float32), "is constant: every sample is 0.25"),
        (np.full(2000, np.nan, np.float32), "not finite"),
        (np.r_[np.sin(np.arange(2000)), np.inf].astype(np.float32), "not finite"),
        (np.zeros(0, np.float32), "has no samples"),
    ],
)
def test_sound_without_information(tmp_path, samples, words):
    path = tmp_path / "x.wav"
    soundfile.write(path, samples, 2000, subtype="FLOAT")
    assert words in message(read_recording, path)


def test_another_rate_is_refused_and_named(wav):
    assert "sampling rate of 2000 Hz, expected 4000 Hz" in message(read_recording, wav, expected_rate=4000)


@pytest.mark.parametrize("read", [read_recording, read_image, read_text])
def test_files_that_are_missing_or_empty_or_folders(tmp_path, read):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    assert "'empty.wav' has 0 bytes" in message(read, tmp_path / "empty.wav")
    assert "'gone.wav' is missing" in message(read, tmp_path / "gone.wav")
    assert "'folder.wav' is a folder" in message(read, tmp_path / "folder.wav")


@pytest.mark.parametrize(("read", "name"), [(read_recording, "x.wav"), (read_image, "x.png"), (read_image, "x.dcm"), (read_image, "x.nii.gz")])
def test_a_file_of_another_type(tmp_path, read, name):
    (tmp_path / name).write_text("this is neither sound nor image")
    assert f"'{name}' cannot be read" in message(read, tmp_path / name)


def test_alone_the_sentence_names_the_whole_path(tmp_path):
    with pytest.raises(SampleError, match=rf"^audio file '{tmp_path}/no.wav' is missing\.$"):
        read_recording(tmp_path / "no.wav")


def test_reading_loads_no_torch(tmp_path):
    for name in ("pydicom", "nibabel", "wfdb"):
        pytest.importorskip(name)
    write_rle(tmp_path / "x.dcm", 0)
    write_nifti(tmp_path / "x.nii.gz", 0)
    write_record(tmp_path / "x.hea", 0)
    write_series(tmp_path / "ct", 0)
    code = (
        "import sys; from mmdx.data.readers import READERS as r\n"
        "r['image']('x.dcm'); r['volume']('ct', spacing=2); r['volume']('x.nii.gz', spacing=2); r['signal']('x.hea'); r['audio']('x.hea')\n"
        "print([m for m in ('torch', 'monai', 'sklearn', 'matplotlib.pyplot') if m in sys.modules])"
    )
    root = str(Path(mmdx.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_8_bit_images(tmp_path, suffix):
    pixels = RNG.integers(0, 255, (9, 7), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}")
    image = read_image(tmp_path / f"x.{suffix}")
    assert image.shape == (9, 7) and image.dtype == np.uint8
    if suffix != "jpg":
        np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_images_keep_their_values(tmp_path, suffix):
    pixels = RNG.integers(0, 65535, (9, 7), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / f"x.{suffix}")
    image = read_image(tmp_path / f"x.{suffix}")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, pixels)


def test_colour_palette_and_alpha_become_three_channels(tmp_path):
    colours = RNG.integers(0, 255, (8, 8, 4), dtype=np.uint8)
    Image.fromarray(colours, "RGBA").save(tmp_path / "a.png")
    Image.fromarray(colours, "RGBA").convert("RGB").quantize(8).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colours[:, :, :3])
    assert read_image(tmp_path / "p.png").shape == (8, 8, 3)


def test_pages_of_a_tiff_are_a_volume(tmp_path):
    pages = RNG.integers(0, 255, (5, 6, 7), dtype=np.uint8)
    first, *more = [Image.fromarray(page) for page in pages]
    first.save(tmp_path / "x.tif", save_all=True, append_images=more)
    np.testing.assert_array_equal(read_volume(tmp_path / "x.tif"), pages)


def test_one_image_is_no_volume(tmp_path):
    Image.fromarray(RNG.integers(0, 255, (9, 7), dtype=np.uint8)).save(tmp_path / "x.png")
    assert "expected a volume" in message(read_volume, tmp_path / "x.png")


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_truncated_image_is_refused_even_where_pillow_was_told_to_be_lenient(tmp_path, monkeypatch, suffix, keep):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(RNG.integers(0, 255, (200, 200), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert f"'x.{suffix}' cannot be read" in message(read_image, path)


def test_a_constant_image(tmp_path):
    Image.fromarray(np.full((5, 5), 7, np.uint8)).save(tmp_path / "x.png")
    assert "is constant: every pixel is 7" in message(read_image, tmp_path / "x.png")


def test_text_is_stripped_and_its_encoding_stated(tmp_path):
    (tmp_path / "x.txt").write_bytes("\ufeff Hustén.\n".encode())
    (tmp_path / "l.txt").write_bytes("Hustén".encode("latin-1"))
    (tmp_path / "blank.txt").write_text(" \n")
    assert read_text(tmp_path / "x.txt") == "Hustén."
    assert read_text(tmp_path / "l.txt", encoding="latin-1") == "Hustén"
    assert "is not text in utf-8" in message(read_text, tmp_path / "l.txt")
    assert "has no text" in message(read_text, tmp_path / "blank.txt")
    for encoding in ("nosuch", "base64", None, 8):
        with pytest.raises(InputError, match=f"encoding={encoding}: no such text encoding"):
            read_text(tmp_path / "x.txt", encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "cp850", "gb18030"])
def test_text_in_any_encoding(tmp_path, encoding):
    (tmp_path / "x.txt").write_bytes("Hustén\r\nseit März".encode(encoding))
    assert read_text(tmp_path / "x.txt", encoding=encoding) == "Hustén\nseit März"


@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        ("Husten".encode("utf-16"), "utf-8", "is not text in utf-8: it begins with the mark of utf-16"),
        ("Husten".encode("utf-16"), "latin-1", "is not text in latin-1: it begins with the mark of utf-16"),
        ("Husten".encode("utf-8-sig"), "cp1252", "is not text in cp1252: it begins with the mark of utf-8"),
        ("Husten".encode("utf-32"), "utf-16", "is not text in utf-16: it begins with the mark of utf-32"),
        (b"Husten", "utf-16", "it has no byte order mark; state utf-16-le or utf-16-be"),
        ("Husten".encode("utf-16-le"), "utf-16", "it has no byte order mark"),
        ("Husten".encode("utf-16-le"), "cp1252", "is not text in cp1252: it has zero bytes"),
        (b"Husten \x81", "cp1252", "is not text in cp1252"),
        ("Husten".encode("utf-16") + b"x", "utf-16", "is not text in utf-16"),
        ("Hustén".encode("latin-1"), "ascii", "is not text in ascii"),
    ],
)
def test_text_that_is_not_in_the_stated_encoding(tmp_path, data, encoding, words):
    (tmp_path / "x.txt").write_bytes(data)
    assert words in message(read_text, tmp_path / "x.txt", encoding=encoding)


def dicom(path, pixels, photometric="MONOCHROME2", **tags):
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = pydicom.uid.ExplicitVRLittleEndian, "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.Rows, data.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, photometric, 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    for name, value in tags.items():
        setattr(data, name, value)
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data.save_as(path)
    return path


def test_dicom_is_rescaled_windowed_and_turned_bright_side_up(tmp_path):
    pixels = RNG.integers(0, 1000, (6, 5))
    np.testing.assert_array_equal(read_image(dicom(tmp_path / "a.dcm", pixels)), pixels)
    rescaled = read_image(dicom(tmp_path / "b.dcm", pixels, RescaleSlope=2, RescaleIntercept=-1024))
    np.testing.assert_array_equal(rescaled, 2.0 * pixels - 1024)
    windowed = read_image(dicom(tmp_path / "c.dcm", pixels, WindowCenter=500, WindowWidth=100))
    assert windowed[pixels < 449].max() == windowed.min() and windowed[pixels > 551].min() == windowed.max()
    inverted = read_image(dicom(tmp_path / "no_suffix", pixels, "MONOCHROME1"))
    np.testing.assert_array_equal(inverted, pixels.max() + pixels.min() - pixels)


def test_dicom_of_several_frames_is_a_volume_and_a_truncated_one_is_refused(tmp_path):
    pixels = RNG.integers(0, 1000, (4, 6, 5))
    path = dicom(tmp_path / "a.dcm", pixels)
    np.testing.assert_array_equal(read_volume(path), pixels)
    path.write_bytes(path.read_bytes()[:-50])
    assert "'a.dcm' cannot be read" in message(read_image, path)


def test_nifti_is_turned_to_slices_from_inferior_to_superior(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = RNG.normal(size=(3, 4, 5)).astype(np.float32)  # [D, H, W], right, anterior and superior rising
    stored = volume.transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), tmp_path / "ras.nii.gz")
    nibabel.save(nibabel.Nifti1Image(stored[::-1, ::-1], np.diag([-1, -1, 1, 1])), tmp_path / "lps.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "ras.nii.gz"), volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "lps.nii"), volume)
    path = tmp_path / "lps.nii"
    path.write_bytes(path.read_bytes()[:-20])
    assert "'lps.nii' cannot be read" in message(read_image, path)
