"""Heart sounds: first to fourth sound, systolic and diastolic murmur, breathing, a stethoscope and a room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import butter, sosfilt

from mmdx.data.raw import Recording
from mmdx.simulate.rendering import Rendering, shown
from mmdx.simulate.visit import Visit, site_style

RATE = 2000
SECONDS = 6.0
LENGTH = int(SECONDS * RATE)
MURMUR_DB, DIASTOLIC_DB, EXTRA_DB = (-18.0, 3.5), (-20.0, 3.0), (-14.0, 3.0)
"""Levels of the murmurs where they are loudest, and of the extra sound, in dB re the first sound as if that lasted 20 ms: at finding 0, and what
each unit of the finding (for the extra sound: of its size) adds."""
MURMUR_HZ, DIASTOLIC_HZ, HALF_BAND = (150, 160, 170, 180, 190, 200, 210), (250, 260, 270, 280, 290, 300, 310), 60
"""Middle of the bands of the murmurs, a few, so that each filter is designed once."""
SHAPES = ("crescendo-decrescendo", "plateau", "decrescendo")
FIRST, SECOND, EXTRA = 0.1, 0.07, 0.08
"""How long a sound lasts, in s."""
STYLE = 2
PARTS, DRAWS = 7, 16
"""Parts of a recording that draw numbers, and the most that one of them draws."""


class Beats(NamedTuple):
    """Onsets in s of the first sounds, the second sounds and the next first sounds [beats], from before the recording to behind its end, and how
    full the lungs are: -1 to 1 at each beat [beats] and each sample [T]."""

    starts: np.ndarray
    ends: np.ndarray
    nexts: np.ndarray
    lungs: np.ndarray
    breathing: np.ndarray


class Part(NamedTuple):
    """A part of the sound, what is true of it, and its events: kind, starts and stops in s."""

    wave: np.ndarray | float
    truth: dict[str, Any]
    events: list[tuple[str, np.ndarray, np.ndarray]]


def render_heart_sound(findings: Sequence[float], visit: Visit, rng: np.random.Generator, with_truth: bool = False) -> Rendering:
    """Six seconds at 2000 Hz.

    - finding 0: a systolic murmur, noise in a band of 120 Hz about 150 to 210 Hz between first and second sound, crescendo-decrescendo, plateau
      or decrescendo; its root mean square where it is loudest is ``-18 + 3.5 z`` dB re that of the first sound, as if that lasted 20 ms;
    - finding 1: a diastolic murmur, noise in a band of 120 Hz about 250 to 310 Hz that fades from behind the second sound on,
      ``-20 + 3 z`` dB;
    - finding 2: for z >= 0 a third sound, its middle 0.13 to 0.16 s behind the second, else a fourth sound, 0.09 to 0.11 s before the first;
      ``-14 + 3 abs(z)`` dB.

    What isn't shown isn't there at all. Heart rate and its variation, pitch of the sounds, breathing, which also splits the second sound, ambient
    noise and the hospital's stethoscope vary and do not depend on the findings.

    Returns:
        raw: ``Recording`` of 12,000 samples. truth: ``heart_rate`` of the recording in 1/min, ``murmur_db``, ``murmur_shape``, ``murmur_hz``,
        ``diastolic_db``, ``extra_sound`` (S3 or S4) and ``extra_db``, None where not shown, and ``events``, a list of {"kind", "start", "stop"}
        in s, in order and cut to the recording, of S1, S2, S3, S4, "systolic murmur" and "diastolic murmur".
    """
    chance = [iter(row) for row in rng.random((PARTS, DRAWS)).tolist()]  # each part has its own, so that no finding moves the draws of another
    beats = _beats(visit.heart_rate, rng.standard_normal(32), chance[0])
    white = rng.standard_normal((4, LENGTH), dtype=np.float32)
    systolic, diastolic, extra = (shown(finding) for finding in findings)
    parts = [
        _valves(beats, chance[1]),
        _systolic_murmur(systolic, beats, white[0], chance[2]),
        _diastolic_murmur(diastolic, beats, white[1], chance[3]),
        _extra_sound(extra, beats, chance[4]),
    ]
    sound = np.asarray(sum((part.wave for part in parts), _room(white[2:], chance[5])))
    raw = Recording(_stethoscope(sound, visit, chance[6]), RATE)
    if not with_truth:
        return Rendering(raw, {})
    events = [event for part in parts for event in _inside(part.events)]
    return Rendering(raw, {k: v for part in parts for k, v in part.truth.items()} | {"events": sorted(events, key=lambda event: event["start"])})


def _beats(heart_rate: float, jitter: np.ndarray, chance: Iterator[float]) -> Beats:
    mean, breaths, phase = 60 / heart_rate, _between(0.2, 0.3, chance), next(chance)
    first = -mean * (1 + next(chance))
    lungs = np.sin(2 * np.pi * (breaths * (first + mean * np.arange(len(jitter))) + phase))
    gaps = mean * (1 + 0.05 * lungs + 0.015 * np.clip(jitter, -2.5, 2.5))
    gaps = gaps[: int(np.searchsorted(first + np.cumsum(gaps), SECONDS)) + 1]
    nexts = first + np.cumsum(gaps)
    starts = nexts - gaps
    breathing = np.sin(2 * np.pi * (breaths / RATE * np.arange(LENGTH, dtype=np.float32) + np.float32(phase)))
    return Beats(starts, starts + 0.33 * np.sqrt(gaps), nexts, lungs[: len(gaps)], breathing)


def _valves(beats: Beats, chance: Iterator[float]) -> Part:
    """First and second sound; breathing in splits the second."""
    first, second = _tone(_between(42, 58, chance), 0.022, FIRST, chance), _tone(_between(58, 80, chance), 0.014, SECOND, chance)
    pulmonary = beats.ends + _between(0.012, 0.028, chance) * (1 + 0.5 * beats.lungs)
    wave = _placed(first, beats.starts) + _placed(0.6 * second, beats.ends) + _placed(0.25 * second, pulmonary)
    inside = beats.starts[(beats.nexts > 0) & (beats.starts < SECONDS)]
    rate = 60 / float(np.diff(inside).mean())
    events = [("S1", beats.starts, beats.starts + FIRST), ("S2", beats.ends, pulmonary + SECOND)]
    return Part(wave * (1 - 0.12 * beats.breathing), {"heart_rate": rate}, events)


def _systolic_murmur(finding: float | None, beats: Beats, white: np.ndarray, chance: Iterator[float]) -> Part:
    if finding is None:
        return Part(0.0, {"murmur_db": None, "murmur_shape": None, "murmur_hz": None}, [])
    shape, pitch, peak = SHAPES[int(len(SHAPES) * next(chance))], MURMUR_HZ[int(len(MURMUR_HZ) * next(chance))], _between(0.4, 0.6, chance)
    low, high, level = beats.starts + 0.05, beats.ends - 0.01, MURMUR_DB[0] + MURMUR_DB[1] * finding
    wave = _murmur(_envelope(_progress(low, high), shape, peak), pitch, level, white)
    return Part(wave, {"murmur_db": level, "murmur_shape": shape, "murmur_hz": pitch}, [("systolic murmur", low, high)])


def _diastolic_murmur(finding: float | None, beats: Beats, white: np.ndarray, chance: Iterator[float]) -> Part:
    if finding is None:
        return Part(0.0, {"diastolic_db": None}, [])
    pitch, level = DIASTOLIC_HZ[int(len(DIASTOLIC_HZ) * next(chance))], DIASTOLIC_DB[0] + DIASTOLIC_DB[1] * finding
    low, high = beats.ends + 0.04, beats.ends + 0.75 * (beats.nexts - beats.ends)
    wave = _murmur(_envelope(_progress(low, high), "fading"), pitch, level, white)
    return Part(wave, {"diastolic_db": level}, [("diastolic murmur", low, high)])


def _extra_sound(finding: float | None, beats: Beats, chance: Iterator[float]) -> Part:
    """A third or a fourth sound: some cycles of a low pitch, fading in and out."""
    if finding is None:
        return Part(0.0, {"extra_sound": None, "extra_db": None}, [])
    kind, level = ("S3" if finding >= 0 else "S4"), EXTRA_DB[0] + EXTRA_DB[1] * abs(finding)
    pitch, phase, behind, before = _between(32, 48, chance), next(chance), _between(0.13, 0.16, chance), _between(0.09, 0.11, chance)
    length = int(EXTRA * RATE)
    wave = np.hanning(length) * np.sin(2 * np.pi * (pitch / RATE * np.arange(length) + phase))
    starts = (beats.ends + behind if kind == "S3" else beats.nexts - before) - EXTRA / 2
    return Part(_placed(_gain(level) * _unit(wave), starts), {"extra_sound": kind, "extra_db": level}, [(kind, starts, starts + EXTRA)])


def _tone(pitch: float, decay: float, seconds: float, chance: Iterator[float]) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * (pitch * time + next(chance))) + 0.5 * np.sin(2 * np.pi * (1.6 * pitch * time + next(chance)))
    return _unit(wave * (1 - np.exp(-time / 0.006)) * np.exp(-time / decay))


def _unit(wave: np.ndarray) -> np.ndarray:
    """The wave with the energy of a unit signal of 20 ms."""
    return np.asarray(wave * np.sqrt(0.02 * RATE / (wave**2).sum()))


def _placed(wave: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The wave at each of these times, [T]."""
    margin = 3 * RATE  # what starts before the recording, or ends behind it, falls in a margin
    padded = np.zeros(LENGTH + 2 * margin, dtype=np.float32)
    for at in (starts * RATE).astype(int) + margin:
        padded[at : at + len(wave)] += wave
    return padded[margin : margin + LENGTH]


