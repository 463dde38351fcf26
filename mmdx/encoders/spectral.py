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
_LIMIT = 8.0


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
    """Statistics of a whole recording, standardised with mean and spread of the training split and limited to 8 spreads.

    Args:
        front_end: cleans the signal first.
        statistics: what is measured on it.
    """

    def __init__(self, front_end: HeartSoundFrontEnd | None = None, statistics: Statistics | None = None) -> None:
        self.front_end, self.statistics = front_end or HeartSoundFrontEnd(), statistics or Statistics()
        self.mean, self.spread = np.zeros(1, np.float32), np.ones(1, np.float32)

    @property
    def size(self) -> int:
        """Number of statistics F."""
        return len(self.statistics.names)

    def prepare(self, raw: Recording) -> np.ndarray:
        """Statistics, float32 [F]."""
        return self.statistics(self.front_end(raw))

    def fit(self, prepared: Iterable[np.ndarray]) -> dict[str, Any]:
        """Mean and standard deviation of each statistic.

        Raises:
            InputError: where there is no recording.
        """
        rows = list(prepared)
        if not rows:
            raise InputError("the training split has no recording to take the statistics' mean and spread from.")
        values = np.stack(rows).astype(np.float64)
        spread = values.std(axis=0)
        state = {"mean": values.mean(axis=0).tolist(), "spread": np.where(spread > 1e-6, spread, 1.0).tolist()}
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back mean and spread."""
        self.mean, self.spread = (np.asarray(state[name], dtype=np.float32) for name in ("mean", "spread"))

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> Item:
        """Standardised statistics, float32 [F]."""
        return torch.from_numpy(np.clip((prepared - self.mean) / self.spread, -_LIMIT, _LIMIT).astype(np.float32))


class SpectralStatistics(nn.Module):
    """An MLP on spectral statistics.

    Args:
        transform: measures them.
        hidden: units of the hidden layer.
        width: D of the token.
        dropout: share of statistics and of hidden units dropped in training.

    Shapes:
        Statistics [n, F] give one token each: tokens [n, 1, D].
    """

    def __init__(
        self, transform: StatisticsTransform | None = None, hidden: int = 128, width: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if min(hidden, width) < 1:
            raise InputError(f"hidden={hidden}, width={width}: must both be at least 1.")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout={dropout}: must be at least 0 and below 1.")
        self.transform, self.width = transform or StatisticsTransform(), width
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.transform.size, hidden), nn.LayerNorm(hidden), nn.ReLU())
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, width))

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        return one_token(self.project(self.hidden(items)))

    def layers(self) -> list[nn.Module]:
        """Hidden layer, then the projection."""
        return [self.hidden, self.project]
