"""DICOM files: pixels of any transfer syntax that an installed decoder reads, with the values that the file says they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageFile

from mmdx.data.readers.common import InputFile, Pixels
from mmdx.data.readers.dicom_geometry import groups, spacing_of_frames
from mmdx.errors import InputError

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY, COLOUR, PALETTE = ("MONOCHROME1", "MONOCHROME2"), "RGB", "PALETTE COLOR"
MEANING = (
    *("PhotometricInterpretation", "PixelRepresentation", "BitsStored", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
)
"""Attributes that say what a stored value stands for and how it is to be shown."""
OVERLAY_GROUPS, OVERLAY_BIT = range(0x6000, 0x6020, 2), 0x0102


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its suffix or its preamble."""
    if path.suffix.lower() in {".dcm", ".dicom"}:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom(file: InputFile) -> Pixels:
    """An image [H, W] or [H, W, 3], or a volume [D, H, W] of several frames in their order.

    Grey comes as float32 after rescaling and the file's first window or VOI LUT (the first frame's for all frames, so that they stay
    comparable), MONOCHROME1 turned so that large is bright. A file without a window keeps its rescaled values. Colour comes as RGB in the
    file's own value type: YBR is converted, palettes are looked up and give 8 bits.

    Raises:
        SampleError: where there are no pixels, no installed decoder reads them, or what the file says of them cannot be.
        InputError: where pydicom is not installed.
    """
    data = open_dicom(file)
    values, photometric = decode(data, file)
    if photometric in GREY:
        frames = shown(rescaled(values if values.ndim == 3 else values[None], data), data, file)
        return Pixels(frames, True, spacing_of_frames(data, len(frames))) if values.ndim == 3 else Pixels(frames[0])
    if values.ndim != 3:
        raise file.fault("cannot be read: a colour DICOM of several frames is neither an image nor a volume; write the frame you need alone")
    return Pixels(values)


