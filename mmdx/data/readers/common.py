"""What all readers share: a file with its place, and one sentence for whatever a decoder raises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple

import numpy as np

from mmdx.data.tables import NOWHERE, Place
from mmdx.errors import InputError, SampleError

VOLUME = "volume"
"""The one kind that may be a folder: a DICOM series."""


class InputFile(NamedTuple):
    """A file that is read, or the folder of a DICOM series.

    Attributes:
        path: where it is.
        word: what it is called in messages: image, audio, signal or text.
        place: the table and row that name it.
    """

    path: Path
    word: str
    place: Place

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"{self.word} {'folder' if self.path.is_dir() else 'file'} '{self.place.shown(self.path)}'"

    def fault(self, problem: str) -> SampleError:
        """The error for a problem with it: ``problem`` follows its name."""
        return self.place.fault(f"{self.name} {problem}", self.path)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Turn whatever a decoder raises (their classes differ and overlap with everything) into one sentence, and hush its warnings."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (InputError, MemoryError):
            raise
        except Exception as error:
            lines = str(error).replace(str(self.path), self.path.name).strip().splitlines() or [type(error).__name__]
            raise self.fault(f"cannot be read, it is damaged, cut short or of another type ({lines[0].rstrip('. ')})") from None


class Pixels(NamedTuple):
    """A decoded image or volume.

    Attributes:
        values: [H, W], [H, W, 3], or [D, H, W].
        is_volume: whether it is the last.
        spacing: of a volume, mm between voxels along D, H and W; None where the file does not state it.
    """

    values: np.ndarray
    is_volume: bool = False
    spacing: tuple[float, float, float] | None = None


def check_file(path: str | Path, kind: str, place: Place = NOWHERE) -> None:
    """Check that a file is there and has content, without reading it; a volume may be a folder, which holds a DICOM series.

    Raises:
        SampleError: where it is missing, a folder, or has 0 bytes.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError):  # not there, or no name that a file can have
        raise place.fault(f"{kind} file '{place.shown(path)}' is missing", path) from None
    if S_ISDIR(status.st_mode) and kind == VOLUME:
        return
    if not S_ISREG(status.st_mode):
        raise place.fault(f"{kind} file '{place.shown(path)}' is a folder, not a file", path)
    if status.st_size == 0:
        raise place.fault(f"{kind} file '{place.shown(path)}' has 0 bytes", path)
