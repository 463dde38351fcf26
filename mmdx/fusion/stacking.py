"""Stacking: a second model decides from the modalities' decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, count_outputs, own_logits
from mmdx.types import Features, FusionOutput


class Stacking(nn.Module):
    """Stacked generalisation (Wolpert 1992, Neural Networks 5:241): a second-level model reads what the first-level models, one a modality, say.

    ``logits = head(z)`` with ``z = [l_1; ...; l_M; present_1; ...; present_M]``, where ``l_m = head_m(x_m)`` are the modality's own logits, 0 where
    it is absent: logistic regression on them. With ``hidden`` above 0 a layer ``dropout(gelu(W z))`` comes between. The presence indicators let the
    second level learn what to add where a modality is not there. The logistic regression begins as the mean of the logits: with both levels at zero,
    where output layers often begin, neither would ever move.

    Deviations: both levels are learned together on the same rows, the paper trains the second level on predictions for rows that the first was not
    trained on; ``training.per_modality_loss`` above 0 holds the first level to the target.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width, and the second level's after a hidden layer.
        hidden: width of the second level's hidden layer; 0 for none.
        dropout: share of the hidden units dropped in training.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K] and ``per_modality[m]`` [B, K], 0 where m is absent.

    Raises:
        InputError: where ``hidden`` is below 0.
    """

    method = Method("decision", "Wolpert 1992, Neural Networks 5:241", absence="design")

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], hidden: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        if hidden < 0:
            raise InputError(f"fusion.hidden={hidden}: must be 0, for logistic regression on the modalities' logits, or a width above it.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        first = self.modalities[0]
        outputs = count_outputs(self.heads[first], widths[first])
        said = len(self.modalities) * (outputs + 1)
        self.between = nn.Sequential(nn.Linear(said, hidden), nn.GELU(), nn.Dropout(dropout)) if hidden else nn.Identity()
        self.head = head(hidden) if hidden else _mean_of(len(self.modalities), outputs)

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        votes = own_logits(self.heads, x, here)  # [B, M, K]
        said = torch.cat([votes.flatten(1), here.to(votes.dtype)], dim=1)  # [B, M K + M]
        return FusionOutput(self.head(self.between(said)), by_modality(votes, self.modalities))


def _mean_of(modalities: int, outputs: int) -> nn.Linear:
    """From the logits of each modality and its presence, [M K + M] to [K], beginning as the mean of the logits."""
    layer = nn.Linear(modalities * (outputs + 1), outputs)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, : modalities * outputs] = torch.eye(outputs).repeat(1, modalities) / modalities
        layer.bias.zero_()
    return layer
