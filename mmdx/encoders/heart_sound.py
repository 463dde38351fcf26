"""The heart-sound front end: from any recording to a clean signal at one rate, and to windows over the whole of it."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np
from scipy import signal

from mmdx.data.raw import Recording
from mmdx.errors import InputError, SampleError


class HeartSoundFrontEnd:
    """Resample, band-pass, remove spikes, normalise, in this order; each step can be left out.

    Args:
        rate: rate to resample to, in Hz; None keeps the recording's own.
        band: edges of the pass band in Hz, both at -6 dB since the filter runs forwards and backwards (zero phase); None filters nothing.
        order: order of the Butterworth filter that runs each way.
        spikes: take out the mean and remove spikes, see ``remove_spikes``.
        normalise: bring each recording to zero mean and unit standard deviation.
    """

    def __init__(
        self,
        rate: int | None = 1000,
        band: tuple[float, float] | None = (25.0, 400.0),
        order: int = 4,
        spikes: bool = True,
        normalise: bool = True,
    ) -> None:
        if rate is not None and rate < 1:
            raise InputError(f"front_end.rate={rate}: must be a whole number of Hz above 0, or null to keep each recording's own.")
        if order < 1:
            raise InputError(f"front_end.order={order}: must be at least 1.")
        if band is not None:
            band = _checked_band(band, rate)
        self.rate, self.band, self.order, self.spikes, self.normalise = rate, band, order, spikes, normalise

    def __call__(self, recording: Recording) -> Recording:
        """The clean recording, float32.

        Raises:
            SampleError: where the recording is empty, not mono, or holds values that are not finite.
        """
        samples = np.asarray(recording.samples, dtype=np.float64)
        _check(samples, recording.rate)
        rate = recording.rate if self.rate is None else self.rate
        samples = resample(samples, recording.rate, rate)
        if self.band is not None:
            samples = band_pass(samples, rate, _checked_band(self.band, rate), self.order)
        if self.spikes:
            samples = remove_spikes(samples - samples.mean(), rate)
        if self.normalise:
            samples = standardise(samples)
        return Recording(samples.astype(np.float32), rate)


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Samples [T] at ``rate`` Hz as samples [ceil(T * target / rate)] at ``target`` Hz, by a polyphase filter."""
    if rate == target:
        return samples
    common = gcd(rate, target)
    return signal.resample_poly(samples, target // common, rate // common, padtype="mean")


def band_pass(samples: np.ndarray, rate: int, band: tuple[float, float], order: int) -> np.ndarray:
    """Zero-phase Butterworth band-pass of samples [T]: a filter of ``order`` forwards, then backwards."""
    sections = _butterworth(rate, tuple(band), order)
    return signal.sosfiltfilt(sections, samples, padlen=min(len(samples) - 1, rate))


@lru_cache
def _butterworth(rate: int, band: tuple[float, float], order: int) -> np.ndarray:
    return np.asarray(signal.butter(order, band, btype="bandpass", fs=rate, output="sos"))


def remove_spikes(samples: np.ndarray, rate: int, frame_seconds: float = 0.5, ratio: float = 3.0) -> np.ndarray:
    """Friction spikes of a heart-sound recording, zeroed (Schmidt et al. 2010, Physiol. Meas. 31:513).

    The recording is cut into frames of 500 ms. While the maximum absolute amplitude (MAA) of any frame is more than 3 times the
    median MAA of all frames, the spike at the greatest MAA is set to zero, from the last zero crossing before it to the first one after.

    Args:
        samples: [T], around zero: an offset hides the zero crossings.
        rate: in Hz.
        frame_seconds: length of a frame.
        ratio: what multiple of the median MAA is a spike.
    """
    clean = np.array(samples, dtype=np.float64)
    frame = max(1, round(frame_seconds * rate))
    frames = np.zeros((-(-len(clean) // frame), frame))
    frames.reshape(-1)[: len(clean)] = clean
    flat = frames.reshape(-1)  # a view, so that what is zeroed here is zeroed there
    negative = np.signbit(clean)
    crossings = np.concatenate([[0], np.flatnonzero(negative[1:] != negative[:-1]) + 1, [len(clean)]])
    amplitudes = np.abs(frames).max(axis=1)
    while True:
        worst = int(amplitudes.argmax())
        median = np.median(amplitudes)
        if median == 0 or amplitudes[worst] <= ratio * median:  # a median of 0: mostly silence, whose few sounds are no spikes
            return flat[: len(clean)].copy()
        top = worst * frame + int(np.abs(frames[worst]).argmax())
        after = int(np.searchsorted(crossings, top, side="right"))
        start, end = int(crossings[after - 1]), int(crossings[after])
        flat[start:end] = 0.0
        touched = slice(start // frame, (end - 1) // frame + 1)
        amplitudes[touched] = np.abs(frames[touched]).max(axis=1)


def standardise(samples: np.ndarray) -> np.ndarray:
    """Samples [T] with zero mean and unit standard deviation; a constant signal becomes zeros."""
    centred = samples - samples.mean()
    spread = centred.std()
    return centred / spread if spread > 1e-12 else np.zeros_like(centred)


class Windows:
    """Windows over the whole of a recording; in training some at random places instead.

    In evaluation a window begins every ``hop`` seconds and the last one is aligned to the end, so that each value lies in at least one.
    A recording shorter than a window is repeated from its start until it fills one.

    Args:
        seconds: length of a window.
        hop: from one window's start to the next in evaluation; above 0, at most ``seconds``.
        crops: windows drawn for a recording in training.
    """

    def __init__(self, seconds: float = 4.0, hop: float = 2.0, crops: int = 1) -> None:
        if not seconds > 0:
            raise InputError(f"windows.seconds={seconds}: must be above 0.")
        if not 0 < hop <= seconds:
            raise InputError(f"windows.hop={hop}: must be above 0 and at most windows.seconds={seconds}, else parts would be left out.")
        if crops < 1:
            raise InputError(f"windows.crops={crops}: must be at least 1.")
        self.seconds, self.hop, self.crops = seconds, hop, crops

    def __call__(self, values: np.ndarray, rate: float, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Windows [..., W] of values [..., T] that come ``rate`` to the second; random ones where there is an ``rng``."""
        width = max(1, round(self.seconds * rate))
        length = values.shape[-1]
        if length < width:
            values, length = values[..., np.arange(width) % length], width
        if rng is not None:
            starts = rng.integers(0, length - width + 1, size=self.crops).tolist()
        else:
            starts = window_starts(length, width, max(1, round(self.hop * rate)))
        return [values[..., start : start + width] for start in starts]


def window_starts(length: int, width: int, hop: int) -> list[int]:
    """Where windows of ``width`` begin so that they cover ``length`` values: every ``hop``, the last one at the end."""
    starts = list(range(0, length - width + 1, hop))
    if starts[-1] + width < length:
        starts.append(length - width)
    return starts


def _checked_band(band: tuple[float, float], rate: int | None) -> tuple[float, float]:
    low, high = (float(edge) for edge in band)
    if not 0 < low < high or (rate is not None and high >= rate / 2):
        below = "" if rate is None else f", the upper one below half the rate of {rate} Hz"
        raise InputError(f"front_end.band=[{low:g}, {high:g}]: must be two rising frequencies above 0 Hz{below}.")
    return low, high


def _check(samples: np.ndarray, rate: int) -> None:
    if samples.ndim != 1 or not len(samples):
        raise SampleError(f"recording: samples of shape {list(samples.shape)}; expected one channel [T] with at least one sample.")
    if rate < 1:
        raise SampleError(f"recording: rate={rate}; expected a whole number of Hz above 0.")
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise SampleError(f"recording: sample {at} is {samples[at]}; expected finite numbers only.")
