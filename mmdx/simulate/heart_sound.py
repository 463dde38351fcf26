"""Heart sounds: first and second sound, a systolic murmur, breathing, a stethoscope and a room."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfilt

from mmdx.data.raw import Recording
from mmdx.simulate.visit import Visit, site_style

RATE = 2000
SECONDS = 6.0
MURMUR_DB = (-18.0, 3.5)
"""Level of the murmur where it is loudest, in dB re the first sound over 20 ms: at finding 0, and what each unit of the finding adds."""
STYLE = 2


def render_heart_sound(finding: float, visit: Visit, rng: np.random.Generator) -> Recording:
    """Six seconds at 2000 Hz.

    The murmur is band-passed noise about 120 to 260 Hz under a crescendo-decrescendo envelope between the first and the second sound;
    its root mean square where it is loudest is ``-18 + 3.5 z`` dB re that of the first sound, as if that lasted 20 ms. Heart rate, its
    variation with breathing, pitch of the sounds, split of the second sound, ambient noise and the stethoscope of the hospital vary.
    """
    time = np.arange(int(SECONDS * RATE)) / RATE
    starts, ends = _beats(visit.heart_rate, rng)
    breathing = 1 + 0.12 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.3) * time + rng.random()))
    sound = np.zeros_like(time)
    first, second = _tone(rng.uniform(42, 58), 0.022, rng), _tone(rng.uniform(58, 80), 0.014, rng)
    split = int(rng.uniform(0.01, 0.03) * RATE)
    for start, end in zip(starts, ends, strict=True):
        _add(sound, int(start * RATE), first)
        _add(sound, int(end * RATE), 0.6 * second)
        _add(sound, int(end * RATE) + split, 0.25 * second)
    sound = sound * breathing + _murmur(finding, time, starts, ends, rng) + _room(len(time), rng)
    return Recording(_stethoscope(sound, visit.site, rng), RATE)


def _beats(heart_rate: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Onsets of the first and the second sounds in seconds, from before the recording to behind its end."""
    mean = 60 / heart_rate
    count = int(SECONDS / mean * 1.3) + 4
    phase, slow = rng.random(), rng.uniform(0.2, 0.3)
    gaps = mean * (1 + 0.05 * np.sin(2 * np.pi * (slow * mean * np.arange(count) + phase)) + 0.015 * rng.standard_normal(count))
    starts = np.cumsum(gaps) - gaps[0] - mean * (1 + rng.random())
    return starts, starts + 0.33 * np.sqrt(gaps)


def _tone(pitch: float, decay: float, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(int(0.12 * RATE)) / RATE
    phase = 2 * np.pi * rng.random(2)
    wave = np.sin(2 * np.pi * pitch * time + phase[0]) + 0.5 * np.sin(2 * np.pi * 1.6 * pitch * time + phase[1])
    wave *= (1 - np.exp(-time / 0.006)) * np.exp(-time / decay)
    return np.asarray(wave * np.sqrt(0.02 * RATE / (wave**2).sum()))  # all have the energy of a unit signal of 20 ms


def _add(sound: np.ndarray, at: int, wave: np.ndarray) -> None:
    low, high = max(at, 0), min(at + len(wave), len(sound))
    if low < high:
        sound[low:high] += wave[low - at : high - at]


def _murmur(finding: float, time: np.ndarray, starts: np.ndarray, ends: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    envelope = np.zeros_like(time)
    peak = rng.uniform(0.4, 0.6)  # where in systole it is loudest
    for start, end in zip(starts, ends, strict=True):
        low, high = start + 0.05, end - 0.01
        envelope += np.interp(time, [low, low + peak * (high - low), high], [0.0, 1.0, 0.0], left=0.0, right=0.0)
    centre = rng.uniform(170, 200)
    noise = sosfilt(butter(2, [centre - 60, centre + 60], "bandpass", fs=RATE, output="sos"), rng.standard_normal(len(time)))
    noise /= np.sqrt((envelope**2 * noise**2).sum() / (envelope**2).sum())  # the level is exact, not on average
    return np.asarray(10 ** ((MURMUR_DB[0] + MURMUR_DB[1] * finding) / 20) * envelope * noise)


def _room(length: int, rng: np.random.Generator) -> np.ndarray:
    """Rumble below 40 Hz, and hiss of -44 to -38 dB of which a fifth lies where the murmur is."""
    white = rng.standard_normal((2, length))
    rumble = sosfilt(butter(2, 40, "lowpass", fs=RATE, output="sos"), white[0])
    return np.asarray(0.04 * rng.uniform(0.5, 1.5) * rumble + 10 ** (rng.uniform(-44, -38) / 20) * white[1])


def _stethoscope(sound: np.ndarray, site: int, rng: np.random.Generator) -> np.ndarray:
    """The hospital's pass band, at an arbitrary gain, without clipping."""
    low, high = site_style(site, STYLE, 2)
    heard = sosfilt(butter(1, [16 + 4 * low, 650 + 150 * high], "bandpass", fs=RATE, output="sos"), sound)
    return np.asarray(heard / np.abs(heard).max() * rng.uniform(0.4, 0.95), dtype=np.float32)
