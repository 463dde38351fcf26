"""Compact bilinear pooling: a random sketch of all products across modalities, without making them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.fusion.power import power_normalise
from mmdx.types import Features, FusionOutput


class CompactBilinearPooling(nn.Module):
    """Multimodal Compact Bilinear pooling (Fukui et al. 2016, arXiv:1606.01847), for any number of modalities.

    The outer product of all modalities' features, seen through a count sketch: feature i of m goes to a random bin of d with a random sign, and
    the sketch of an outer product is the circular convolution of the sketches, a product of their Fourier transforms. The head reads
    ``dropout(norm(F^-1(F S_1 [z_1; 1] * ... * F S_M [z_M; 1])))``, ``z_m = LN(x_m) / sqrt(D_m)`` of length about 1 and ``norm`` the signed square
    root and then the length. Where m is absent, z_m is 0 and the constant 1 leaves the products without m.

    Deviations: features are layer-normed first; the constant, without which nothing would be left of a modality alone; 1,024 bins by default
    instead of 16,000; the normalisation scales to a mean square of 1, with ``epsilon`` in the roots.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the sketch's width.
        size: d, the number of bins.
        seed: of the bins and signs, which are drawn once and not learned.
        epsilon: what is added under the roots, which keeps their slope at 0 finite.
        dropout: share of the sketch's entries dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where size is below 2 or epsilon isn't above 0.
    """

    method = Method("multiplicative", "Fukui et al. 2016, arXiv:1606.01847")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        size: int = 1024,
        seed: int = 0,
        epsilon: float = 1e-3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(size=size)
        if size < 2:
            raise InputError(f"fusion.size={size}: must be a whole number above 1, the number of bins.")
        if not epsilon > 0:
            raise InputError(f"fusion.epsilon={epsilon}: must be above 0, as in 1e-3; it keeps the square root's slope at 0 finite.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.size, self.epsilon = size, epsilon
        draw = torch.Generator().manual_seed(seed)
        self.norm = nn.ModuleDict({m: nn.LayerNorm(widths[m]) for m in self.modalities})
        self.sketch = nn.ModuleDict({m: CountSketch(widths[m] + 1, size, draw) for m in self.modalities})
        self.dropout = nn.Dropout(dropout)
        self.head = head(size)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        spectra = []
        for m in self.modalities:
            z = (self.norm[m](x[m]) / math.sqrt(self.widths[m])).where(present[m][:, None], 0.0)
            spectra.append(torch.fft.rfft(self.sketch[m](F.pad(z, (0, 1), value=1.0))))  # [B, d // 2 + 1] each
        pooled = torch.fft.irfft(reduce(torch.mul, spectra), n=self.size)  # [B, d]
        return FusionOutput(self.head(self.dropout(power_normalise(pooled, self.epsilon))))


class CountSketch(nn.Module):
    """Count sketch (Charikar et al. 2002, ICALP): entry i of the input is added, with its sign, to its bin.

    Args:
        width: D, that of the input.
        size: d, the number of bins.
        draw: where bins and signs come from; they are buffers, and with the model's weights in its state.

    Shapes:
        Inputs [B, D] give [B, d], always in single precision: the Fourier transform has no shorter one.
    """

    bins: Tensor
    signs: Tensor

    def __init__(self, width: int, size: int, draw: torch.Generator) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("bins", torch.randint(size, (width,), generator=draw))
        self.register_buffer("signs", torch.randint(2, (width,), generator=draw) * 2.0 - 1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sketch; see the class for shapes."""
        signed = inputs.float() * self.signs
        return signed.new_zeros(signed.shape[0], self.size).index_add(1, self.bins, signed)