def _progress(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How much of the interval that a sample lies in has passed, 0 to 1, [T]; 0 between intervals."""
    progress = np.zeros(LENGTH, dtype=np.float32)
    for start, stop in zip(low * RATE, high * RATE, strict=True):
        inside = np.arange(max(int(np.ceil(start)), 0), min(int(stop) + 1, LENGTH))
        progress[inside] = (inside - start) / (stop - start)
    return progress


def _envelope(u: np.ndarray, shape: str, peak: float = 0.5) -> np.ndarray:
    """Amplitude of a murmur from its beginning, u = 0, to its end, u = 1; it is 1 where it is loudest, and 0 at both ends."""
    if shape == "crescendo-decrescendo":
        return np.asarray(np.sin(np.pi * np.where(u < peak, u / (2 * peak), 1 - (1 - u) / (2 * (1 - peak)))))
    if shape == "plateau":
        return np.minimum(np.minimum(u, 1 - u) / 0.12, 1)
    falling = 1 - 0.75 * (u - 0.1) if shape == "decrescendo" else np.exp(-2 * (u - 0.1))
    return np.asarray(np.minimum(np.minimum(10 * u, falling), 10 * (1 - u)))


def _murmur(envelope: np.ndarray, pitch: int, level: float, white: np.ndarray) -> np.ndarray:
    noise = sosfilt(_filter(2, (pitch - HALF_BAND, pitch + HALF_BAND), "bandpass"), white)
    wave = envelope * noise
    return np.asarray(wave * (_gain(level) * np.sqrt((envelope**2).sum() / (wave**2).sum())))  # the level is exact, not on average


def _room(white: np.ndarray, chance: Iterator[float]) -> np.ndarray:
    """Rumble below 40 Hz, hiss of -44 to -38 dB, up to two bumps, and in half of the rooms a voice, above the murmurs."""
    rumble = sosfilt(_filter(2, 40, "lowpass"), white[0])
    room = 0.04 * _between(0.5, 1.5, chance) * rumble + _gain(_between(-44, -38, chance)) * white[1]
    length = RATE // 5
    for _ in range(int(3 * next(chance))):
        at = int(next(chance) * (LENGTH - length))
        thump = np.sin(2 * np.pi * _between(18, 30, chance) * np.arange(length) / RATE) * np.exp(-np.arange(length) / (0.04 * RATE))
        room[at : at + length] += _gain(_between(-16, -10, chance)) * thump
    if next(chance) < 0.5:
        length = int(_between(0.3, 0.9, chance) * RATE)
        at = int(next(chance) * (LENGTH - length))
        voice = sosfilt(_filter(2, (450, 900), "bandpass"), white[0, :length])
        room[at : at + length] += _gain(_between(-34, -28, chance)) * np.hanning(length) * voice
    return np.asarray(room)


def _stethoscope(sound: np.ndarray, visit: Visit, chance: Iterator[float]) -> np.ndarray:
    """The hospital's pass band, at an arbitrary gain, without clipping."""
    low, high = site_style(visit, STYLE, 2)
    heard = sosfilt(_filter(1, (round(2 * (16 + 4 * low)) / 2, round(65 + 15 * high) * 10.0), "bandpass"), sound)
    return np.asarray(heard * (_between(0.4, 0.95, chance) / np.abs(heard).max()), dtype=np.float32)


@cache
def _filter(order: int, edges: float | tuple[float, float], kind: str) -> np.ndarray:
    return np.asarray(butter(order, edges, kind, fs=RATE, output="sos"), dtype=np.float32)


def _inside(events: list[tuple[str, np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
    """The events as far as they lie in the recording."""
    return [
        {"kind": kind, "start": max(float(start), 0.0), "stop": min(float(stop), SECONDS)}
        for kind, starts, stops in events
        for start, stop in zip(starts, stops, strict=True)
        if stop > 0 and start < SECONDS
    ]


def _gain(level: float) -> float:
    return float(10 ** (level / 20))


def _between(low: float, high: float, chance: Iterator[float]) -> float:
    return low + (high - low) * next(chance)
