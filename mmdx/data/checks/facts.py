"""What is known of one file or text after it was read once: plain values that can be kept and compared across a cohort."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mmdx.data.checks.findings import ERROR, WARNING


@dataclass
class Facts:
    """Of one file or text.

    Attributes:
        digest: of the bytes, to know the file again; empty for an inline text.
        content: of what the bytes mean (samples and rate, pixels, words): equal for the same sound as WAV and as FLAC.
            Empty where it could not be read.
        fingerprint: what near duplicates are found by: codes of a sound, hash of an image, MinHash of a text, as hexadecimal digits.
        kind: image, audio, signal or text: what the fingerprint is of.
        properties: what should be alike across a cohort: rate, channels, units, mode, axes, encoding.
        measures: numbers to compare with the cohort's median.
        faults: kind, severity, and the sentence without table and row.
        personal: what may identify a person, by name of attribute or pattern; never the text itself.
    """

    digest: str = ""
    content: str = ""
    fingerprint: str = ""
    kind: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    faults: list[list[str]] = field(default_factory=list)
    personal: list[str] = field(default_factory=list)

    def error(self, kind: str, sentence: str) -> None:
        """Note a fault that makes the file unfit."""
        self.faults.append([kind, ERROR, sentence])

    def warn(self, kind: str, sentence: str) -> None:
        """Note something to look at."""
        self.faults.append([kind, WARNING, sentence])

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def hexadecimal(codes: np.ndarray) -> str:
    """Whole numbers of 32 or 64 bits as text."""
    return codes.astype(codes.dtype.newbyteorder("<")).tobytes().hex()


def codes_of(text: str, kind: type[np.generic]) -> np.ndarray:
    """The numbers that ``hexadecimal`` wrote."""
    return np.frombuffer(bytes.fromhex(text), dtype=np.dtype(kind).newbyteorder("<"))
