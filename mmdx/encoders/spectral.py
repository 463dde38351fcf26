"""Spectral statistics of a sound: one fixed vector a recording, and an encoder on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from scipy import signal, stats
from torch import Tensor, nn

from mmdx.data.raw import Recording
from mmdx.encoders.audio import one_token
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, resample
from mmdx.encoders.log_mel import MelSpectrum
from mmdx.errors import InputError
from mmdx.types import Features, Item, Transform

PERCENTILES = (5, 25, 50, 75, 95)
LAGS = np.arange(1, 21) / 10
"""Lags in seconds at which the envelope's autocorrelation is a statistic."""
ENVELOPE_RATE = 100
"""Rate of the envelope in Hz."""
SHORTEST_BEAT, LONGEST_BEAT = 60 / 180, 60 / 40
"""Seconds from one beat to the next at 180 and at 40 beats a minute, between which the heart rate is looked for."""

class Statistics:
    """328 statistics by default: of 32 log-mel bands the mean, the spread and five percentiles (7 * 32); the modulation spectrum of 8
    groups of bands at 10 rates (80); the autocorrelation of the envelope at 20 lags, its peak's height and the beat it gives;
    skewness and kurtosis of the samples.

    Args:
        spectrum: makes the log-mel energies.
        groups: groups of neighbouring bands for the modulation spectrum; divides the number of bands.
        rates: edges of the modulation rates in Hz: ``rates + 1`` of them, evenly spaced in log from ``slowest`` to ``fastest``.
        slowest, fastest: in Hz.
    """

    def __init__(
        self, spectrum: MelSpectrum | None = None, groups: int = 8, rates: int = 10, slowest: float = 0.5, fastest: float = 20.0
    ) -> None:
        self.spectrum = spectrum or MelSpectrum()
        if groups < 1 or self.spectrum.bands % groups:
            raise InputError(f"statistics.groups={groups}: must divide the {self.spectrum.bands} bands of the spectrum.")
        if rates < 1:
            raise InputError(f"statistics.rates={rates}: must be at least 1.")
        if not 0 < slowest < fastest:
            raise InputError(f"statistics.slowest={slowest:g}, fastest={fastest:g}: must be two rising rates above 0 Hz.")
        self.groups, self.edges = groups, np.geomspace(slowest, fastest, rates + 1)

    @property
    def names(self) -> list[str]:
        """What each statistic is, in order."""
        bands = [f"{centre:.0f}Hz" for centre in self.spectrum.centres]
        kinds = ["mean", "spread", *(f"percentile{p}" for p in PERCENTILES)]
        groups = [f"{group.mean():.0f}Hz" for group in np.split(self.spectrum.centres, self.groups)]
        modulation = [f"modulation_{g}_{low:.2g}Hz" for g in groups for low in self.edges[:-1]]
        envelope = [f"autocorrelation_{lag:.1f}s" for lag in LAGS]
        return [f"{kind}_{band}" for kind in kinds for band in bands] + modulation + envelope + ["peak", "beat", "skewness", "kurtosis"]

    def __call__(self, recording: Recording) -> np.ndarray:
        """Statistics of a clean recording, float32 [F]."""
        bands, rate = self.spectrum(recording)
        bands = bands.astype(np.float64)
        correlation = autocorrelation(envelope(recording))
        peak, beat = strongest_beat(correlation)
        lags = np.round(LAGS * ENVELOPE_RATE).astype(int)
        samples = recording.samples.astype(np.float64)
        shape = (stats.skew(samples), stats.kurtosis(samples)) if samples.std() > 0 else (0.0, 0.0)
        return np.concatenate(
            [
                bands.mean(axis=1),
                bands.std(axis=1),
                *np.percentile(bands, PERCENTILES, axis=1),
                modulation_spectrum(bands.reshape(self.groups, -1, bands.shape[1]).mean(axis=1), rate, self.edges).ravel(),
                np.pad(correlation, (0, max(0, lags[-1] + 1 - len(correlation))))[lags],
                [peak, beat],
                np.sign(shape) * np.log1p(np.abs(shape)),
            ]
        ).astype(np.float32)


def modulation_spectrum(envelopes: np.ndarray, rate: float, edges: np.ndarray) -> np.ndarray:
    """Log10 of the mean power density of envelopes [G, F] at modulation rates between neighbouring edges, [G, len(edges) - 1]."""
    segment = min(envelopes.shape[1], round(4 * rate))
    points = max(segment, int(2 ** np.ceil(np.log2(4 * rate / np.diff(edges).min()))))
    frequencies, power = signal.welch(envelopes, rate, nperseg=segment, nfft=points, axis=1)
    place = np.searchsorted(edges, frequencies, side="right") - 1
    inside = [np.flatnonzero(place == b) for b in range(len(edges) - 1)]
    means = [power[:, lines].mean(axis=1) if len(lines) else np.zeros(len(power)) for lines in inside]
    return np.log10(np.stack(means, axis=1) + 1e-6)


