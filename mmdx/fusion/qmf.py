"""Quality-aware late fusion: a modality counts the more, sample by sample, the surer its own decision is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.fusion.base import Method, modality_names, present_pooled, stack_presence
from mmdx.fusion.decision import by_modality, count_outputs, own_logits
from mmdx.types import Features, FusionOutput


class QualityAware(nn.Module):
    """Quality-aware multimodal fusion (QMF, Zhang et al. 2023, arXiv:2306.02050): ``logits = sum_m present_m * w_m l_m`` of the
    modalities' own logits ``l_m = head_m(x_m)``, with weights linear in the energy score of each,

    ``w_m = -scale * energy_m``, ``energy_m = -T log sum_k exp(l_mk / T)``,

    low where the modality is sure. An absent modality adds nothing. For one output, a question with two classes, the energy is that of the class
    logits ``l / 2`` and ``-l / 2``, so that yes and no count alike.

    Deviations: the paper's regularisation, which ranks the weights of two samples as their training losses of past epochs, needs the target and a
    memory of each sample, which a fusion does not have, and is left out; the offset of the weights is 0, as in the authors' code, where one
    of two variants stops the gradient at the weights; here it flows, as in the other. The paper also
    trains each modality's own logits: as ``training.per_modality_loss=auto`` does.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes one output layer a modality from its width.
        scale: weight of a modality for each unit of negative energy, above 0.
        temperature: T of the energy score, above 0.
        independent: each output is a question of its own with two classes, as in ``task=multilabel``, with weights of its own; one output is always
            so. Else the outputs are the classes of one question.

    Shapes:
        ``features[m].pooled`` [B, D_m] and ``present[m]`` [B] give ``logits`` [B, K], ``per_modality[m]`` [B, K] (0 where m is absent) and
        ``weights[m]`` [B], the modality's share of the sum of all weights' sizes.

    Raises:
        InputError: where ``scale`` or ``temperature`` is not above 0.
    """

    method = Method("decision", "Zhang et al. 2023, arXiv:2306.02050", absence="design", own_losses=True)

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        scale: float = 0.1,
        temperature: float = 1.0,
        independent: bool = False,
    ) -> None:
        super().__init__()
        for key, value in (("scale", scale), ("temperature", temperature)):
            if not value > 0:
                raise InputError(f"fusion.{key}={value}: must be above 0.")
        self.modalities = modality_names(widths)
        self.widths = {m: widths[m] for m in self.modalities}
        self.scale, self.temperature = scale, temperature
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})
        first = self.modalities[0]
        self.independent = independent or count_outputs(self.heads[first], widths[first]) == 1

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse; see the class for shapes."""
        x = present_pooled(features, present, self.widths)
        here = stack_presence(present, self.modalities)  # [B, M]
        votes = own_logits(self.heads, x, here)  # [B, M, K]
        weights = (-self.scale * self._energy(votes)).where(here[:, :, None], 0.0)  # [B, M, K], or [B, M, 1] for one question
        sizes = (weights.abs().mean(dim=-1) + 1e-12).where(here, 0.0)  # [B, M]
        shares = sizes / sizes.sum(dim=1, keepdim=True)
        return FusionOutput((weights * votes).sum(dim=1), by_modality(votes, self.modalities), by_modality(shares, self.modalities))

    def _energy(self, votes: Tensor) -> Tensor:
        """Energy score of each question, [..., K] of independent ones or [..., 1], from logits [..., K]."""
        scaled = votes / self.temperature
        if self.independent:
            return -self.temperature * torch.logaddexp(scaled / 2, -scaled / 2)
        return -self.temperature * scaled.logsumexp(dim=-1, keepdim=True)
