"""M3Care: what an absent modality would have said is borrowed from similar patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_pooled, stack_presence
from mmdx.types import Features, FusionOutput


class M3Care(nn.Module):
    """M3Care (Zhang et al. 2022, KDD, arXiv:2210.17292), for any number of modalities, with learned patients as neighbours.

    1. Features ``h_m = relu(W_m x_m)``.
    2. Similarity of two patients by modality m, with Gaussian kernels k and a learned map phi_m:
       ``((1 - d_m) k(phi_m(h), phi_m(h')) + d_m) k(h, h')``; over modalities the mean of those that both have; below a learned threshold it is 0.
    3. Two graph convolutions over the neighbours' features give ``g_m``, ``relu(S relu(S h' U_m) V_m)`` with similarities S and biases.
    4. A modality that is there becomes ``a g_m + (1 - a) h_m`` with ``a = sigmoid(p.g) / (sigmoid(p.g) + sigmoid(q.h))``, an absent one g_m.
    5. Transformer layers over the M tokens, each with a learned embedding of its modality added, then ``relu`` of a linear layer of all of them,
       then the head.

    The loss ``stability``, ``| |phi_m(h_m)| - |h_m| |``, keeps phi near an isometry.

    Deviations: in the paper the neighbours are the other patients of the batch, in evaluation too, so that a patient's prediction would
    depend on who else is in the batch and a patient alone would have nobody to borrow from. Here they are P learned patients who have every
    modality, the same for all, in training and evaluation alike. The kernels, each a mean of three with bandwidths b/2, b and 2b, take b as
    learned, not as the batch's mean distance; LayerNorm without weights takes the place of BatchNorm before them; the threshold begins
    lower, since a learned patient is never the patient himself; U and V begin 1/P as large, so that sums over patients begin as means.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes the output layer from the width 2 H.
        hidden: the width H of features, a multiple of ``heads``.
        patients: the number P of learned patients.
        threshold: similarity, in 0 to 1, below which a patient is no neighbour; where it begins, it is learned.
        layers: number of Transformer layers, 0 for none.
        heads: attention heads a layer.
        stability: weight of the stability loss.
        dropout: dropout in the Transformer layers and before the head.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``aux_losses["stability"]``, weighted, a mean over the
        modalities that are there.

    Raises:
        InputError: where ``hidden`` isn't a multiple of ``heads``, ``patients`` is below 1, ``threshold`` not within 0 to 1 or ``stability`` below 0.
    """

    method = Method("missing", "Zhang et al. 2022, arXiv:2210.17292", absence="design")

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 64,
        patients: int = 32,
        threshold: float = 0.25,
        layers: int = 2,
        heads: int = 4,
        stability: float = 0.01,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden, heads=heads)
        if hidden % heads:
            raise InputError(f"fusion.hidden={hidden}: must be a multiple of fusion.heads={heads}.")
        if patients < 1:
            raise InputError(f"fusion.patients={patients}: must be 1 or more, the number of learned patients.")
        if not 0 < threshold < 1:
            raise InputError(f"fusion.threshold={threshold}: must lie between 0 and 1, both excluded, as a similarity does.")
        if stability < 0:
            raise InputError(f"fusion.stability={stability}: must be 0 or more, the weight of that loss.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.stability = stability
        self.project = nn.ModuleDict({m: nn.Sequential(nn.Linear(self.widths[m], hidden), nn.ReLU()) for m in self.modalities})
        self.patients = nn.ParameterDict({m: nn.Parameter(torch.randn(patients, hidden).relu()) for m in self.modalities})
        self.similarity = nn.ModuleDict({m: DeepKernel(hidden) for m in self.modalities})
        self.threshold = nn.Parameter(torch.tensor(math.log(threshold / (1 - threshold))))
        self.borrow = nn.ModuleDict({m: Borrow(hidden, patients) for m in self.modalities})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(hidden)) for m in self.modalities})
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, dropout, batch_first=True, norm_first=True) for _ in range(layers)
        )
        self.joint = nn.Sequential(nn.Linear(hidden * len(self.modalities), 2 * hidden), nn.ReLU(), nn.Dropout(dropout))
        self.head = head(2 * hidden)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        own = {m: self.project[m](x[m]) for m in self.modalities}  # each [B, H]
        known = {m: self.patients[m] for m in self.modalities}  # each [P, H]
        here = stack_presence(present, self.modalities)  # [B, M]
        near, stretch = self._similarities(own, here)  # [B, P], [B, M]
        among, _ = self._similarities(known, here.new_ones(len(known[self.modalities[0]]), len(known)))  # [P, P]
        tokens = [self.borrow[m](own[m], present[m], known[m], near, among) + self.kind[m] for m in self.modalities]
        sequence = torch.stack(tokens, dim=1)  # [B, M, H]
        for layer in self.layers:
            sequence = layer(sequence)
        unstable = stretch.where(here, 0.0).sum() / here.sum().clamp(min=1)
        return FusionOutput(self.head(self.joint(sequence.flatten(1))), aux_losses={"stability": self.stability * unstable})

    def _similarities(self, rows: Mapping[str, Tensor], here: Tensor) -> tuple[Tensor, Tensor]:
        """Of N patients who have the modalities ``here`` [N, M]: similarity to the learned ones, [N, P], 0 below the threshold; how much phi
        changes the length of each modality's features, [N, M].
        """
        found = [self.similarity[m](rows[m], self.patients[m]) for m in self.modalities]
        each = torch.stack([similarity for similarity, _ in found], dim=1)  # [N, M, P]
        mean = each.where(here[:, :, None], 0.0).sum(dim=1) / here.sum(dim=1, keepdim=True)
        threshold = self.threshold.sigmoid()
        above = (mean - threshold).relu()
        similarity = above + threshold.detach() * (above > 0)  # that of the mean; the threshold learns by way of ``above``
        return similarity, torch.stack([stretch for _, stretch in found], dim=1)


class DeepKernel(nn.Module):
    """Similarity of patients by one modality; see ``M3Care``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.map = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.share = nn.Parameter(torch.tensor(2.0))  # d_m before the sigmoid, as the authors begin
        self.bandwidth = nn.Parameter(torch.full((2,), math.log(2.0 * hidden)))  # of phi and of h; two unlike patients are 2 H apart

    def forward(self, rows: Tensor, patients: Tensor) -> tuple[Tensor, Tensor]:
        """[N, H] and [P, H] give similarities [N, P], in 0 to 1, and how much the map changes each row's length, [N]."""
        share, width = self.share.sigmoid(), self.bandwidth.exp()
        mapped = self.map(rows)
        by_map = self._kernel(mapped.relu(), self.map(patients).relu(), width[0])
        stretch = (torch.linalg.vector_norm(mapped, dim=-1) - torch.linalg.vector_norm(rows, dim=-1)).abs()
        return ((1 - share) * by_map + share) * self._kernel(rows, patients, width[1]), stretch

    def _kernel(self, rows: Tensor, patients: Tensor, width: Tensor) -> Tensor:
        a, b = (nn.functional.layer_norm(side, (self.hidden,)) for side in (rows, patients))
        distance = a.square().sum(dim=-1)[:, None] + b.square().sum(dim=-1) - 2 * a @ b.mT
        return torch.stack([(-distance / (width * factor)).exp() for factor in (0.5, 1.0, 2.0)]).mean(dim=0)


class Borrow(nn.Module):
    """One modality's token from a patient's own features and those of similar patients; see ``M3Care``."""

    def __init__(self, hidden: int, patients: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.weigh_borrowed, self.weigh_own = nn.Linear(hidden, 1), nn.Linear(hidden, 1)
        with torch.no_grad():
            self.first.weight /= patients
            self.second.weight /= patients

    def forward(self, own: Tensor, here: Tensor, known: Tensor, near: Tensor, among: Tensor) -> Tensor:
        """Features [B, H], presence [B], those of the learned patients [P, H], similarities [B, P] and [P, P] give tokens [B, H]."""
        passed = self.first(among @ known).relu()
        borrowed = self.second(near @ passed).relu()
        a, b = self.weigh_borrowed(borrowed).sigmoid(), self.weigh_own(own).sigmoid()
        share = a / (a + b)
        return (share * borrowed + (1 - share) * own).where(here[:, None], borrowed)
