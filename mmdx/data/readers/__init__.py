"""Readers: one file of an image, a volume, a sound, a signal or a text, as the raw input of ``mmdx.data.raw``, or one clear sentence.

Each checks what it reads, since a damaged file that decodes to something is worse than one that does not decode: empty,
cut short, of another type, constant, not finite, at an unexpected sampling rate. All raise ``SampleError`` and name the
file and, through ``place``, the table and row that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmdx.data.readers.common import check_file
from mmdx.data.readers.dicom import is_dicom
from mmdx.data.readers.dicom_series import series_files
from mmdx.data.readers.images import read_image, read_volume
from mmdx.data.readers.nifti import NIFTI, is_nifti
from mmdx.data.readers.records import check_channel, check_channels, is_record, record_files
from mmdx.data.readers.signals import read_signal
from mmdx.data.readers.sounds import check_rate, read_recording
from mmdx.data.readers.spacing import check_spacing
from mmdx.data.readers.texts import check_encoding, read_text

__all__ = [
    "NIFTI",
    "READERS",
    "check_file",
    "check_options",
    "files_of",
    "is_dicom",
    "is_nifti",
    "is_record",
    "read_image",
    "read_recording",
    "read_signal",
    "read_text",
    "read_volume",
]

READERS: dict[str, Callable[..., Any]] = {
    "image": read_image,
    "volume": read_volume,
    "audio": read_recording,
    "signal": read_signal,
    "text": read_text,
}
"""Reader by kind of modality; each is called as ``reader(path, place)``, with options by name."""

OPTIONS: dict[str, Callable[[Any, str], Any]] = {
    "spacing": check_spacing,
    "expected_rate": check_rate,
    "channel": check_channel,
    "channels": check_channels,
    "encoding": check_encoding,
}
"""By name of an option what checks its value."""


def check_options(options: Mapping[str, Any], key: str) -> None:
    """Check the values of a reader's options before any file is read.

    Args:
        key: the config key that they stand under, for the messages.

    Raises:
        InputError: for the first that is out of range.
    """
    for name, value in options.items():
        if value is not None:
            OPTIONS[name](value, f"{key}.{name}")


def files_of(path: Path) -> list[Path]:
    """Every file that is read for a path: of a WFDB record also the data files, of a folder the slices."""
    if path.is_dir():
        return series_files(path)
    return record_files(path) if is_record(path) and path.is_file() else [path]
