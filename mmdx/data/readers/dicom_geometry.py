"""Where the slices of a DICOM volume lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

UNEVEN = 0.05
"""Share by which distances between neighbouring slices may differ; positions are written with few digits."""


def depths(positions: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Place of slices along their normal, mm: rising to the patient's head, back or left, whichever the normal is nearest to.

    Args:
        positions: ImagePositionPatient [n, 3].
        orientation: ImageOrientationPatient [6], of all slices.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    return positions @ (normal if normal[np.abs(normal).argmax()] > 0 else -normal)


def even_step(places: np.ndarray) -> float | None:
    """Distance between neighbours that follow each other evenly in one direction, mm; None where they do not."""
    steps = np.diff(places)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return abs(middle) if middle and (np.abs(steps - middle) <= UNEVEN * abs(middle)).all() else None


def spacing_of_frames(data: Any, count: int) -> tuple[float, float, float] | None:
    """mm between voxels along D, H and W of a file of several frames, by the frames' positions, else as stated; None where neither tells."""
    measures = [data, *groups(data, 0, "PixelMeasuresSequence")]
    plane = next((item.PixelSpacing for item in measures if item.get("PixelSpacing")), None)
    between = next((item.SpacingBetweenSlices for item in measures if item.get("SpacingBetweenSlices")), None)
    where = [next((item.get("ImagePositionPatient") for item in groups(data, n, "PlanePositionSequence")), None) for n in range(count)]
    turned = next((item.get("ImageOrientationPatient") for item in groups(data, 0, "PlaneOrientationSequence")), None)
    if turned and all(where) and count > 1:
        between = even_step(depths(np.array(where, float), np.array(turned, float)))
    return spacing(between, plane)


def spacing(between: float | None, plane: Any) -> tuple[float, float, float] | None:
    """As D, H and W; None where one is not known or not above 0."""
    if not between or not plane or len(plane) != 2:
        return None
    found = (abs(float(between)), float(plane[0]), float(plane[1]))
    return found if min(found) > 0 else None


def groups(data: Any, number: int, name: str) -> Iterator[Any]:
    """Items of a functional group that hold for a frame: the one shared by all, then its own (PS3.3, C.7.6.16)."""
    shared, each = data.get("SharedFunctionalGroupsSequence") or [], data.get("PerFrameFunctionalGroupsSequence") or []
    for group in [*shared[:1], *each[number : number + 1]]:
        yield from (group.get(name) or [])[:1]
