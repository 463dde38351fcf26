"""One sound: clipped, silent in part, cut short without a word; and its fingerprint."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile

from mmdx.data.checks.facts import Facts, hexadecimal
from mmdx.data.checks.fingerprints import sound_codes
from mmdx.data.raw import Recording
from mmdx.data.readers import is_record

RUN, CLIPPED = 3, 0.001
"""A peak is cut off where as many samples in a row have the largest or smallest value; a sound is clipped with this share of such samples."""
FAINT = 1e-3
"""A peak of -60 dB below full scale: of 16 bits no more than 6 are in use."""
ZEROS = 0.5
"""Share of samples that are exactly 0 from which on a sound counts as mostly silent."""
OGG_HEADER = 27


def examine_sound(recording: Recording, path: Path | None, name: str, facts: Facts) -> None:
    """Note what a sound is like."""
    samples, rate = recording
    facts.kind = "audio"
    facts.content = hashlib.blake2b(samples.tobytes() + str(rate).encode(), digest_size=16).hexdigest()
    facts.fingerprint = hexadecimal(sound_codes(samples, rate))
    facts.properties["rate"] = f"{rate} Hz"
    facts.measures["seconds"] = len(samples) / rate
    channels = samples[:, None]
    if path is not None and not is_record(path):
        facts.properties["channels"] = str(soundfile.info(path).channels)
        if facts.properties["channels"] != "1":
            channels = soundfile.read(path, dtype="float32", always_2d=True)[0]
        if ogg_without_end(path):
            facts.error("truncated", f"{name} is cut short: it ends without the last page of an Ogg stream")
    for number, channel in enumerate(channels.T, 1):
        _examine_channel(channel, name if channels.shape[1] == 1 else f"{name}, channel {number} of {channels.shape[1]},", facts)


def _examine_channel(channel: np.ndarray, name: str, facts: Facts) -> None:
    low, high = channel.min(), channel.max()
    if low == high:
        facts.warn("silent", f"{name} is {'silent' if low == 0 else 'constant'}")
        return
    if max(-low, high) < FAINT:
        facts.warn("silent", f"{name} is nearly silent: its peak is {max(-low, high):.2g} of full scale")
    if (zeros := float((channel == 0).mean())) >= ZEROS:
        facts.warn("silent", f"{name} is mostly silent: {zeros:.0%} of the samples are exactly 0")
    elif (share := cut_off(channel)) >= CLIPPED:
        facts.warn("clipped", f"{name} is clipped: {share:.1%} of the samples are in peaks cut off at {low:.3g} or {high:.3g}")


def cut_off(samples: np.ndarray) -> float:
    """Share of samples in runs of at least ``RUN`` that all have the sound's largest, or smallest, value."""
    total = 0
    for extreme in (samples.min(), samples.max()):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], samples == extreme, [0]]).astype(np.int8)))
        lengths = edges[1::2] - edges[::2]
        total += int(lengths[lengths >= RUN].sum())
    return total / len(samples)


def ogg_without_end(path: Path) -> bool:
    """Whether the last page of an Ogg file (RFC 3533, section 6) is cut, or not marked as the last; decoders pass over that in silence."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return False
        size = file.seek(0, 2)
        start = max(0, size - 2 * 65307)  # a page has at most 65307 bytes
        file.seek(start)
        tail = file.read()
    last = tail.rfind(b"OggS")
    page = tail[last:]
    if last < 0 or len(page) < OGG_HEADER:
        return True
    segments = page[26]
    whole = len(page) >= OGG_HEADER + segments + sum(page[OGG_HEADER : OGG_HEADER + segments])
    return not whole or not page[5] & 4
