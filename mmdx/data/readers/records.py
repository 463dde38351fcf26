"""WFDB records: a header ``.hea`` beside its data files, as PhysioNet publishes ECG and other signals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdx.data.readers.common import InputFile
from mmdx.errors import InputError

HEADER = ".hea"
BITS: dict[str, int] = {"8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10, "311": 10}
"""Bits of a sample in each format of data files (WFDB, signal(5))."""
FLAC_BITS = {"508": 8, "516": 16, "524": 24}
BYTES = {"212": (2, 3), "310": (3, 4), "311": (3, 4)}
"""Formats whose samples share bytes: how many samples in how many bytes."""
DIFFERENCES = "8"
"""Format of differences, whose bits do not bound the values."""


class Channels(NamedTuple):
    """Channels of a record that have one rate.

    Attributes:
        samples: float64 [C, T] in physical units; NaN where the record marks a sample as invalid.
        rate: samples a second, in Hz.
        names, units: of each channel.
        full_scale: of each channel the largest physical value that the recorder could write; None where the header does not tell.
    """

    samples: np.ndarray
    rate: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    full_scale: tuple[float | None, ...]


def is_record(path: Path) -> bool:
    """Whether a file is the header of a WFDB record, by its suffix."""
    return path.suffix.lower() == HEADER


def check_channel(channel: Any, key: str = "channel") -> None:
    """Check the option ``channel``.

    Raises:
        InputError: where it is neither None nor a name nor a number from 1.
    """
    if channel is not None and (isinstance(channel, bool) or not (isinstance(channel, str) or (isinstance(channel, int) and channel >= 1))):
        raise InputError(f"{key}={channel}: must be a channel's name, or its number counted from 1.")


def check_channels(channels: Any, key: str = "channels") -> None:
    """Check the option ``channels``.

    Raises:
        InputError: where it is neither None nor a list of different names or numbers.
    """
    if channels is None:
        return
    listed = isinstance(channels, Sequence) and not isinstance(channels, str)
    for channel in channels if listed else ():
        check_channel(channel, key)
    if not listed or not channels or None in channels or len({*channels}) < len(channels):
        raise InputError(f"{key}={channels}: must be a list of different channels, by name or by number counted from 1.")


def position_of(file: InputFile, channel: int | str, names: Sequence[str]) -> int:
    """Position of a channel that an option names.

    Raises:
        SampleError: where there is none, or several have the name.
    """
    if isinstance(channel, int) and channel <= len(names):
        return channel - 1
    found = [number for number, name in enumerate(names) if name == channel]
    if not found:
        raise file.fault(f"has no channel '{channel}'; it has {', '.join(names)}")
    if len(found) > 1:
        raise file.fault(f"has {len(found)} channels named '{channel}'; name one by its number, counted from 1")
    return found[0]


def read_channels(file: InputFile, wanted: Sequence[int | str] | None) -> Channels:
    """Channels of a record, in the order asked for, else all in the record's; a record of several segments is joined.

    Raises:
        SampleError: where header or data files are missing, damaged, cut short, or outside the header's folder, a channel is not there, or
            the rates of channels differ.
        InputError: where wfdb is not installed.
    """
    wfdb = _wfdb()
    record = str(file.path.with_suffix(""))
    with file.decoding():
        header = wfdb.rdheader(record)
        segments = _checked_segments(file, header)
        names = _names(segments[0] if header.sig_name is None else header) if segments else []
        if not names:
            raise file.fault("has no samples: its header names no channel")
        positions = [position_of(file, channel, names) for channel in wanted] if wanted is not None else [*range(len(names))]
        even = all((number or 1) == 1 for segment in segments for number in segment.samps_per_frame)
        read = wfdb.rdrecord(record, channels=positions, smooth_frames=even)  # smoothing would bring several samples a frame down to one
    samples = [*read.p_signal.T] if even else read.e_p_signal
    if len({len(one) for one in samples}) > 1:
        rates = ", ".join(f"{name} {read.fs * per_frame:g} Hz" for name, per_frame in zip(_names(read), read.samps_per_frame, strict=True))
        raise file.fault(f"has channels of different sampling rates ({rates}); name those of one rate by the option channel or channels")
    scale = tuple(_full_scale(read, n) if len(segments) == 1 else None for n in range(len(positions)))
    rate = float(read.fs) * (read.samps_per_frame[0] or 1)
    units = tuple(str(unit or "") for unit in read.units)
    return Channels(np.stack(samples), rate, tuple(_names(read)), units, scale)


def read_as_sound(file: InputFile, channel: int | str | None) -> tuple[np.ndarray, float]:
    """Samples [T, C] as float32 where full scale is 1, and the rate; see ``mmdx.data.readers.read_recording``.

    Raises:
        SampleError: as ``read_channels``; where units differ, or values lie beyond the stated resolution.
        InputError: where wfdb is not installed.
    """
    found = read_channels(file, None if channel is None else [channel])
    if len(set(found.units)) > 1:
        units = ", ".join(f"{name} in {unit}" for name, unit in zip(found.names, found.units, strict=True))
        raise file.fault(f"has channels of different units ({units}); name one by the option channel")
    scales = [scale for scale in found.full_scale if scale is not None]
    if len(scales) < len(found.names):
        raise file.fault("cannot be read as a sound: its header does not tell the range of its recorder; read it as kind signal")
    for name, samples, scale in zip(found.names, found.samples, scales, strict=True):
        if len(samples) and np.nanmax(np.abs(samples), initial=0.0) > scale * (1 + 1e-6):
            raise file.fault(f"has values beyond the resolution and zero that its header states for channel '{name}'; mend the header")
    return (found.samples / max(scales)).T.astype(np.float32), found.rate


def record_files(path: Path) -> list[Path]:
    """Header and data files of a record, as far as they can be told."""
    try:
        header = _wfdb().rdheader(str(path.with_suffix("")), rd_segments=True)
    except Exception:  # a damaged header stands for itself alone
        return [path]
    names = {f"{name}{HEADER}" for name in getattr(header, "seg_name", []) if name != "~"}
    for part in [header, *(segment for segment in getattr(header, "segments", None) or [] if segment is not None)]:
        names |= {*(getattr(part, "file_name", None) or [])}
    return [path, *(path.parent / name for name in sorted(names - {"~"}))]


def _wfdb() -> Any:
    try:
        import wfdb
    except ImportError:
        raise InputError("reading WFDB records needs wfdb: pip install 'mmdx[medical]'") from None
    return wfdb


def _names(record: Any) -> list[str]:
    return [str(name or number) for number, name in enumerate(record.sig_name or [], 1)]


def _checked_segments(file: InputFile, header: Any) -> list[Any]:
    """Headers of a record's segments, or its own; every file that they name lies in the folder and has the bytes that they promise."""
    if not hasattr(header, "seg_name"):
        _check_data(file, header)
        return [header]
    segments = []
    for name in header.seg_name:
        if name == "~":
            raise file.fault("has samples that are not finite: there is a gap between its segments")
        _check_named(file, f"{name}{HEADER}")
        segment = _wfdb().rdheader(str(file.path.parent / name))
        if hasattr(segment, "seg_name"):
            raise file.fault("cannot be read: one of its segments has segments itself")
        _check_data(file, segment)
        segments.append(segment)
    return segments


