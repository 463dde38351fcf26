"""Log-mel spectrograms of sounds: computed once for a whole recording, cut into windows each time it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import fft, signal

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, Windows
from mmdx.errors import InputError
from mmdx.types import Item, Transform

FAINTEST = 1e-37
"""Least floor."""
ROWS = 16
"""Frames in a block."""
ONE_THREAD = 2**18
"""Multiplications up to which OpenBLAS, the library of numpy's wheels, makes a product of matrices in one thread, whatever it may use."""
MANY = 2**19
"""Samples times lines above which a transform is faster than products."""
NARROW = 32
"""Columns below which a product counts as if it had as many: one of a single column goes to threads earlier."""


class Spectrogram(NamedTuple):
    """Log-mel energies of a recording.

    Attributes:
        bands: float32 [M, F] in dB.
        rate: frames a second.
    """

    bands: np.ndarray
    rate: float


class MelSpectrum:
    """Energies in triangular bands that are evenly spaced on the mel scale 2595 log10(1 + f / 700), in dB.

    Short frames are multiplied by the cosines and sines of the lines in use, which takes a third of a padded transform's time. The same bit
    for bit whatever the number of threads: products are made in blocks so small that none is split over threads.

    Args:
        bands: number of bands M.
        low, high: edges of the lowest and the highest band in Hz.
        frame, hop: length of a frame and the step to the next, in seconds.
        floor: added to each energy, so that silence is 10 log10(floor) dB.
    """

    def __init__(
        self, bands: int = 32, low: float = 25.0, high: float = 400.0, frame: float = 0.064, hop: float = 0.016, floor: float = 1e-6
    ) -> None:
        if bands < 1:
            raise InputError(f"spectrum.bands={bands}: must be at least 1.")
        if not 0 <= low < high:
            raise InputError(f"spectrum.low={low:g}, spectrum.high={high:g}: must be two rising frequencies, the first at least 0 Hz.")
        if not 0 < hop <= frame:
            raise InputError(f"spectrum.hop={hop:g}: must be above 0 and at most spectrum.frame={frame:g} seconds.")
        if not floor >= FAINTEST:
            raise InputError(f"spectrum.floor={floor:g}: must be at least {FAINTEST:g}, above 0 in single precision.")
        self.bands, self.low, self.high, self.frame, self.hop, self.floor = bands, low, high, frame, hop, floor

    def __call__(self, recording: Recording) -> Spectrogram:
        """Log-mel energies of a recording, which is padded to one frame where it is shorter.

        Raises:
            InputError: where the highest band lies above half the recording's rate.
        """
        samples, rate = recording
        if self.high > rate / 2:
            raise InputError(f"spectrum.high={self.high:g}: must be at most half the recording's rate of {rate} Hz.")
        frame, hop = max(2, round(self.frame * rate)), max(1, round(self.hop * rate))
        points = _fft_points(frame, rate, (self.high - self.low) / (self.bands + 1))
        filters, used = _filters_in_use(self.bands, self.low, self.high, rate, points)
        frames, count = _frames(samples, frame, hop)
        energies = _product(_power(frames, points, used), filters).reshape(-1, self.bands)[:count]  # [F, M]
        return Spectrogram(10 * np.log10(np.ascontiguousarray(energies.T) + np.float32(self.floor)), rate / hop)

    @property
    def centres(self) -> np.ndarray:
        """Centre of each band in Hz, [M]."""
        return _mel_edges(self.bands, self.low, self.high)[1:-1]