def envelope(recording: Recording) -> np.ndarray:
    """Smoothed amplitude of a recording at ``ENVELOPE_RATE``, [E]."""
    return resample(np.abs(recording.samples.astype(np.float64)), recording.rate, ENVELOPE_RATE)


def autocorrelation(values: np.ndarray) -> np.ndarray:
    """Autocorrelation of values [E] about their mean at lags 0 to E - 1, 1 at lag 0 (the estimate that falls off with the lag); zeros
    for constant values.
    """
    centred = values - values.mean()
    products = signal.correlate(centred, centred, method="fft")[len(centred) - 1 :]
    return products / products[0] if products[0] > 1e-12 else np.zeros_like(products)


def strongest_beat(correlation: np.ndarray) -> tuple[float, float]:
    """Height of the highest autocorrelation at the lags of a heart beat, and that lag in seconds; zeros where it is too short."""
    first, last = round(SHORTEST_BEAT * ENVELOPE_RATE), round(LONGEST_BEAT * ENVELOPE_RATE)
    lags = correlation[first : last + 1]
    if not len(lags):
        return 0.0, 0.0
    best = int(lags.argmax())
    return float(lags[best]), (first + best) / ENVELOPE_RATE


class StatisticsTransform(Transform):
    """Statistics of a whole recording as ranks within the training split, evenly spread from -sqrt(3) to sqrt(3) (unit spread).

    A rank bounds what an outlier, or another sensor, can do; in between the quantiles of the training split it is interpolated.

    Args:
        front_end: cleans the signal first.
        statistics: what is measured on it.
        quantiles: quantiles kept of each statistic, at least 2.
    """

    def __init__(
        self, front_end: HeartSoundFrontEnd | None = None, statistics: Statistics | None = None, quantiles: int = 101
    ) -> None:
        if quantiles < 2:
            raise InputError(f"transform.quantiles={quantiles}: must be at least 2.")
        self.front_end, self.statistics = front_end or HeartSoundFrontEnd(), statistics or Statistics()
        self.quantiles = np.tile(np.linspace(0, 1, quantiles)[:, None], (1, self.size))  # [Q, F]

    @property
    def size(self) -> int:
        """Number of statistics F."""
        return len(self.statistics.names)

    def prepare(self, raw: Recording) -> np.ndarray:
        """Statistics, float32 [F]."""
        return self.statistics(self.front_end(raw))

    def fit(self, prepared: Iterable[np.ndarray]) -> dict[str, Any]:
        """Quantiles of each statistic.

        Raises:
            InputError: where there is no recording.
        """
        rows = list(prepared)
        if not rows:
            raise InputError("the training split has no recording to take the statistics' quantiles from.")
        quantiles = np.quantile(np.stack(rows).astype(np.float64), np.linspace(0, 1, len(self.quantiles)), axis=0)
        state = {"quantiles": [[float(f"{value:.7g}") for value in row] for row in quantiles]}
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back the quantiles."""
        self.quantiles = np.asarray(state["quantiles"], dtype=np.float64)

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> Item:
        """Ranks, float32 [F]."""
        return torch.from_numpy(((ranks(prepared, self.quantiles) - 0.5) * np.sqrt(12)).astype(np.float32))


def ranks(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Rank, 0 to 1, of each of the values [F] among its ascending quantiles [Q, F], interpolated; the middle one among equal ones."""
    last, features = len(quantiles) - 1, np.arange(len(values))
    below = np.count_nonzero(quantiles < values, axis=0)  # [F]
    upto = below.copy()
    equal = np.flatnonzero((below <= last) & (quantiles[np.minimum(below, last), features] == values))
    if len(equal):
        upto[equal] = np.count_nonzero(quantiles[:, equal] <= values[equal], axis=0)
    left, right = quantiles[np.maximum(upto - 1, 0), features], quantiles[np.minimum(upto, last), features]
    gap = right - left
    inside = np.divide(values - left, gap, out=np.zeros_like(gap), where=(gap > 0) & (upto > 0))
    place = np.where(upto > below, (below + upto - 1) / 2, upto - 1 + inside)
    return np.minimum(np.maximum(place, 0), last) / last


class SpectralStatistics(nn.Module):
    """One hidden layer on spectral statistics, whose units are the token.

    Args:
        transform: measures them.
        width: D of the token.
        input_dropout: share of the statistics dropped in training.
        dropout: share of the token's units dropped in training.

    Shapes:
        Statistics [n, F] give one token each: tokens [n, 1, D].
    """

    def __init__(
        self,
        transform: StatisticsTransform | None = None,
        width: int = 256,
        input_dropout: float = 0.3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"width={width}: must be at least 1.")
        for name, share in (("input_dropout", input_dropout), ("dropout", dropout)):
            if not 0 <= share < 1:
                raise InputError(f"{name}={share}: must be at least 0 and below 1.")
        self.transform, self.width = transform or StatisticsTransform(), width
        self.hidden = nn.Sequential(
            nn.Dropout(input_dropout), nn.Linear(self.transform.size, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout)
        )

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        return one_token(self.hidden(items))

    def layers(self) -> list[nn.Module]:
        """The hidden layer."""
        return [self.hidden]
