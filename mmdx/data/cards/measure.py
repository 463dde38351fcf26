"""What the raw inputs of a modality are like, over a whole cohort: files, bytes, size, rate, length; never their content."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdx.data.raw import Recording


class Measured:
    """Collects what a card says of a modality, one row at a time."""

    def __init__(self) -> None:
        self.paths: dict[Path, int] = {}
        self.kinds: dict[str, int] = {}
        self.measures: dict[str, list[float]] = {}

    def add(self, raw: Any, paths: Sequence[Path]) -> None:
        """Take in one row's raw input, in a form of ``mmdx.data.raw`` or a bag of them, and the files it was read from."""
        self.paths |= {path: path.stat().st_size for path in paths if path not in self.paths}
        for item in raw if isinstance(raw, list) else [raw]:
            if isinstance(item, Recording):
                self._note(f"{item.rate:,} Hz", {"seconds": len(item.samples) / item.rate})
            elif isinstance(item, np.ndarray):
                self._note(*_array(item))
            elif isinstance(item, str):
                self._note("", {"words": len(item.split())})

    def _note(self, kind: str, measures: dict[str, float]) -> None:
        if kind:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        for name, value in measures.items():
            self.measures.setdefault(name, []).append(float(value))

    @property
    def files(self) -> str:
        """Number, suffixes and bytes of the files; empty where none are known."""
        if not self.paths:
            return ""
        suffixes = sorted({"".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix for path in self.paths})
        size = sum(self.paths.values())
        return f"{len(self.paths):,} ({', '.join(suffixes)}), {size:,} bytes"

    @property
    def content(self) -> str:
        """Kinds, commonest first, and the range and median of each measure."""
        kinds = sorted(self.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
        words = [kind if len(kinds) == 1 else f"{kind} ({number:,})" for kind, number in kinds]
        return "; ".join(words + [f"{_span(values)} {name}" for name, values in self.measures.items()])


def _array(array: np.ndarray) -> tuple[str, dict[str, float]]:
    """A picture is told by its whole numbers and its axes; whatever else there is stays an array."""
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype.kind == "u" and (array.ndim == 2 or colour):
        return f"{'colour' if colour else 'grey'}, {array.dtype.itemsize * 8} bit", {"pixels wide": array.shape[1], "pixels high": array.shape[0]}
    return f"array of {array.dtype}", {f"along axis {axis}": size for axis, size in enumerate(array.shape, 1)}


def _span(values: Sequence[float]) -> str:
    low, middle, high = (f"{value:,.0f}" for value in (min(values), statistics.median(values), max(values)))
    return low if low == high else f"{low} to {high} (median {middle})"
