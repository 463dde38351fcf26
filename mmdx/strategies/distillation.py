"""A model with everything teaches itself with less."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from mmdx.strategies.base import Strategy, mean_over, require, with_loss
from mmdx.types import Features, FusionOutput

KINDS = ("binary", "multiclass", "multilabel", "ordinal", "regression", "survival")


class FullModality(Strategy):
    """Distillation from all modalities to some (Hinton et al. 2015, arXiv:1503.02531, section 2; from a multimodal teacher to a student with fewer
    modalities: Wang et al. 2020, Multimodal learning with incomplete modalities by knowledge distillation, KDD, doi:10.1145/3394486.3403234).

    In training the fusion inside sees each sample twice: with all it has, the teacher t, whose logits are the output, and with modalities hidden at
    random, the student s. ``L = weight * T^2 * KL(p(t / T) || p(s / T))``, the mean over the rows from which something was hidden; p is the
    softmax for classes and the sigmoid of each logit for a binary outcome or labels (mean over labels). Logits of another kind (numbers, levels,
    hazards) are compared by ``(t - s)^2``, as Ba & Caruana do (2014, arXiv:1312.6184). No gradient reaches the teacher through L.

    Deviations: teacher and student share their weights and learn together, in the place of a teacher trained beforehand. Hidden at the rate of each
    modality, never the last one; what the data lacks or ``training.modality_dropout`` takes away is hidden from the teacher too, so set that to 0.
    Of the losses that the fusion inside adds, the teacher's pass counts. A step costs two passes of the fusion.

    Args:
        widths, fusion: as of ``Strategy``.
        kind: of the task; parts.py gives the run's.
        weight: of the loss.
        temperature: T.
        rate: at which each modality is hidden.

    Shapes:
        as of the fusion inside; ``aux_losses["distillation"]``.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        fusion: nn.Module,
        kind: str = "binary",
        weight: float = 1.0,
        temperature: float = 2.0,
        rate: float = 0.5,
    ) -> None:
        super().__init__(widths, fusion)
        require(kind in KINDS, "distillation.kind", kind, f"one of {', '.join(KINDS)}")
        require(weight >= 0, "distillation.weight", weight, "0 or more")
        require(temperature > 0, "distillation.temperature", temperature, "greater than 0")
        require(0 < rate <= 1, "distillation.rate", rate, "above 0 and at most 1")
        self.kind, self.weight, self.temperature, self.rate = kind, weight, temperature, rate

    def forward(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput:
        """Fuse, and in training fuse again with less."""
        output: FusionOutput = self.fusion(features, present)
        if not self.training or len(self.modalities) == 1:
            return output
        there = torch.stack([present[m] for m in self.modalities], dim=1)  # [B, M]
        left = self.hide(there)
        student = self.fusion(features, dict(zip(self.modalities, left.unbind(dim=1), strict=True))).logits
        apart = divergence(self.kind, self.temperature, output.logits.detach().float(), student.float())
        return with_loss(output, "distillation", self.weight * mean_over(apart, (left != there).any(dim=1)))

    def hide(self, there: Tensor) -> Tensor:
        """What is left of the modalities that each sample has, [B, M]: each goes at the rate, but where all would go the last one drawn stays."""
        draw = torch.rand(there.shape, device=there.device)
        most = draw.where(there, -1.0).amax(dim=1, keepdim=True)
        return there & (draw >= most.clamp(max=self.rate))


def divergence(kind: str, temperature: float, teacher: Tensor, student: Tensor) -> Tensor:
    """How far a student's logits [B, K] are from the teacher's, [B], for a task of some kind; see ``FullModality``."""
    t, s = teacher / temperature, student / temperature
    if kind == "multiclass":
        log_p = log_softmax(t, dim=1)
        return temperature**2 * (log_p.exp() * (log_p - log_softmax(s, dim=1))).sum(dim=1)
    if kind in ("binary", "multilabel"):
        p = t.sigmoid()
        each = p * (logsigmoid(t) - logsigmoid(s)) + (1 - p) * (logsigmoid(-t) - logsigmoid(-s))
        return temperature**2 * each.mean(dim=1)
    return (teacher - student).square().mean(dim=1)
