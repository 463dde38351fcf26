"""Signals of several channels in physical units, such as ECG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmdx.data.raw import Signal
from mmdx.data.readers.common import InputFile, check_file
from mmdx.data.readers.records import check_channels, is_record, read_channels
from mmdx.data.readers.sounds import check_rate
from mmdx.data.tables import NOWHERE, Place


def read_signal(
    path: str | Path, place: Place = NOWHERE, expected_rate: float | None = None, channels: Sequence[int | str] | None = None
) -> Signal:
    """A WFDB record (its ``.hea``) with all its channels in physical units.

    Args:
        expected_rate: sampling rate in Hz that the record must have; None accepts any.
        channels: which ones and in which order, by name or by number counted from 1; None takes all in the record's order.

    Raises:
        SampleError: where the header or a data file is missing, damaged, cut short or outside its folder, a channel is not there, rates of
            channels differ, samples are marked as invalid, or every channel is flat.
        InputError: where wfdb is not installed, or an option is out of range.
    """
    check_file(path, "signal", place)
    check_rate(expected_rate)
    check_channels(channels)
    file = InputFile(Path(path), "signal", place)
    if not is_record(file.path):
        raise file.fault("cannot be read: it is no WFDB header, expected a path that ends in .hea")
    found = read_channels(file, channels)
    if found.samples.shape[1] == 0:
        raise file.fault("has no samples")
    if expected_rate is not None and found.rate != expected_rate:
        raise file.fault(f"has a sampling rate of {found.rate:g} Hz, expected {expected_rate:g} Hz")
    invalid = (~np.isfinite(found.samples)).sum(axis=1)
    if invalid.any():
        worst = int(invalid.argmax())
        detail = f"{invalid[worst]} of {found.samples.shape[1]} of channel '{found.names[worst]}' are marked as invalid"
        raise file.fault(f"has samples that are not finite: {detail}")
    if (found.samples.min(axis=1) == found.samples.max(axis=1)).all():
        raise file.fault("is constant: every channel is flat")
    return Signal(found.samples.astype(np.float32), found.rate, found.names, found.units)
