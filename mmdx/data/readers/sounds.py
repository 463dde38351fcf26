"""Sounds of any format, rate and number of channels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from mmdx.data.raw import Recording
from mmdx.data.readers.common import InputFile, check_file
from mmdx.data.readers.records import check_channel, is_record, position_of, read_as_sound
from mmdx.data.tables import NOWHERE, Place
from mmdx.errors import InputError

STREAMED = 0x7FFFF000
"""A data chunk that claims this many bytes or more was written by a program that did not know the length."""
LOUDEST = 2.0
"""Peak up to which a sound of floats is taken as it is: lossy formats overshoot 1 when they are decoded, but not by 6 dB."""


def check_rate(rate: Any, key: str = "expected_rate") -> None:
    """Check the option ``expected_rate``.

    Raises:
        InputError: where it is neither None nor above 0.
    """
    if rate is not None and not (isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < np.inf):
        raise InputError(f"{key}={rate}: must be a sampling rate in Hz above 0, or null to accept any.")


def read_recording(path: str | Path, place: Place = NOWHERE, expected_rate: float | None = None, channel: int | str | None = None) -> Recording:
    """A sound as float32 in -1 to 1: WAV, FLAC, OGG, MP3 and whatever else libsndfile reads, or a WFDB record (its ``.hea``).

    Whole numbers of b bits are divided by 2^(b - 1). A WFDB record's physical values are divided by the largest that its recorder could
    have written: that of the ADC's resolution, baseline and gain in the header, so that full scale is 1 as in a sound file.

    Args:
        expected_rate: sampling rate in Hz that the file must have; None accepts any.
        channel: which one, by number counted from 1, or by name in a WFDB record; None averages all, which must share a unit.

    Raises:
        SampleError: where the file is missing, empty, no sound, cut short, silent, constant, not finite, at another rate, or beyond full scale.
        InputError: where WFDB needs a package that is not installed, or an option is out of range.
    """
    check_file(path, "audio", place)
    check_rate(expected_rate)
    check_channel(channel)
    file = InputFile(Path(path), "audio", place)
    samples, rate = read_as_sound(file, channel) if is_record(file.path) else _read_sound(file, channel)
    if len(samples) == 0:
        raise file.fault("has no samples")
    if expected_rate is not None and rate != expected_rate:
        raise file.fault(f"has a sampling rate of {rate:g} Hz, expected {expected_rate:g} Hz")
    low, high = float(samples.min()), float(samples.max())  # NaN where any is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise file.fault("has samples that are not finite (NaN or infinite)")
    if (peak := max(-low, high)) > LOUDEST:
        raise file.fault(f"has values beyond full scale: its peak is {peak:g}, expected -1 to 1; write floats divided by the largest whole number")
    mono = samples.mean(axis=1, dtype=np.float32) if samples.shape[1] > 1 else samples[:, 0]
    if mono.min() == mono.max():
        state = "silent: every sample is 0" if mono[0] == 0 else f"constant: every sample is {mono[0]:g}"
        raise file.fault(f"is {state}")
    if rate != int(rate):
        raise file.fault(f"has a sampling rate of {rate:g} Hz, expected a whole number for a sound; read it as kind signal")
    return Recording(np.ascontiguousarray(mono), int(rate))


def _read_sound(file: InputFile, channel: int | str | None) -> tuple[np.ndarray, float]:
    """Samples [T, C] and rate."""
    with file.decoding():
        with soundfile.SoundFile(file.path) as opened:
            rate, promised = opened.samplerate, opened.frames
            short = opened.subtype == "PCM_16"
            samples = opened.read(dtype="int16" if short else "float32", always_2d=True)
        lost = _bytes_beyond_the_end(file.path)
    if lost or len(samples) < promised:
        detail = f"the header promises {lost} bytes more than there are" if lost else f"{len(samples)} of {promised} samples are there"
        raise file.fault(f"is cut short: {detail}")
    if short:  # the same as libsndfile's own conversion, and faster
        samples = np.multiply(samples, 2.0**-15, dtype=np.float32)
    if channel is None:
        return samples, rate
    number = position_of(file, channel, [str(n + 1) for n in range(samples.shape[1])])
    return samples[:, number : number + 1], rate


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
