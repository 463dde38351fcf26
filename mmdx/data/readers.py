"""Readers: one file of an image, a volume, a sound or a text, as the raw input of ``mmdx.data.raw``, or one clear sentence.

Each checks what it reads, since a damaged file that decodes to something is worse than one that does not decode: empty,
cut short, of another type, constant, not finite, at an unexpected sampling rate. All raise ``SampleError`` and name the
file and, through ``place``, the table and row that name it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageFile, ImageOps

from mmdx.data.raw import Recording
from mmdx.data.tables import NOWHERE, Place
from mmdx.errors import InputError

NIFTI = (".nii", ".nii.gz")
STREAMED = 0x7FFFF000
"""A data chunk that claims this many bytes or more was written by a program that did not know the length."""


def check_file(path: str | Path, kind: str, place: Place = NOWHERE) -> None:
    """Check that a file is there and has content, without reading it.

    Raises:
        SampleError: where it is missing, a folder, or has 0 bytes.
    """
    path = Path(path)
    if not path.exists():
        raise place.fault(f"{kind} file '{place.shown(path)}' is missing", path)
    if not path.is_file():
        raise place.fault(f"{kind} file '{place.shown(path)}' is a folder, not a file", path)
    if path.stat().st_size == 0:
        raise place.fault(f"{kind} file '{place.shown(path)}' has 0 bytes", path)


def read_image(path: str | Path, place: Place = NOWHERE) -> np.ndarray:
    """An image [H, W] or [H, W, 3], or a volume [D, H, W], in the file's own value type where it has one.

    PNG, JPEG, TIFF and whatever else Pillow reads, 8 and 16 bit, turned upright as EXIF says; a TIFF of several pages is a
    volume. DICOM comes as float32 after rescaling and the file's window (VOI LUT), MONOCHROME1 turned so that large is bright.
    NIfTI comes as float32 with D from inferior to superior, H from posterior to anterior, W from left to right.

    Raises:
        SampleError: where the file is missing, empty, damaged, cut short, constant or not finite.
        InputError: where DICOM or NIfTI needs a package that is not installed.
    """
    path = Path(path)
    check_file(path, "image", place)
    if path.name.lower().endswith(NIFTI):
        read: Callable[[Path], np.ndarray] = _nifti
    else:
        read = _dicom if is_dicom(path) else _pillow
    with _decoding(path, "image", place):
        image = read(path)
    name = f"image file '{place.shown(path)}'"
    if image.size == 0:
        raise place.fault(f"{name} has no pixels", path)
    if not np.isfinite(image).all():
        raise place.fault(f"{name} has values that are not finite (NaN or infinite)", path)
    if image.min() == image.max():
        raise place.fault(f"{name} is constant: every pixel is {image.flat[0]}", path)
    return image


def read_volume(path: str | Path, place: Place = NOWHERE) -> np.ndarray:
    """As ``read_image``, for files that must hold a volume [D, H, W].

    Raises:
        SampleError: as there, and where the file holds a single image.
    """
    volume = read_image(path, place)
    if volume.ndim != 3 or (volume.shape[2] == 3 and not str(path).lower().endswith(NIFTI)):
        raise place.fault(f"image file '{place.shown(path)}' holds one image of shape {volume.shape}, expected a volume", path)
    return volume


def read_recording(path: str | Path, place: Place = NOWHERE, expected_rate: int | None = None) -> Recording:
    """A sound, its channels averaged, as float32 in -1 to 1: WAV, FLAC, OGG, MP3 and whatever else libsndfile reads.

    Args:
        expected_rate: sampling rate in Hz that the file must have; None accepts any.

    Raises:
        SampleError: where the file is missing, empty, no sound, cut short, silent, constant, not finite, or at another rate.
    """
    path = Path(path)
    check_file(path, "audio", place)
    name = f"audio file '{place.shown(path)}'"
    with _decoding(path, "audio", place):
        with soundfile.SoundFile(path) as file:
            rate, promised = file.samplerate, file.frames
            channels = file.read(dtype="float32", always_2d=True)  # [T, C]
        lost = _bytes_beyond_the_end(path)
    if lost or len(channels) < promised:
        detail = f"the header promises {lost} bytes more than there are" if lost else f"{len(channels)} of {promised} samples are there"
        raise place.fault(f"{name} is cut short: {detail}", path)
    if len(channels) == 0:
        raise place.fault(f"{name} has no samples", path)
    if expected_rate is not None and rate != expected_rate:
        raise place.fault(f"{name} has a sampling rate of {rate} Hz, expected {expected_rate} Hz", path)
    if not np.isfinite(channels).all():
        raise place.fault(f"{name} has samples that are not finite (NaN or infinite)", path)
    samples = channels.mean(axis=1, dtype=np.float32) if channels.shape[1] > 1 else channels[:, 0]
    if samples.min() == samples.max():
        state = "silent: every sample is 0" if samples[0] == 0 else f"constant: every sample is {samples[0]:g}"
        raise place.fault(f"{name} is {state}", path)
    return Recording(np.ascontiguousarray(samples), int(rate))


def read_text(path: str | Path, place: Place = NOWHERE, encoding: str = "utf-8") -> str:
    """A text file, stripped.

    Raises:
        SampleError: where the file is missing, empty or not text in the encoding.
        InputError: where there is no such encoding.
    """
    path = Path(path)
    check_file(path, "text", place)
    try:
        text = path.read_text(encoding=encoding).lstrip("\ufeff").strip()
    except LookupError:
        raise InputError(f"encoding={encoding}: no such text encoding; the usual ones are utf-8, latin-1 and utf-16.") from None
    except UnicodeError:
        raise place.fault(f"text file '{place.shown(path)}' is not text in {encoding}", path) from None
    if not text:
        raise place.fault(f"text file '{place.shown(path)}' has no text", path)
    return text


READERS: dict[str, Callable[..., Any]] = {"image": read_image, "volume": read_volume, "audio": read_recording, "text": read_text}
"""Reader by kind of modality; each is called as ``reader(path, place)``."""


@contextmanager
def _decoding(path: Path, kind: str, place: Place) -> Iterator[None]:
    """Turn whatever a decoder raises (their classes differ and overlap with everything) into one sentence."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        lines = str(error).replace(str(path), path.name).strip().splitlines() or [type(error).__name__]
        name = f"{kind} file '{place.shown(path)}'"
        raise place.fault(f"{name} cannot be read, it is damaged, cut short or of another type ({lines[0].rstrip('. ')})", path) from None