class LogMel(Transform):
    """Standardised log-mel windows [M, W] of a recording; mean and spread of each band come from the training split.

    Args:
        front_end: cleans the signal first.
        spectrum: makes the energies.
        windows: which parts of the recording become items.
        masking: hides and shifts parts of training windows; None leaves them as they are.
    """

    def __init__(
        self,
        front_end: HeartSoundFrontEnd | None = None,
        spectrum: MelSpectrum | None = None,
        windows: Windows | None = None,
        masking: SpectrumMasking | None = None,
    ) -> None:
        self.front_end, self.spectrum = front_end or HeartSoundFrontEnd(), spectrum or MelSpectrum()
        self.windows, self.masking = windows or Windows(), masking
        self.mean = np.zeros((self.spectrum.bands, 1), dtype=np.float32)
        self.spread = np.ones((self.spectrum.bands, 1), dtype=np.float32)

    def prepare(self, raw: Recording) -> Spectrogram:
        """Log-mel energies of the whole recording."""
        return self.spectrum(self.front_end(raw))

    def fit(self, prepared: Iterable[Spectrogram]) -> dict[str, Any]:
        """Mean and standard deviation of each band over all frames, each recording counting the same.

        Raises:
            InputError: where there is no recording.
        """
        moments = [(s.bands.mean(axis=1, dtype=np.float64), np.square(s.bands, dtype=np.float64).mean(axis=1)) for s in prepared]
        if not moments:
            raise InputError("the training split has no recording to take the spectrum's mean and spread from.")
        mean, square = np.mean(moments, axis=0)
        spread = np.sqrt(np.maximum(square - mean**2, 1e-4))
        state = {"mean": mean.tolist(), "spread": spread.tolist()}
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back mean and spread."""
        self.mean = np.asarray(state["mean"], dtype=np.float32)[:, None]
        self.spread = np.asarray(state["spread"], dtype=np.float32)[:, None]

    def __call__(self, prepared: Spectrogram, rng: np.random.Generator | None) -> list[Item]:
        """Windows of the recording, each float32 [M, W]."""
        windows = [(w - self.mean) / self.spread for w in self.windows(prepared.bands, prepared.rate, rng)]
        if rng is not None and self.masking is not None:
            windows = [self.masking(window, rng) for window in windows]
        return [torch.from_numpy(np.ascontiguousarray(window)) for window in windows]


class SpectrumMasking:
    """Hide bands and stretches of time (SpecAugment: Park et al. 2019, arXiv:1904.08779, section 2), and colour the spectrum.

    Standardised windows are masked with zeros, the mean of the training split. The colouring adds a random gain and a random tilt
    from the lowest to the highest band, as another sensor would.

    Args:
        time: longest stretch hidden, as a share of the window, 0 to 1.
        bands: most neighbouring bands hidden, as a share of all, 0 to 1.
        masks: stretches hidden in each direction.
        gain: standard deviation of the gain, in standard deviations of the bands.
        tilt: standard deviation of the tilt at either edge, in the same unit.
    """

    def __init__(self, time: float = 0.2, bands: float = 0.2, masks: int = 1, gain: float = 0.0, tilt: float = 0.0) -> None:
        for name, share in (("time", time), ("bands", bands)):
            if not 0 <= share <= 1:
                raise InputError(f"masking.{name}={share:g}: must be a share from 0 to 1.")
        for name, value in (("masks", masks), ("gain", gain), ("tilt", tilt)):
            if value < 0:
                raise InputError(f"masking.{name}={value:g}: must be at least 0.")
        self.time, self.bands, self.masks, self.gain, self.tilt = time, bands, masks, gain, tilt

    def __call__(self, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of a standardised window [M, W]."""
        slope = np.linspace(-1, 1, len(window), dtype=np.float32)[:, None]
        gain, tilt = rng.standard_normal(2).astype(np.float32)
        out = window + np.float32(self.gain) * gain + np.float32(self.tilt) * tilt * slope
        for _ in range(self.masks):
            out[_stretch(out.shape[0], self.bands, rng)] = 0.0
            out[:, _stretch(out.shape[1], self.time, rng)] = 0.0
        return out


