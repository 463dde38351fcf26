"""A one-dimensional CNN for an ECG."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdx.types import Features


class EcgCNN(nn.Module):
    """Two convolutions over a lead; items [n, T] give 8 tokens [n, 8, D]."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            nn.Conv1d(1, width, 9, stride=4), nn.ReLU(), nn.Conv1d(width, width, 9, stride=4), nn.ReLU(), nn.AdaptiveAvgPool1d(8)
        )

    def layers(self) -> list[nn.Module]:
        return [*self.body]

    def forward(self, items: Tensor) -> Features:
        tokens = self.body(items[:, None]).transpose(1, 2)
        return Features(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device))
