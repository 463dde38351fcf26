"""Tucker fusion: projections of each modality meet in a core tensor of constrained rank, whole (MUTAN) or in blocks (BLOCK)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.fusion.power import power_normalise
from mmdx.types import Features, FusionOutput


class Mutan(nn.Module):
    """Multimodal Tucker fusion (Ben-younes et al. 2017, arXiv:1705.06676, sections 3.2 and 3.3), for any number of modalities.

    ``h = sum_r prod_m (M_m^r p_m + c_m^r)``, elementwise products of R terms, with projections ``p_m = P_m LN(x_m)``; the head is the paper's
    W_o. It is a Tucker decomposition of the tensor of weights whose core has slices of rank R. Where m is absent, p_m is 0 and the constants
    c_m^r alone stand in the product.

    Deviations: features are layer-normed first; the constants, as in the authors' code, which start at a standard deviation of 0.9, at which a
    factor has a variance near 1; no tanh after the projections; the product runs over all modalities instead of two.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the width H of the projections and of the fused features (t_q, t_v and t_o in the paper).
        rank: R, the number of terms.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where the rank is below 1.
    """

    method = Method("multiplicative", "Ben-younes et al. 2017, arXiv:1705.06676")

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 128, rank: int = 5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        _check_rank(rank)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.rank = rank
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.factor = nn.ModuleDict({m: BlockLinear(1, hidden, rank * hidden) for m in self.modalities})
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        factors = [self.factor[m](self.project[m](x[m]).where(present[m][:, None], 0.0)) for m in self.modalities]  # [B, 1, R * H] each
        fused = reduce(torch.mul, factors).unflatten(-1, (self.rank, -1)).sum(dim=2)  # [B, 1, H]
        return FusionOutput(self.head(self.dropout(fused.flatten(1))))


class Block(nn.Module):
    """Block-superdiagonal fusion (Ben-younes et al. 2019, arXiv:1902.00038), for any number of modalities.

    A block-term decomposition: the projections ``p_m = P_m LN(x_m)`` are cut into C chunks, and chunk c of the fused features is
    ``norm(sum_r prod_m (M_m^cr p_m^c + c_m^cr))``, each chunk having a core tensor of its own, with slices of rank R. As in the authors' code a
    chunk is normalised by the signed square root and its length, and has the constants c_m^cr, which alone stand in the product where m is absent.

    Deviations: features are layer-normed first; the normalisation scales to a mean square of 1, with ``epsilon`` in the roots; the constants
    start at a standard deviation of 0.9, at which a factor has a variance near 1; the product runs over all modalities instead of two.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the width H of the projections and of the fused features, a multiple of ``blocks``.
        blocks: C, the number of chunks.
        rank: R, the number of terms a chunk.
        epsilon: what is added under the roots, which keeps their slope at 0 finite.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where rank, blocks or epsilon isn't above 0, or hidden no multiple of blocks.
    """

    method = Method("multiplicative", "Ben-younes et al. 2019, arXiv:1902.00038")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 256,
        blocks: int = 8,
        rank: int = 5,
        epsilon: float = 1e-3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, blocks=blocks)
        _check_rank(rank)
        if blocks < 1 or hidden % blocks:
            raise InputError(f"fusion.blocks={blocks}: must be a whole number above 0 that divides fusion.hidden={hidden}.")
        if not epsilon > 0:
            raise InputError(f"fusion.epsilon={epsilon}: must be above 0, as in 1e-3; it keeps the square root's slope at 0 finite.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.rank, self.epsilon = rank, epsilon
        chunk = hidden // blocks
        self.project = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden)) for m in self.modalities})
        self.factor = nn.ModuleDict({m: BlockLinear(blocks, chunk, rank * chunk) for m in self.modalities})
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        factors = [self.factor[m](self.project[m](x[m]).where(present[m][:, None], 0.0)) for m in self.modalities]  # [B, C, R * H / C] each
        fused = reduce(torch.mul, factors).unflatten(-1, (self.rank, -1)).sum(dim=2)  # [B, C, H / C]
        return FusionOutput(self.head(self.dropout(power_normalise(fused, self.epsilon).flatten(1))))


class BlockLinear(nn.Module):
    """A linear layer on each of C chunks of the input.

    Args:
        blocks: C, the number of chunks.
        inputs: the width of a chunk.
        outputs: O, the width of what is made of a chunk.

    Shapes:
        Inputs [B, C * inputs] give [B, C, O].
    """

    def __init__(self, blocks: int, inputs: int, outputs: int) -> None:
        super().__init__()
        limit = inputs**-0.5  # that of nn.Linear
        self.weight = nn.Parameter(torch.empty(blocks, inputs, outputs).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(blocks, outputs).normal_(std=0.9))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map each chunk; see the class for shapes."""
        chunks = inputs.unflatten(1, (self.weight.shape[0], -1))  # [B, C, inputs]
        return torch.einsum("bci,cio->bco", chunks, self.weight) + self.bias


def _check_rank(rank: int) -> None:
    if rank < 1:
        raise InputError(f"fusion.rank={rank}: must be a whole number above 0, the number of terms.")
