"""The encoder that runs ahead is slowed down."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step, detached, encoder_parameters
from mmdx.training.distributed import sum_over_processes
from mmdx.training.model import MultimodalModel


class GradientModulation(Balance):
    """On-the-fly gradient modulation with generalisation enhancement, OGM-GE (Peng et al. 2022, CVPR, arXiv:2203.15332).

    ``s_m`` is the mean probability that modality m by itself gives to the true class in a step, ``rho_m = s_m / (mean of the others' s)``, and
    the gradient g of its encoder becomes ``k_m g + noise * sd(g) xi`` with ``k_m = 1 - tanh(alpha rho_m)`` where ``rho_m > 1`` and 1 elsewhere, sd
    over the numbers of each tensor and xi standard normal. Of two modalities rho is the paper's; of more, several may be ahead. Of a binary
    outcome and of labels the probability is a sigmoid's, the mean over labelled entries.

    Deviations: probabilities come from linear heads on the encoders' features, in the place of parts of the fusion's last layer, so that any
    fusion will do; the heads learn without sending a gradient to the encoders. All of an encoder's tensors are modulated, and in the authors'
    code its convolutions alone. s is over the rows that have the modality, of all processes together; a modality that none of a step's rows have
    is neither slowed nor counted. sd is of the gradient before modulation, as in the authors' code. An optimiser that divides by the gradient's
    size, as AdamW does, undoes a k that stays as it is; the paper's is SGD with momentum.

    Args:
        widths, head, kind: as of ``Balance``; for binary, multiclass and multilabel tasks.
        alpha: how strongly the one ahead is slowed down; 0 leaves it.
        noise: its size in the gradient's own spreads; 1 is the paper's, and 0 leaves it out, the paper's OGM.
    """

    name = "ogm_ge"
    kinds = ("binary", "multiclass", "multilabel")

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary", alpha: float = 0.5, noise: float = 1.0
    ) -> None:
        super().__init__(widths, head, kind)
        require(alpha >= 0, "balance.alpha", alpha, "0 or more")
        require(noise >= 0, "balance.noise", noise, "0 or more")
        self.alpha, self.noise = alpha, noise
        self.scores: Tensor | None = None  # [M, 2], sums and counts since the last step
        self.slowed: list[Tensor] = []

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """Add the heads' losses, and take down how well each modality does."""
        logits = self.own_logits(detached(step.features))
        here, target = step.batch.present, step.batch.target
        scores = torch.stack([true_class(logits[m].detach()[here[m]], target[here[m]]) for m in self.modalities])
        self.scores = scores if self.scores is None else self.scores + scores
        return joint + torch.stack([*self.own_losses(step, logits).values()]).sum()

    def before_step(self, model: MultimodalModel, batches: int, seed: int) -> None:
        """Modulate the gradients of the encoders."""
        if self.scores is None:
            return
        k = coefficients(sum_over_processes(self.scores), self.alpha)
        generator = torch.Generator(k.device).manual_seed(seed)
        for m, own in zip(self.modalities, k, strict=True):
            for p in encoder_parameters(model, m):
                if p.grad is not None:
                    modulate(p.grad, own, self.noise, generator)
        self.slowed.append(k)
        self.scores = None

    def end_epoch(self) -> dict[str, float]:
        """The mean coefficient of each modality."""
        if not self.slowed:
            return {}
        mean = torch.stack(self.slowed).mean(dim=0).tolist()
        self.slowed = []
        return {f"coefficient_{m}": value for m, value in zip(self.modalities, mean, strict=True)}


def true_class(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over rows (and labels) of the probability that logits [b, K] give to what is true, and their number, [2].

    Args:
        logits: of a softmax where the targets [b] are whole numbers, else of sigmoids.
        target: classes [b], or 0 to 1 in [b] or [b, K]; NaN where it is not known.
    """
    if target.is_floating_point():
        prob, target = logits.sigmoid().flatten(), target.flatten()
        known = ~target.isnan()
        given = (prob * target + (1 - prob) * (1 - target)).where(known, 0.0)
        return torch.stack([given.sum(), known.sum().to(given)])
    given = logits.softmax(dim=1).gather(1, target[:, None])
    return torch.stack([given.sum(), given.new_tensor(len(given))])


def coefficients(scores: Tensor, alpha: float) -> Tensor:
    """``k_m`` [M] from sums and counts [M, 2] of the true class's probability; 1 where a modality has no rows, or no other has."""
    there = scores[:, 1] > 0
    mean = scores[:, 0] / scores[:, 1].clamp(min=1)  # 0 where there is none
    others = (mean.sum() - mean) / (there.sum() - there.to(mean)).clamp(min=1)
    ratio = mean / others.clamp(min=torch.finfo(mean.dtype).tiny)
    return torch.where((ratio > 1) & there & (others > 0), 1 - torch.tanh(alpha * ratio), 1.0)


def modulate(gradient: Tensor, k: Tensor, noise: float, generator: torch.Generator) -> None:
    """``k g + noise * sd(g) xi``, in place."""
    xi = torch.randn(gradient.shape, generator=generator, device=gradient.device, dtype=gradient.dtype) if noise else None
    spread = gradient.std(correction=0)
    gradient.mul_(k.to(gradient))
    if xi is not None:
        gradient.add_(xi * (noise * spread))
