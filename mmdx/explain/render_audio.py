"""Sounds of a case: a short MP3, its spectrogram, and what the model went by to lay over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import Windows, resample, window_starts
from mmdx.encoders.log_mel import LogMel, MelSpectrum, Spectrogram
from mmdx.encoders.spectral import StatisticsTransform
from mmdx.errors import InputError
from mmdx.explain.attribution import Arrays
from mmdx.explain.overlay import save_overlay, scaled, shrunk
from mmdx.explain.parts import Part

SECONDS = 8.0
"""The most of a recording that is written: where it is longer, the stretch that told most."""
RATE = 16000
"""Of the MP3 in Hz: the lowest of the MPEG-2 standard; lower ones are an extension that not every player knows."""
PEAK = 0.9
TONES = 32
"""Grey values of a spectrogram."""
OVERLAY = (48, 200)
"""The most bands and moments of an overlay."""
NAMED = 12
"""Statistics that are named, where the encoder works on such."""


class Heat(NamedTuple):
    """Attributions [R, T] over all frequencies (R = 1) or by band, lowest first, ``rate`` to the second; T = 1 holds for all times."""

    values: np.ndarray
    rate: float


def render_audio(parts: list[Part], folder: Path, stem: str) -> dict[str, Any]:
    """Write ``STEM_I.mp3``, ``STEM_I.png`` and, where attributions have a time or a frequency, ``STEM_I_saliency.png`` of each part.

    Returns:
        The case's entry, its files relative to the folder above.

    Raises:
        InputError: where the installed libsndfile writes no MP3.
    """
    return {"kind": "audio", "items": [_render(part, folder, f"{stem}_{number}") for number, part in enumerate(parts)]}


def _render(part: Part, folder: Path, stem: str) -> dict[str, Any]:
    heat, recording = heat_of(part), part.raw
    whole = len(recording.samples) / recording.rate
    start = _loudest(heat, whole)
    stop = min(whole, start + SECONDS)
    samples = recording.samples[round(start * recording.rate) : round(stop * recording.rate)]
    seconds = round(len(samples) / recording.rate, 3)
    file, picture = f"{folder.name}/{stem}.mp3", f"{folder.name}/{stem}.png"
    write_mp3(Recording(samples, recording.rate), folder.parent / file)
    item: dict[str, Any] = {"file": file, "seconds": seconds, "start": round(start, 3), "of_seconds": round(whole, 3), "spectrogram": picture}
    spectrum, spectrogram = _spectrogram(part)
    bands = _between(spectrogram.bands, spectrogram.rate, start, stop)
    _save_spectrogram(bands, folder.parent / picture)
    item |= {"low_hz": spectrum.low, "high_hz": spectrum.high, "scale": "mel"}
    if heat is not None and np.any(heat.values):
        item["overlay"] = f"{folder.name}/{stem}_saliency.png"
        shown = heat.values if heat.values.shape[1] == 1 else _between(heat.values, heat.rate, start, stop)
        save_overlay(shrunk(shown[::-1], OVERLAY), folder.parent / item["overlay"])
    if isinstance(part.transform, StatisticsTransform) and "" in part.items[0]:
        item["statistics"] = _named(part.transform, part.prepared, part.items[0][""])
    return item


def write_mp3(recording: Recording, path: Path) -> None:
    """Write a mono MP3 of 16 kHz as loud as it can be, so that quiet hearts are heard.

    Raises:
        InputError: where the installed libsndfile writes no MP3.
    """
    import soundfile

    if "MP3" not in soundfile.available_formats():
        raise InputError("case files need a libsndfile that writes MP3 (1.1 or later): pip install --upgrade soundfile.")
    samples = resample(np.asarray(recording.samples, np.float64), recording.rate, RATE)
    samples = samples[: round(len(recording.samples) / recording.rate * RATE)]
    samples = PEAK * samples / max(float(np.abs(samples).max(initial=0.0)), 1e-9)
    soundfile.write(path, samples, RATE, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5)


def heat_of(part: Part) -> Heat | None:
    """Where in time and frequency the attributions of a recording's items lie; None where they have neither."""
    transform, prepared = part.transform, part.prepared
    if isinstance(transform, StatisticsTransform):
        return Heat(_by_band(transform, part.items[0].get("")), 1.0) if "" in part.items[0] else None
    windows = getattr(transform, "windows", None)
    if not isinstance(windows, Windows) or not any(part.items):
        return None
    if isinstance(transform, LogMel) and isinstance(prepared, Spectrogram):
        return _smooth(_joined(part.items, windows, prepared.bands.shape, prepared.rate))
    if isinstance(prepared, Recording):
        return _coarse(_joined(part.items, windows, (1, len(prepared.samples)), prepared.rate))
    return None


