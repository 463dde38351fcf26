"""One image or volume: its type, size and orientation as the file states them, saturated values, DICOM attributes, and its fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdx.data.checks.dicom_profile import filled_attributes
from mmdx.data.checks.facts import Facts, hexadecimal
from mmdx.data.checks.fingerprints import image_code
from mmdx.data.readers import files_of, is_dicom, is_nifti
from mmdx.data.readers.nifti import stated_spacing

EXIF_ORIENTATION = 0x0112


def examine_image(image: np.ndarray, path: Path | None, name: str, facts: Facts) -> None:
    """Note what an image or volume is like."""
    facts.kind = "image"
    facts.content = hashlib.blake2b(repr((image.shape, image.dtype.kind)).encode() + image.tobytes(), digest_size=16).hexdigest()
    facts.fingerprint = hexadecimal(image_code(image))
    volume = image.ndim == 3 and image.shape[2] != 3
    plane = image.shape[1:] if volume else image.shape[:2]
    facts.measures["pixels along a side"] = float(np.sqrt(np.prod(plane)))
    facts.measures["share at the largest value"] = float((image == image.max()).mean())
    facts.measures["share at the smallest value"] = float((image == image.min()).mean())
    if volume:
        facts.measures["slices"] = float(image.shape[0])
    facts.properties["mode"] = f"{'colour' if image.ndim == 3 and not volume else 'grey'}, {image.dtype.itemsize * 8} bit"
    if path is None:
        return
    if is_nifti(path):
        _examine_nifti(path, name, facts)
    elif path.is_dir() or is_dicom(path):
        _examine_dicom(files_of(path), facts)
    else:
        _examine_picture(path, name, facts)


def _examine_picture(path: Path, name: str, facts: Facts) -> None:
    with Image.open(path) as picture:
        turn = picture.getexif().get(EXIF_ORIENTATION, 1)
        facts.personal += ["GPS position in EXIF"] if 0x8825 in picture.getexif() else []
    if turn not in (0, 1):
        facts.warn("orientation", f"{name} is stored turned or mirrored (EXIF orientation {turn}); other programs may show it otherwise")


def _examine_dicom(paths: Sequence[Path], facts: Facts) -> None:
    import pydicom

    personal: set[str] = set()
    for path in paths:
        data = pydicom.dcmread(path, stop_before_pixels=True)
        personal |= {*filled_attributes(data)}
    stored = int(data.get("BitsStored") or 0)
    facts.properties["mode"] = f"DICOM {data.get('Modality') or 'without modality'}, {data.PhotometricInterpretation}, {stored} bit"
    facts.personal += sorted(personal)


def _examine_nifti(path: Path, name: str, facts: Facts) -> None:
    import nibabel

    image: Any = nibabel.load(path)
    spacing = stated_spacing(path, image)
    if spacing is None:
        facts.warn("spacing", f"{name} states no distance between voxels, or one of 0")
    else:
        facts.measures["mm between voxels"] = float(np.prod(spacing) ** (1 / 3))
    if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
        facts.warn("orientation", f"{name} does not state its orientation (sform and qform codes are 0): left and right cannot be told")
    else:
        facts.properties["axes"] = "".join(code or "?" for code in nibabel.aff2axcodes(image.affine))