def mel_filters(bands: int, low: float, high: float, rate: int, points: int) -> np.ndarray:
    """Triangular filters [M, points // 2 + 1] with peak 1, each rising from its lower neighbour's centre and falling to its upper's."""
    edges = _mel_edges(bands, low, high)
    frequencies = np.arange(points // 2 + 1) * rate / points
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


@lru_cache
def _filters_in_use(bands: int, low: float, high: float, rate: int, points: int) -> tuple[np.ndarray, range]:
    """The filters float32 [L, M] on the L lines that any of them reaches, and which these are."""
    filters = mel_filters(bands, low, high, rate, points)
    reached = np.flatnonzero(filters.max(axis=0))
    used = range(int(reached[0]), int(reached[-1]) + 1)
    return np.ascontiguousarray(filters[:, used].T, dtype=np.float32), used


def _frames(samples: np.ndarray, frame: int, hop: int) -> tuple[np.ndarray, int]:
    """Frames float32 [B, ROWS, frame] of samples [T], and how many there are; after these come zeros, up to whole blocks."""
    count = max(0, len(samples) - frame) // hop + 1
    blocks = -(-count // ROWS)
    padded = np.zeros((blocks * ROWS - 1) * hop + frame, dtype=np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    return np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop].reshape(blocks, ROWS, frame), count


def _power(frames: np.ndarray, points: int, used: range) -> np.ndarray:
    """Power [B, ROWS, L] of frames [B, ROWS, frame] under a Hann window, at the used lines of a transform of so many points.

    The periodic window is 0 at a frame's first sample and symmetric in the rest. So with phases counted from the middle, cosines go with
    the sum of the two samples equally far from it, sines with their difference: products with half as many factors.
    """
    frame = frames.shape[-1]
    if frame * len(used) > MANY:
        window = signal.get_window("hann", frame)
        window = (window / np.sqrt(np.sum(window**2))).astype(np.float32)
        return np.square(np.abs(fft.rfft(frames * window, points, workers=1)[..., used.start : used.stop]))
    pairs = frame // 2
    before, after = frames[..., 1 : pairs + 1], frames[..., : -pairs - 1 : -1]
    cosines, sines = _waves(frame, points, used)
    even, odd = _product(before + after, cosines), _product(before - after, sines)
    power = np.square(even, out=even)
    power += np.square(odd, out=odd)
    return power


@lru_cache
def _waves(frame: int, points: int, used: range) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines float32 [frame // 2, L] under the window, whose squares sum to 1."""
    window = signal.get_window("hann", frame)
    window /= np.sqrt(np.sum(window**2))
    first = np.arange(1, frame // 2 + 1)  # of each pair
    weights = np.where(2 * first == frame, 0.5, 1.0) * window[first]  # the middle makes a pair with itself
    angles = 2 * np.pi / points * np.outer(first - frame / 2, used)
    return (weights[:, None] * np.cos(angles)).astype(np.float32), (weights[:, None] * np.sin(angles)).astype(np.float32)


def _product(blocks: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Blocks [B, ROWS, K] times a matrix [K, N]: [B, ROWS, N]. Each block by itself, and over so much of K at a time as one thread does."""
    depth = max(1, ONE_THREAD // (ROWS * max(matrix.shape[1], NARROW)))
    product = blocks[..., :depth] @ matrix[:depth]
    for start in range(depth, len(matrix), depth):
        product += blocks[..., start : start + depth] @ matrix[start : start + depth]
    return product


def _mel_edges(bands: int, low: float, high: float) -> np.ndarray:
    mel_low, mel_high = 2595 * np.log10(1 + np.array([low, high]) / 700)
    return 700 * (10 ** (np.linspace(mel_low, mel_high, bands + 2) / 2595) - 1)


def _fft_points(frame: int, rate: int, spacing: float) -> int:
    """Points of a padded transform whose lines lie at most a third of the bands' mean spacing apart, so that no band is empty."""
    return fft.next_fast_len(max(frame, int(np.ceil(3 * rate / spacing))), real=True)


def _stretch(length: int, share: float, rng: np.random.Generator) -> slice:
    width = int(rng.integers(0, int(share * length) + 1))
    start = int(rng.integers(0, length - width + 1))
    return slice(start, start + width)