def _joined(items: list[Arrays], windows: Windows, shape: tuple[int, ...], rate: float) -> Heat:
    """Attributions of windows added up where they lie in the recording; of a window that has only a sum, that sum evenly over its time."""
    bands, length = shape
    width = max(1, round(windows.seconds * rate))
    starts = [0] if length < width else window_starts(length, width, max(1, round(windows.hop * rate)))
    total = np.zeros((bands, length))
    for arrays, start in zip(items, starts, strict=False):
        own = arrays.get("")
        if own is None or own.reshape(-1, own.shape[-1]).shape != (bands, width):
            own = np.full((bands, width), sum(float(a.sum()) for a in arrays.values()) / (bands * width))
        np.add.at(total.T, (start + np.arange(width)) % length, own.reshape(bands, width).T)
    return Heat(total, rate)


def _coarse(heat: Heat) -> Heat:
    """Attributions of samples summed to 25 a second."""
    step = max(1, round(heat.rate / 25))
    return Heat(np.add.reduceat(heat.values, np.arange(0, heat.values.shape[1], step), axis=1), heat.rate / step)


def _smooth(heat: Heat) -> Heat:
    """Single frames' attributions alternate in sign; over three frames and a band they tell where."""
    return Heat(ndimage.gaussian_filter(heat.values, (1.0, 3.0)), heat.rate)


def _by_band(transform: StatisticsTransform, weights: np.ndarray | None) -> np.ndarray:
    """Attributions of the statistics of each band, those of a group of bands shared among them, [M, 1]; what has no frequency is left out."""
    bands, groups = transform.statistics.spectrum.bands, transform.statistics.groups
    total = np.zeros(bands)
    if weights is None:
        return total[:, None]
    first: dict[str, int] = {}
    for place, name in enumerate(transform.statistics.names):
        first.setdefault(name.split("_")[0], place)
    modulation, envelope = first["modulation"], first["autocorrelation"]
    total += weights[:modulation].reshape(-1, bands).sum(axis=0)
    total += np.repeat(weights[modulation:envelope].reshape(groups, -1).sum(axis=1), bands // groups) / (bands // groups)
    return total[:, None]


def _named(transform: StatisticsTransform, prepared: np.ndarray, weights: np.ndarray) -> list[dict[str, Any]]:
    """The statistics that told most."""
    order = np.argsort(-np.abs(weights))[:NAMED]
    known, names = scaled(weights.astype(float)), transform.statistics.names
    return [{"name": names[i], "value": f"{float(prepared[i]):.4g}", "weight": round(float(known[i]), 3)} for i in order]


def _loudest(heat: Heat | None, whole: float) -> float:
    """Where the stretch of ``SECONDS`` with the greatest attributions begins, in seconds; 0 where all fits or nothing is known."""
    if whole <= SECONDS or heat is None or heat.values.shape[1] == 1:
        return 0.0
    sums = np.concatenate([[0.0], np.abs(heat.values).sum(axis=0).cumsum()])
    width = min(round(SECONDS * heat.rate), len(sums) - 1)
    start = int((sums[width:] - sums[:-width]).argmax()) / heat.rate
    return max(0.0, min(start, whole - SECONDS))


def _spectrogram(part: Part) -> tuple[MelSpectrum, Spectrogram]:
    """The spectrogram that the encoder works on, else one of the recording as it stands."""
    transform = part.transform
    if isinstance(transform, LogMel) and isinstance(part.prepared, Spectrogram):
        return transform.spectrum, part.prepared
    if isinstance(transform, StatisticsTransform):
        return transform.statistics.spectrum, transform.statistics.spectrum(transform.front_end(part.raw))
    spectrum = MelSpectrum(bands=48, low=20.0, high=min(4000.0, part.raw.rate / 2))
    return spectrum, spectrum(part.raw)


def _between(values: np.ndarray, rate: float, start: float, stop: float) -> np.ndarray:
    first = min(int(start * rate), values.shape[1] - 1)
    return values[:, first : max(first + 1, round(stop * rate))]


def _save_spectrogram(bands: np.ndarray, path: Path) -> None:
    """Grey values from the 5th to the 99.5th percentile, low frequencies at the bottom."""
    low, high = np.percentile(bands, (5, 99.5))
    tones = np.rint(((bands - low) / max(high - low, 1e-6)).clip(0, 1) * (TONES - 1)).astype(np.uint8)
    picture = Image.fromarray(tones[::-1], "P")
    picture.putpalette([round(tone * 255 / (TONES - 1)) for tone in range(TONES) for _ in range(3)])
    picture.save(path, "PNG", optimize=True)
