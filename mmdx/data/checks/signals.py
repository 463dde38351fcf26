"""One signal of several channels: flat channels, and what should be alike across a cohort."""

from __future__ import annotations

import hashlib

from mmdx.data.checks.facts import Facts
from mmdx.data.raw import Signal

NAMED = 12
"""Channels that a property names one by one; a record with more is told by their number and the first ones."""


def examine_signal(signal: Signal, name: str, facts: Facts) -> None:
    """Note what a signal is like. It has no fingerprint: those of sounds listen to bands that an ECG does not have."""
    samples, rate, names, units = signal
    facts.kind = "signal"
    facts.content = hashlib.blake2b(samples.tobytes() + repr((samples.shape, rate, names, units)).encode(), digest_size=16).hexdigest()
    facts.properties["rate"] = f"{rate:g} Hz"
    facts.properties["channels"] = f"{len(names)}: {', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''}"
    facts.properties["units"] = ", ".join(dict.fromkeys(unit or "none stated" for unit in units))
    facts.measures["seconds"] = samples.shape[1] / rate
    for channel, values in zip(names, samples, strict=True):
        if values.min() == values.max():
            facts.warn("silent", f"channel '{channel}' of {name} is flat: every sample is {values[0]:g}")
