"""ShaSpec: what modalities share stands in for one that is absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class ShaSpec(nn.Module):
    """Shared-specific feature modelling (Wang et al. 2023, CVPR, arXiv:2307.14126), for any number of modalities.

    One encoder for all modalities gives shared features r_m, one of each modality's own gives specific features s_m. A present modality
    becomes ``f_m = r_m + P [r_m; s_m]``; in the place of an absent one stands the mean of the present modalities' r. The head reads
    ``[f_1; ...; f_M]``. Two further losses: ``alignment`` makes the r of one sample alike, ``|r_i - r_j|`` (L1, mean over units) over pairs of
    present modalities; ``domain`` is the cross-entropy of telling from s_m which modality it is of.

    Deviations: the encoders are one layer each, ``r_m = relu(S E_m LN(x_m))`` and ``s_m = relu(T_m LN(x_m))``, the entries E_m of each
    modality's own because widths differ. Alignment is the mean over all pairs, the authors' code has the sum over neighbouring ones. Its other
    forms in the paper (MMD, a confused domain classifier) are left out. Dropout is ours. The
    head stands for the decoder; with a linear one, as mmdx's tasks make it, logits are a sum over modalities of what each says.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the width of all f_m together, H times the number of modalities.
        hidden: the width H of shared and specific features.
        alignment: weight of the alignment loss.
        domain: weight of the domain loss.
        dropout: share of the units before the head dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``aux_losses``: ``alignment``, a mean over the pairs of
        modalities that a sample has, and ``domain``, a mean over the modalities that are there, both weighted.

    Raises:
        InputError: where a weight is below 0.
    """

    method = Method("missing", "Wang et al. 2023, arXiv:2307.14126", absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        alignment: float = 0.1,
        domain: float = 0.02,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        for name, weight in (("alignment", alignment), ("domain", domain)):
            if weight < 0:
                raise InputError(f"fusion.{name}={weight}: must be 0 or more, the weight of that loss.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.alignment, self.domain = alignment, domain
        self.enter = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(self.widths[m]), nn.Linear(self.widths[m], hidden)) for m in self.modalities})
        self.shared = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())
        self.specific = nn.ModuleDict(
            {m: nn.Sequential(nn.LayerNorm(self.widths[m]), nn.Linear(self.widths[m], hidden), nn.ReLU()) for m in self.modalities}
        )
        self.compose = nn.Linear(2 * hidden, hidden)
        self.classify_domain = nn.Linear(hidden, len(self.modalities))
        self.dropout = nn.Dropout(dropout)
        self.head = head(hidden * len(self.modalities))

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        shared = torch.stack([self.shared(self.enter[m](x[m])) for m in self.modalities], dim=1).where(here[:, :, None], 0.0)  # [B, M, H]
        specific = torch.stack([self.specific[m](x[m]) for m in self.modalities], dim=1).where(here[:, :, None], 0.0)
        composed = shared + self.compose(torch.cat([shared, specific], dim=-1))
        stand_in = shared.sum(dim=1) / here.sum(dim=1, keepdim=True)  # [B, H]
        fused = composed.where(here[:, :, None], stand_in[:, None])
        losses = {"alignment": self.alignment * _alignment(shared, here), "domain": self.domain * self._domain(specific, here)}
        return FusionOutput(self.head(self.dropout(fused.flatten(1))), aux_losses=losses)

    def _domain(self, specific: Tensor, here: Tensor) -> Tensor:
        """Mean cross-entropy of each present modality's specific features [B, M, H] against its own place."""
        own = self.classify_domain(specific).log_softmax(dim=-1).diagonal(dim1=1, dim2=2)  # [B, M]
        return -own.where(here, 0.0).sum() / here.sum().clamp(min=1)


def _alignment(shared: Tensor, here: Tensor) -> Tensor:
    """Mean distance, L1 over units, of the shared features [B, M, H] of two modalities of one sample; 0 where no sample has two."""
    pairs = list(combinations(range(shared.shape[1]), 2))
    if not pairs:
        return 0.0 * shared.sum()
    distance = torch.stack([(shared[:, i] - shared[:, j]).abs().mean(dim=-1) for i, j in pairs], dim=1)  # [B, pairs]
    both = torch.stack([here[:, i] & here[:, j] for i, j in pairs], dim=1)
    return distance.where(both, 0.0).sum() / both.sum().clamp(min=1)
