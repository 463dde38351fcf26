"""Features that were made elsewhere, as a modality: there is nothing left to encode."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from mmdx.encoders.modules import all_real
from mmdx.errors import InputError, SampleError
from mmdx.types import Features, Transform


class GivenTransform(Transform):
    """Arrays of features [D] or [N, D] as tokens.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise InputError(f"transform.width={width}: must be at least 1.")
        self.width = width

    def prepare(self, raw: Any) -> np.ndarray:
        """Tokens float32 [N, D].

        Raises:
            SampleError: where they have another width or dimension, or aren't finite.
        """
        tokens = np.atleast_2d(np.asarray(raw, dtype=np.float32))
        if tokens.ndim != 2 or tokens.shape[1] != self.width or not len(tokens):
            wanted = f"[{self.width}] or [tokens, {self.width}]"
            raise SampleError(f"features have the shape {list(np.shape(raw))}, expected {wanted}; see transform.width.")
        if not np.isfinite(tokens).all():
            raise SampleError("features hold values that are not finite.")
        return tokens


class GivenFeatures(nn.Module):
    """Hands tokens [n, N, D] on as they are; it has no parameters.

    Args:
        transform: says the width.
    """

    def __init__(self, transform: GivenTransform) -> None:
        super().__init__()
        self.width = transform.width

    def forward(self, items: Tensor) -> Features:
        """Tokens [n, N, D]."""
        return all_real(items)
