"""What should be alike across a cohort: the few files that are not like the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from mmdx.data.checks.findings import WARNING, Finding
from mmdx.data.checks.reading import Reading

ODD = 0.25
"""Files with another property than the others are named one by one up to this share of all; above it the mix is told once."""
FEWEST = 4
"""Below so many files nothing is usual."""
KINDS = {"rate": "rate", "channels": "channels", "mode": "mode", "axes": "orientation", "encoding": "encoding", "units": "scale"}
WORDS = {"rate": "sampling rate", "channels": "channels", "mode": "image type", "axes": "axes", "encoding": "encoding", "units": "units"}
FACTORS = {"seconds": 10.0, "pixels along a side": 4.0, "slices": 10.0, "mm between voxels": 4.0}
"""By what factor a measure may be larger or smaller than the median."""
SATURATED = {"share at the largest value": 0.3, "share at the smallest value": 0.6}
USUAL = 0.1
"""An image is saturated with this share of its pixels at an end, where the median image has less than ``USUAL`` there."""


def unlike_the_others(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Findings on the sound readings of one modality."""
    for name in KINDS:
        yield from _odd_property(name, [reading for reading in readings if name in reading.facts.properties])
    for name, factor in FACTORS.items():
        yield from _far_off(name, factor, [reading for reading in readings if name in reading.facts.measures])
    for name, share in SATURATED.items():
        yield from _saturated(name, share, [reading for reading in readings if name in reading.facts.measures])


def _odd_property(name: str, readings: Sequence[Reading]) -> Iterator[Finding]:
    counts = Counter(reading.facts.properties[name] for reading in readings)
    if len(counts) < 2:
        return
    usual, most = counts.most_common(1)[0]
    if len(readings) < FEWEST or len(readings) - most > ODD * len(readings):
        mix = ", ".join(f"{value}: {count}" for value, count in counts.most_common(6))
        table = readings[0].entry.table
        yield Finding(table, None, KINDS[name], WARNING, f"{table}: {readings[0].modality} files differ in {WORDS[name]} ({mix}).")
        return
    for reading in readings:
        if (value := reading.facts.properties[name]) != usual:
            sentence = f"{reading.modality} file '{reading.file}' has the {WORDS[name]} {value}, {most} of {len(readings)} have {usual}"
            yield reading.finding(KINDS[name], WARNING, sentence)


def _far_off(name: str, factor: float, readings: Sequence[Reading]) -> Iterator[Finding]:
    if len(readings) < FEWEST:
        return
    middle = median(reading.facts.measures[name] for reading in readings)
    for reading in readings:
        value = reading.facts.measures[name]
        if middle > 0 and not middle / factor <= value <= middle * factor:
            yield reading.finding("size", WARNING, f"{reading.modality} '{reading.file}' has {value:.3g} {name}, the median is {middle:.3g}")


def _saturated(name: str, share: float, readings: Sequence[Reading]) -> Iterator[Finding]:
    if len(readings) < FEWEST or median(reading.facts.measures[name] for reading in readings) >= USUAL:
        return
    for reading in readings:
        if (value := reading.facts.measures[name]) >= share:
            end = name.removeprefix("share at the ")
            yield reading.finding("clipped", WARNING, f"{reading.modality} '{reading.file}' is saturated: {value:.0%} of its pixels have its {end}")