def _bytes_beyond_the_end(path: Path) -> int:
    """Bytes of sound that a WAV header promises beyond the end of the file; libsndfile itself passes over them in silence."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                return max(0, file.tell() + length - size) if length < STREAMED else 0
            file.seek(length + length % 2, 1)
    return 0


def _pillow(path: Path) -> np.ndarray:
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have switched it on, and half an image would pass for a whole one
    with Image.open(path) as image:
        pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        arrays = []
        for page in range(pages):
            if pages > 1:
                image.seek(page)
            image.load()
            arrays.append(_array(ImageOps.exif_transpose(image)))
    if len({array.shape for array in arrays}) > 1 or (pages > 1 and arrays[0].ndim == 3):
        raise ValueError("its pages are not greyscale images of one size")
    return np.stack(arrays) if pages > 1 else arrays[0]


def _array(image: Image.Image) -> np.ndarray:
    if image.mode in {"1", "LA", "La"}:
        image = image.convert("L")
    elif image.mode not in {"L", "RGB", "F"} and not image.mode.startswith("I"):
        image = image.convert("RGB")
    array = np.asarray(image)
    return array.astype(array.dtype.newbyteorder("="))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its suffix or its preamble."""
    if path.suffix.lower() in {".dcm", ".dicom"}:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _dicom(path: Path) -> np.ndarray:
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise InputError("reading DICOM needs pydicom: pip install 'mmdx[medical]'") from None
    data = pydicom.dcmread(path)
    pixels = data.pixel_array
    if data.SamplesPerPixel > 1:
        if pixels.ndim != 3:
            raise ValueError("a colour DICOM of several frames is not an image or a volume")
        return pixels
    pixels = apply_voi_lut(apply_modality_lut(pixels, data), data).astype(np.float32)
    return pixels.max() + pixels.min() - pixels if data.PhotometricInterpretation == "MONOCHROME1" else pixels


def _nifti(path: Path) -> np.ndarray:
    try:
        import nibabel
    except ImportError:
        raise InputError("reading NIfTI needs nibabel: pip install 'mmdx[medical]'") from None
    image: Any = nibabel.as_closest_canonical(nibabel.load(path))  # axes to the right, anterior, superior
    volume = np.asarray(image.get_fdata(dtype=np.float32))
    while volume.ndim > 3 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3:
        raise ValueError(f"it has the shape {volume.shape}, expected three axes")
    return np.ascontiguousarray(volume.transpose(2, 1, 0))
