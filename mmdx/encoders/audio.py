"""Audio encoders that train from scratch: a CNN on log-mel windows, another on the waveform."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, Windows
from mmdx.encoders.log_mel import LogMel
from mmdx.errors import InputError
from mmdx.types import Features, Item, Transform


class LogMelCNN(nn.Module):
    """A small CNN on log-mel windows: blocks of convolution over time, with the bands as channels, batch norm, ReLU and maximum over
    pairs of frames; mean and maximum over time; one hidden layer with layer norm and GELU, whose units are the token.

    Args:
        transform: makes the windows.
        channels: of each block; every block halves the number of frames.
        kernel: frames that a convolution sees, odd.
        width: D of the token.
        dropout: share of the pooled features dropped in training.

    Shapes:
        Windows [n, M, W] give one token each: tokens [n, 1, D].
    """

    def __init__(
        self,
        transform: LogMel | None = None,
        channels: Sequence[int] = (64, 96, 128),
        kernel: int = 5,
        width: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        _check(channels, kernel, width, dropout)
        self.transform, self.width = transform or LogMel(), width
        sizes = [self.transform.spectrum.bands, *channels]
        self.blocks = nn.ModuleList(_block(before, after, kernel, stride=1) for before, after in pairwise(sizes))
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], width), nn.LayerNorm(width), nn.GELU())

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        for block in self.blocks:
            items = block(items)
        return one_token(self.project(torch.cat([items.mean(dim=2), items.amax(dim=2)], dim=1)))

    def layers(self) -> list[nn.Module]:
        """Blocks, then the projection."""
        return [*self.blocks, self.project]


class Waveform(Transform):
    """Windows [W] of the clean waveform.

    Args:
        front_end: cleans the signal first.
        windows: which parts of the recording become items.
        gain: standard deviation of a random gain in training, in dB.
        noise: standard deviation of white noise added in training, as a share of the recording's.
    """

    def __init__(
        self,
        front_end: HeartSoundFrontEnd | None = None,
        windows: Windows | None = None,
        gain: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        for name, value in (("gain", gain), ("noise", noise)):
            if value < 0:
                raise InputError(f"transform.{name}={value:g}: must be at least 0.")
        self.front_end, self.windows = front_end or HeartSoundFrontEnd(), windows or Windows()
        self.gain, self.noise = gain, noise

    def prepare(self, raw: Recording) -> Recording:
        """The clean recording."""
        return self.front_end(raw)

    def __call__(self, prepared: Recording, rng: np.random.Generator | None) -> list[Item]:
        """Windows of the recording, each float32 [W]."""
        windows = self.windows(prepared.samples, prepared.rate, rng)
        if rng is not None:
            windows = [self._vary(window, rng) for window in windows]
        return [torch.from_numpy(np.ascontiguousarray(window)) for window in windows]

    def _vary(self, window: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        factor = 10 ** (self.gain * rng.standard_normal() / 20)
        noise = self.noise * rng.standard_normal(window.shape, dtype=np.float32) if self.noise else 0.0
        return (factor * window + noise).astype(np.float32)


class WaveformCNN(nn.Module):
    """A 1-D CNN on the waveform: strided convolutions with batch norm and ReLU, then mean and maximum over time.

    Args:
        transform: makes the windows.
        channels: of each block; every block divides the length by 4.
        kernel: taps of each convolution, odd.
        width: D of the token.
        dropout: share of the pooled features dropped in training.

    Shapes:
        Windows [n, W] give one token each: tokens [n, 1, D].
    """

    def __init__(
        self,
        transform: Waveform | None = None,
        channels: Sequence[int] = (32, 64, 128, 128),
        kernel: int = 15,
        width: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        _check(channels, kernel, width, dropout)
        self.transform, self.width = transform or Waveform(), width
        self.blocks = nn.ModuleList(_block(before, after, kernel, stride=2) for before, after in pairwise([1, *channels]))
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], width))

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        x = items[:, None]
        for block in self.blocks:
            x = block(x)
        return one_token(self.project(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)))

    def layers(self) -> list[nn.Module]:
        """Blocks, then the projection."""
        return [*self.blocks, self.project]


def one_token(vectors: Tensor) -> Features:
    """Vectors [n, D] as one real token each."""
    return Features(vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.bool, device=vectors.device))


def _block(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv1d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True))


def _check(channels: Sequence[int], kernel: int, width: int, dropout: float) -> None:
    if not channels or min(channels) < 1:
        raise InputError(f"channels={list(channels)}: must be at least one number above 0.")
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"kernel={kernel}: must be an odd number above 0.")
    if width < 1:
        raise InputError(f"width={width}: must be at least 1.")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout}: must be at least 0 and below 1.")
