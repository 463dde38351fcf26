"""Tensor fusion: every product of features across modalities, of every order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled
from mmdx.types import Features, FusionOutput

WIDEST = 32
"""The largest rank chosen by itself: that of the paper's audio and visual embeddings."""


class TensorFusion(nn.Module):
    """Tensor Fusion Network (Zadeh et al. 2017, arXiv:1707.07250), for any number of modalities.

    ``h = dropout(gelu(W vec([z_1; 1] x ... x [z_M; 1]) + b))``, an outer product of the embeddings ``z_m = gelu(P_m LN(x_m))``, each with a
    constant 1: the tensor holds the embeddings, their products by two, by three, and so on. Where m is absent, z_m is 0 and its factor the
    unit vector of the constant, so that the terms without m are left.

    Deviations: the encoders and one layer P_m stand for the paper's embedding networks; one hidden layer instead of two; GELU for ReLU,
    under which an embedding this narrow can be wholly 0.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the fused width.
        hidden: the fused width H.
        rank: R, the width of each embedding; None takes the largest up to 32 at which the tensor fits (with ``size`` 4096: 32 for one and two
            modalities, 15 for three, 7 for four, 4 for five).
        size: the most entries the tensor may have; (R + 1) ** M is what it has.
        dropout: share of the fused units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K].

    Raises:
        InputError: where the tensor would have more than ``size`` entries.
    """

    method = Method("multiplicative", "Zadeh et al. 2017, arXiv:1707.07250")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        rank: int | None = None,
        size: int = 4096,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, size=size)
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.rank = _fitting_rank(rank, size, len(self.modalities))
        self.embed = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], self.rank), nn.GELU()) for m in self.modalities}
        )
        self.joint = nn.Sequential(nn.Linear((self.rank + 1) ** len(self.modalities), hidden), nn.GELU(), nn.Dropout(dropout))
        self.head = head(hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        factors = [F.pad(self.embed[m](x[m]).where(present[m][:, None], 0.0), (0, 1), value=1.0) for m in self.modalities]  # [B, R + 1] each
        tensor = factors[0]
        for factor in factors[1:]:
            tensor = (tensor[:, :, None] * factor[:, None, :]).flatten(1)
        return FusionOutput(self.head(self.joint(tensor)))


def _fitting_rank(rank: int | None, size: int, count: int) -> int:
    """The rank itself if the tensor of ``count`` modalities fits, or the largest that fits where it is None."""
    largest = max((r for r in range(1, WIDEST + 1) if (r + 1) ** count <= size), default=0)
    if largest == 0:
        raise InputError(f"fusion.size={size}: the tensor of {count} modalities has at least {2**count} entries; raise fusion.size to that.")
    if rank is None:
        return largest
    if rank < 1:
        raise InputError(f"fusion.rank={rank}: must be a whole number above 0, or null to take the largest that fits.")
    if (rank + 1) ** count > size:
        entries = (rank + 1) ** count
        raise InputError(
            f"fusion.rank={rank}: the tensor of {count} modalities would have {entries} entries, more than fusion.size={size}; "
            f"take a smaller rank ({largest} fits), null to have it chosen, or raise fusion.size."
        )
    return rank
