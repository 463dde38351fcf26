"""A heart-sound encoder of two branches: what a CNN finds in log-mel windows, and spectral statistics of the whole recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.data.raw import Recording
from mmdx.encoders.audio import LogMelCNN, one_token
from mmdx.encoders.log_mel import LogMel, Spectrogram
from mmdx.encoders.spectral import SpectralStatistics, StatisticsTransform
from mmdx.errors import InputError
from mmdx.types import Features, Item, Transform


class Sound(NamedTuple):
    """One recording, prepared for both branches."""

    spectrogram: Spectrogram
    statistics: np.ndarray


class SoundAndStatisticsTransform(Transform):
    """Of each window a dict: ``log_mel`` [M, W] of the window and ``statistics`` [F] of the recording that it is from.

    Args:
        log_mel: makes the windows; its front end cleans the signal for both.
        statistics: measures the recording; its own front end is not used.
    """

    def __init__(self, log_mel: LogMel | None = None, statistics: StatisticsTransform | None = None) -> None:
        self.log_mel, self.statistics = log_mel or LogMel(), statistics or StatisticsTransform()

    def prepare(self, raw: Recording) -> Sound:
        """Log-mel energies and statistics of the whole recording."""
        clean = self.log_mel.front_end(raw)
        return Sound(self.log_mel.spectrum(clean), self.statistics.statistics(clean))

    def fit(self, prepared: Iterable[Sound]) -> dict[str, Any]:
        """Fit both branches."""
        sounds = list(prepared)
        return {
            "log_mel": self.log_mel.fit(s.spectrogram for s in sounds),
            "statistics": self.statistics.fit(s.statistics for s in sounds),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back the state of both branches."""
        self.log_mel.load(state["log_mel"])
        self.statistics.load(state["statistics"])

    def __call__(self, prepared: Sound, rng: np.random.Generator | None) -> list[Item]:
        """Windows of the recording."""
        statistics = self.statistics(prepared.statistics, rng)
        windows = self.log_mel(prepared.spectrogram, rng)
        return [{"log_mel": window, "statistics": statistics} for window in windows]  # type: ignore[dict-item]


class SoundAndStatistics(nn.Module):
    """``LogMelCNN`` and ``SpectralStatistics`` side by side: their tokens concatenated.

    Args:
        transform: makes the items.
        channels: of the CNN's blocks.
        hidden: units of the statistics' hidden layer.
        width: D of the token, half from either branch.
        cnn_dropout: share of the CNN's pooled features dropped in training.
        input_dropout: share of the statistics dropped in training.
        dropout: share of the statistics' hidden units dropped in training.

    Shapes:
        A dict of ``log_mel`` [n, M, W] and ``statistics`` [n, F] gives one token each: tokens [n, 1, D].
    """

    def __init__(
        self,
        transform: SoundAndStatisticsTransform | None = None,
        channels: Sequence[int] = (64, 96, 128),
        hidden: int = 256,
        width: int = 256,
        cnn_dropout: float = 0.2,
        input_dropout: float = 0.3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise InputError(f"width={width}: must be an even number, since either branch gives half of it.")
        self.transform, self.width = transform or SoundAndStatisticsTransform(), width
        self.sound = LogMelCNN(self.transform.log_mel, channels, width=width // 2, dropout=cnn_dropout)
        self.statistics = SpectralStatistics(self.transform.statistics, hidden, width // 2, input_dropout, dropout)

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        branches = [self.sound(items["log_mel"]).tokens, self.statistics(items["statistics"]).tokens]
        return one_token(torch.cat(branches, dim=-1).squeeze(1))

    def layers(self) -> list[nn.Module]:
        """The layers of the CNN, then those of the statistics, with the two projections last."""
        *sound, project_sound = self.sound.layers()
        *statistics, project_statistics = self.statistics.layers()
        return [*sound, *statistics, nn.ModuleList([project_sound, project_statistics])]