def open_dicom(file: InputFile, pixels: bool = True) -> Any:
    """A file's pydicom data set, with or without its pixels.

    Raises:
        SampleError: where it is no DICOM file or has no pixels.
        InputError: where pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise InputError("reading DICOM needs pydicom: pip install 'mmdx[medical]'") from None
    try:
        data = pydicom.dcmread(file.path, stop_before_pixels=not pixels)
    except pydicom.errors.InvalidDicomError:
        raise file.fault("cannot be read: it has no DICOM preamble and file header; export it again as a DICOM file (PS3.10)") from None
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not syntax:
        raise file.fault("cannot be read: it states no transfer syntax; export it again as a DICOM file (PS3.10)")
    if pixels and not any(name in data for name in PIXELS):
        if syntax.is_encapsulated and ("Rows" in data or not len(data)):  # pydicom gives an empty set where compressed pixels do not end
            raise file.fault("is cut short: its compressed pixels do not end, or were taken out")
        uid = data.get("SOPClassUID") or data.file_meta.get("MediaStorageSOPClassUID")
        raise file.fault(f"cannot be read: it is a {uid.name if uid else 'DICOM file'} without pixel data, expected an image")
    return data


def decode(data: Any, file: InputFile) -> tuple[np.ndarray, str]:
    """Stored values of one frame or [D, ...] of several, and their photometric interpretation: MONOCHROME1, MONOCHROME2 or RGB.

    Raises:
        SampleError: where no installed decoder reads them, they are damaged, have more bits than stated, or mean something else.
    """
    from pydicom.pixels import apply_color_lut, get_decoder

    syntax = data.file_meta.TransferSyntaxUID
    try:
        decoder: Any = get_decoder(syntax)
    except NotImplementedError:
        raise file.fault(f"cannot be read: its pixels are {syntax.name}, which no decoder of pydicom reads; export it uncompressed") from None
    if not decoder.is_available:
        raise file.fault(f"cannot be read: its pixels are {syntax.name}, which needs {_package(decoder)}")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # Pillow is one of the decoders
    try:
        values, found = decoder.as_array(data, correct_unused_bits=False)
    except RuntimeError as error:  # one line for each decoder that gave up
        lines = [line.strip() for line in str(error).splitlines() if "NoneType" not in line]  # what the one of GDCM says of any damage
        reason = lines[-1].rstrip(": ") if lines else type(error).__name__
        others = [need for need in _needs(decoder) if not need.startswith("gdcm")]  # 12 bits are what GDCM and Pillow say that of
        also = f"; {others[-1]} may read it" if others and "not support" in reason else ""
        raise file.fault(f"cannot be read: its pixels ({syntax.name}) are damaged or cut short, or not as stated ({reason}){also}") from None
    photometric = str(found["photometric_interpretation"])
    if photometric not in (*GREY, COLOUR, PALETTE):
        raise file.fault(f"cannot be read: its photometric interpretation is {photometric}, expected MONOCHROME1 or 2, RGB, YBR or PALETTE COLOR")
    if values.dtype.kind in "iu":
        values = _used_bits(values, data, file)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if photometric != PALETTE:
        return values, photometric
    colours = apply_color_lut(values, data)
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours, COLOUR


def _needs(decoder: Any) -> list[str]:
    """What each plug-in of a syntax that is not there needs to be installed."""
    return [line.split(" - requires ")[-1] for line in decoder.missing_dependencies]


def _package(decoder: Any) -> str:
    """What to install for a syntax that nothing installed reads."""
    needs = _needs(decoder)
    return "python-gdcm: pip install 'mmdx[medical]'" if any(need.startswith("gdcm") for need in needs) else needs[-1]


def _used_bits(values: np.ndarray, data: Any, file: InputFile) -> np.ndarray:
    """Values of the bits that the file says are in use. Those above may repeat the sign, be 0 or hold an overlay; else the file is wrong."""
    stored, high = int(data.BitsStored), int(data.get("HighBit", data.BitsStored - 1))
    if high != stored - 1:
        raise file.fault(f"cannot be read: BitsStored is {stored} and HighBit {high}, expected {stored - 1}")
    spare = values.dtype.itemsize * 8 - stored
    if spare <= 0 or data.BitsAllocated == 1:
        return values
    used = (values << spare) >> spare
    beyond = used != values
    if not beyond.any():
        return values
    overlay = any((group, OVERLAY_BIT) in data and data[group, OVERLAY_BIT].value for group in OVERLAY_GROUPS)
    signed_without_sign = values.dtype.kind == "i" and not (values[beyond].view(f"u{values.dtype.itemsize}") >> stored).any()
    if not overlay and not signed_without_sign:
        raise file.fault(f"has values beyond its {stored} bits (BitsStored): the largest is {values.max()}, the smallest {values.min()}")
    return used


def rescaled(frames: np.ndarray, data: Any) -> np.ndarray:
    """Stored values [D, H, W] as the quantity that they stand for (Hounsfield units of CT), float32; each frame by its own rescale or LUT."""
    from pydicom.pixels import apply_modality_lut

    out = np.empty(frames.shape, np.float32)
    for number, frame in enumerate(frames):
        out[number] = apply_modality_lut(frame, meaning(data, number))
    return out


def shown(frames: np.ndarray, data: Any, file: InputFile) -> np.ndarray:
    """Rescaled values [D, H, W] under the first window or VOI LUT of the first frame, large being bright; changed in place.

    Raises:
        SampleError: where a window is stated by half.
    """
    from pydicom.pixels import apply_voi_lut

    says = meaning(data, 0)
    if ("WindowCenter" in says) != ("WindowWidth" in says):
        stated, lacks = ("centre", "width") if "WindowCenter" in says else ("width", "centre")
        raise file.fault(f"cannot be read: it states a window {stated} without a window {lacks}")
    if "WindowCenter" in says or "VOILUTSequence" in says:
        for number, frame in enumerate(frames):
            whole = "VOILUTSequence" in says and bool((frame == np.rint(frame)).all())  # a table is looked up by whole numbers
            frames[number] = apply_voi_lut(frame.astype(np.int64) if whole else frame, says)
    if says.PhotometricInterpretation == GREY[0]:
        np.subtract(frames.max() + frames.min(), frames, out=frames)
    return frames


def meaning(data: Any, number: int) -> Any:
    """``MEANING`` of one frame: the file's own attributes and those of an enhanced file's functional groups; empty ones left out."""
    import pydicom

    says = pydicom.Dataset()
    says.file_meta = data.file_meta
    items = [data, *groups(data, number, "PixelValueTransformationSequence"), *groups(data, number, "FrameVOILUTSequence")]
    for item in items:
        for name in MEANING:
            if name in item and item[name].value not in (None, "") and not (item[name].VR == "SQ" and not item[name].value):
                says.add(item[name])
    return says
