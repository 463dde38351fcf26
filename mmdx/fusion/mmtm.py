"""MMTM: all modalities together decide how much each channel of each of them counts, between the layers of their streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, check_counts, modality_names, present_tokens, stack_presence
from mmdx.types import Features, FusionOutput


class MultimodalTransferModule(nn.Module):
    """Squeeze and excitation across modalities (Joze et al. 2020, arXiv:1911.08670), on tokens in place of feature maps.

    Tokens ``x_m = relu(W_m LN(t))`` are squeezed to their mean S_m; ``Z = relu(W [S_1; ...; S_M] + b)`` is what they have in common, and gates
    ``2 sigmoid(E_m Z + e_m)`` multiply the channels of x_m. A second layer ``relu(V_m .)`` and the mean over tokens give what an output layer of
    each modality reads, and the logits are the mean of those of the modalities present, as the paper's streams are joined. S_m is 0 where m is
    absent. With one modality it is a squeeze-and-excitation block (Hu et al. 2018, arXiv:1709.01507).

    Deviations: one module between two token-wise linear layers, where the paper has several between blocks of convolutions; any number of
    modalities. The ReLU of Z is that of the authors' code, the 2 of the gates (about 1 at the start) the paper's and not their code's.

    Args:
        widths: D_m, the width of each modality's tokens.
        head: makes one output layer a modality from the width of its stream.
        hidden: the width H of each stream.
        ratio: Z is by this much narrower than all streams together, 1 or more; 4 in the paper, while ``ratio=4`` of the authors' code makes it 2.
        dropout: share of the pooled units dropped in training.

    Shapes:
        ``features[m].tokens`` [B, N_m, D_m], ``features[m].mask`` [B, N_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K]
        (0 where m is absent) and ``weights[m]`` [B], the share of each present modality.

    Raises:
        InputError: where ``ratio`` is below 1.
    """

    method = Method("conditioning", "Joze et al. 2020, arXiv:1911.08670", tokens=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        hidden: int = 128,
        ratio: float = 4.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_counts(hidden=hidden)
        if not ratio >= 1:
            raise InputError(f"fusion.ratio={ratio}: must be 1 or more, by what the common representation is narrower than the streams.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        joint = hidden * len(self.modalities)
        common = max(1, int(joint / ratio))
        self.first = nn.ModuleDict({m: nn.Sequential(nn.LayerNorm(widths[m]), nn.Linear(widths[m], hidden), nn.ReLU()) for m in self.modalities})
        self.squeeze = nn.Sequential(nn.Linear(joint, common), nn.ReLU())
        self.excite = nn.ModuleDict({m: nn.Linear(common, hidden) for m in self.modalities})
        self.second = nn.ModuleDict({m: nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU()) for m in self.modalities})
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({m: head(hidden) for m in self.modalities})

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        tokens = present_tokens(features, present, self.widths)
        streams = {m: Features(self.first[m](own.values), own.real) for m, own in tokens.items()}
        common = self.squeeze(torch.cat([streams[m].pooled for m in self.modalities], dim=-1))
        votes = []
        for m in self.modalities:
            gate = 2 * self.excite[m](common).sigmoid()  # [B, H]
            pooled = Features(self.second[m](gate[:, None] * streams[m].tokens), streams[m].mask).pooled  # [B, H]
            votes.append(self.heads[m](self.dropout(pooled)).where(present[m][:, None], 0.0))
        here = stack_presence(present, self.modalities)  # [B, M]
        shares = here / here.sum(dim=1, keepdim=True)
        return FusionOutput(
            (shares[:, :, None] * torch.stack(votes, dim=1)).sum(dim=1),
            per_modality=dict(zip(self.modalities, votes, strict=True)),
            weights=dict(zip(self.modalities, shares.unbind(dim=1), strict=True)),
        )