def _check_named(file: InputFile, name: str) -> Path:
    """The path of a file that a header names.

    Raises:
        SampleError: where it is not there, or not in the header's folder.
    """
    path = file.path.parent / name
    if not path.resolve().is_relative_to(file.path.parent.resolve()):
        raise file.place.fault(f"data file '{name}' lies outside the folder of {file.name}, which names it; put it beside the header", file.path)
    if not path.is_file():
        raise file.place.fault(f"data file '{name}' is missing, which {file.name} names", file.path)
    return path


def _check_data(file: InputFile, header: Any) -> None:
    """Check that the data files of one segment are there and long enough."""
    a_frame: dict[str, int] = defaultdict(int)
    for name, per_frame in zip(header.file_name or [], header.samps_per_frame or [], strict=True):
        a_frame[name] += per_frame or 1
    for name, samples in a_frame.items():
        if name == "~":  # a layout without data
            continue
        path = _check_named(file, name)
        first = header.file_name.index(name)
        form = header.fmt[first]
        if header.sig_len is None or form not in BITS:
            continue
        together, size = BYTES.get(form, (1, BITS[form] // 8))
        needed = (header.byte_offset[first] or 0) + math.ceil(header.sig_len * samples * size / together)
        if (there := path.stat().st_size) < needed:
            raise file.fault(f"is cut short: its data file '{name}' has {there} bytes, its header promises {needed}")


def _full_scale(record: Any, number: int) -> float | None:
    """Largest physical value, by its size, that the recorder of a channel could write."""
    form, stated = record.fmt[number], record.adc_res[number]
    bits = stated or (None if form == DIFFERENCES else BITS.get(form) or FLAC_BITS.get(form))
    if not bits:
        return None
    half, zero = 2.0 ** (bits - 1), (record.adc_zero[number] or 0) - record.baseline[number]
    return max(abs(zero - half), abs(zero + half)) / abs(record.adc_gain[number])
