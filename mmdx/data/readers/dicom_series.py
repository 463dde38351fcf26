"""A folder that holds one DICOM series of single slices, as a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmdx.data.readers.common import InputFile, Pixels
from mmdx.data.readers.dicom import GREY, decode, is_dicom, open_dicom, rescaled, shown
from mmdx.data.readers.dicom_geometry import UNEVEN, depths, spacing


def series_files(folder: Path) -> list[Path]:
    """Files of a folder by name, hidden ones left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_series(folder: InputFile) -> Pixels:
    """A volume [D, H, W]: slices sorted by ImagePositionPatient along their normal, each rescaled, all under the first one's window.

    D rises to the patient's head, back or left, whichever is nearest; H and W are as stored.

    Raises:
        SampleError: where the folder holds anything but one series of evenly spaced slices of one size.
        InputError: where pydicom is not installed.
    """
    files = [InputFile(path, folder.word, folder.place) for path in _checked_files(folder)]
    heads = [open_dicom(file, pixels=False) for file in files]
    files, heads, step = _in_order(folder, files, heads)
    volume = np.empty((len(files), int(heads[0].Rows), int(heads[0].Columns)), np.float32)
    for number, file in enumerate(files):
        data = open_dicom(file)
        values, photometric = decode(data, file)
        if photometric not in GREY or values.ndim != 2:
            raise file.fault("cannot be part of a DICOM series that is read as a volume: it is not one greyscale slice")
        volume[number] = rescaled(values[None], data)[0]
    return Pixels(shown(volume, heads[0], files[0]), True, spacing(step, heads[0].get("PixelSpacing")))


def _checked_files(folder: InputFile) -> list[Path]:
    paths = series_files(folder.path)
    if not paths:
        raise folder.fault("holds no file, expected a DICOM series")
    inside = folder.path.resolve()
    for path in paths:
        if not path.is_file() or not is_dicom(path):
            raise folder.fault(f"holds '{path.name}', which is no DICOM file, expected one DICOM series and nothing else")
        if not path.resolve().is_relative_to(inside):
            raise InputFile(path, folder.word, folder.place).fault("lies outside the folder of its DICOM series; copy it into the folder")
    return paths


def _in_order(folder: InputFile, files: list[InputFile], heads: list[Any]) -> tuple[list[InputFile], list[Any], float]:
    """Files and headers by position, and the distance between slices."""
    series = {str(head.get("SeriesInstanceUID", "")) for head in heads}
    if len(series) > 1:
        raise folder.fault(f"holds slices of {len(series)} DICOM series, expected one; give each a folder of its own")
    for file, head in zip(files, heads, strict=True):
        if not head.get("ImagePositionPatient") or not head.get("ImageOrientationPatient"):
            raise file.fault("states no position and orientation in the patient, so that its place in the DICOM series is not known")
    alike = {(head.get("Rows"), head.get("Columns"), *np.round(np.array(head.ImageOrientationPatient, float), 3).tolist()) for head in heads}
    if len(alike) > 1:
        raise folder.fault("holds slices of one DICOM series that differ in size or orientation; take out the localiser or split them")
    if len(files) < 2:
        raise folder.fault("holds one slice of a DICOM series, expected a volume")
    positions = np.array([head.ImagePositionPatient for head in heads], float)
    places = depths(positions, np.array(heads[0].ImageOrientationPatient, float))
    order = places.argsort(kind="stable")
    steps = np.diff(places[order])
    step = float(np.median(steps))
    for number, distance in enumerate(steps):
        if abs(distance - step) > UNEVEN * step or distance <= 0:
            pair = f"'{files[order[number]].path.name}' and '{files[order[number + 1]].path.name}'"
            what = "two slices at one place" if distance <= UNEVEN * step else "a gap, or uneven slices"
            raise folder.fault(f"holds {what} in its DICOM series: {pair} are {distance:.3g} mm apart, most neighbours {step:.3g} mm")
    return [files[n] for n in order], [heads[n] for n in order], step
