"""Images and volumes of any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmdx.data.readers.common import VOLUME, InputFile, Pixels, check_file
from mmdx.data.readers.dicom import is_dicom, read_dicom
from mmdx.data.readers.dicom_series import read_series
from mmdx.data.readers.nifti import is_nifti, read_nifti
from mmdx.data.readers.pictures import read_picture
from mmdx.data.readers.spacing import MOST_VOXELS, check_spacing, resample, resampled_shape
from mmdx.data.tables import NOWHERE, Place


def read_image(path: str | Path, place: Place = NOWHERE) -> np.ndarray:
    """An image [H, W] or [H, W, 3], or a volume [D, H, W], in the file's own value type where it has one.

    PNG, JPEG, TIFF and whatever else Pillow reads, 8 and 16 bit, turned upright as EXIF says; a TIFF of several pages is a
    volume. Grey DICOM comes as float32 after rescaling and the file's window (VOI LUT), MONOCHROME1 turned so that large is bright.
    NIfTI comes as float32 with D from inferior to superior, H from posterior to anterior, W from left to right.

    Raises:
        SampleError: where the file is missing, empty, damaged, cut short, constant or not finite.
        InputError: where DICOM or NIfTI needs a package that is not installed.
    """
    check_file(path, "image", place)
    file = InputFile(Path(path), "image", place)
    return _pixels(file).values


def read_volume(path: str | Path, place: Place = NOWHERE, spacing: Any = None) -> np.ndarray:
    """As ``read_image``, for what must be a volume [D, H, W]: a file, or a folder that holds one DICOM series of single slices.

    Args:
        spacing: mm between voxels to resample to, one number or three for D, H and W; None keeps the file's own. Linear, smoothed
            beforehand along axes that shrink, as float32.

    Raises:
        SampleError: as there, where the file holds a single image, and where it states no spacing though one is asked for.
        InputError: where ``spacing`` is not above 0.
    """
    check_file(path, VOLUME, place)
    wanted = None if spacing is None else check_spacing(spacing)
    file = InputFile(Path(path), "image", place)
    pixels = _pixels(file)
    if not pixels.is_volume:
        raise file.fault(f"holds one image of shape {pixels.values.shape}, expected a volume")
    if wanted is None:
        return pixels.values
    if pixels.spacing is None:
        raise file.fault(f"states no spacing between its voxels, which spacing={spacing} needs; leave the option away or state it in the file")
    shape = resampled_shape(pixels.values.shape, pixels.spacing, wanted)
    if np.prod(np.array(shape, float)) > MOST_VOXELS:
        raise file.fault(f"cannot be read at spacing={spacing}: it would have the shape {shape}; ask for a larger spacing")
    return resample(pixels.values, pixels.spacing, wanted)


def _pixels(file: InputFile) -> Pixels:
    """Decode a file or folder, and check that its values can be right."""
    with file.decoding():
        if file.path.is_dir():
            pixels = read_series(file)
        elif is_nifti(file.path):
            pixels = read_nifti(file)
        else:
            pixels = read_dicom(file) if is_dicom(file.path) else read_picture(file)
    values = pixels.values
    if values.size == 0:
        raise file.fault("has no pixels")
    if not np.isfinite(values).all():
        raise file.fault("has values that are not finite (NaN or infinite)")
    if values.min() == values.max():
        raise file.fault(f"is constant: every pixel is {values.flat[0]}")
    return pixels
