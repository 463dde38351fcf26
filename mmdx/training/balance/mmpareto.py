"""Each encoder takes a direction that is good for the joint loss and for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step, encoder_parameters
from mmdx.training.distributed import rank_and_world, sum_over_processes
from mmdx.training.model import MultimodalModel


class ParetoIntegration(Balance):
    """MMPareto (Wei & Hu 2024, ICML, arXiv:2405.17730).

    Of each encoder, j is the gradient of the joint loss and u that of the loss of a linear head on its features alone. Where ``j . u >= 0`` its
    gradient is their sum; else ``h = 2 (a j + (1 - a) u)`` with a in [0, 1] making h the shortest, which has a positive inner product with both,
    stretched to the length of the sum. Either is then made ``rescale`` times longer. Heads and fusion learn from the sum of the losses.

    Deviations: directions and lengths are of each encoder as a whole; in the authors' code each tensor is stretched by itself, which
    may turn the direction away from one of the losses. u is of the linear head also where the fusion has logits of each modality. Beside a plain
    sum it costs one more pass back through each encoder. An optimiser that divides by the gradient's size, as AdamW does, undoes
    ``rescale``; the paper's is SGD. In ``16-mixed`` precision u is not scaled up and its small numbers may be lost; use ``bf16-mixed``.

    Args:
        widths, head, kind: as of ``Balance``.
        rescale: gamma; 1.5 in the authors' code.
    """

    name = "mmpareto"
    compiles = False

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary", rescale: float = 1.5) -> None:
        super().__init__(widths, head, kind)
        require(rescale > 0, "balance.rescale", rescale, "greater than 0")
        self.rescale = rescale
        self.own: dict[str, Tensor] = {}  # gradients u since the last step, each encoder's as one vector
        self.conflicts: list[Tensor] = []

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """Add the heads' losses, and keep their gradients."""
        losses = self.own_losses(step, self.own_logits(step.features))
        for m, own in losses.items():
            if parameters := encoder_parameters(step.model, m):
                found = torch.autograd.grad(own, parameters, retain_graph=True, allow_unused=True)
                u = _flat(parameters, found)
                self.own[m] = self.own[m] + u if m in self.own else u
        return joint + torch.stack([*losses.values()]).sum()

    def before_step(self, model: MultimodalModel, batches: int, seed: int) -> None:
        """Put the integrated gradients in the place of the encoders' sums."""
        conflicts = []
        for m, u in self.own.items():
            parameters = encoder_parameters(model, m)
            u = sum_over_processes(u) / (batches * rank_and_world()[1])
            j = _flat(parameters, [p.grad for p in parameters]) - u
            conflicts.append(j @ u < 0)
            integrated = integrate(j, u) * self.rescale
            for p, part in zip(parameters, integrated.split([p.numel() for p in parameters]), strict=True):
                if p.grad is not None:
                    p.grad.copy_(part.view_as(p))
        if conflicts:
            self.conflicts.append(torch.stack(conflicts).float().mean())
        self.own = {}

    def end_epoch(self) -> dict[str, float]:
        """The share of encoders and steps in which the two gradients were in conflict."""
        if not self.conflicts:
            return {}
        share = float(torch.stack(self.conflicts).mean())
        self.conflicts = []
        return {"conflicts": share}


def _flat(parameters: list[nn.Parameter], gradients: Iterable[Tensor | None]) -> Tensor:
    """Gradients, some of which may be None, as one vector."""
    return torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(parameters, gradients, strict=True)])


def integrate(j: Tensor, u: Tensor) -> Tensor:
    """The integrated gradient [P], as long as ``j + u``, of two gradients [P]; zero where they are opposite and no direction is good for both."""
    inner, total = j @ u, j + u
    apart = (u - j).square().sum().clamp(min=torch.finfo(u.dtype).tiny)
    a = ((u @ u - inner) / apart).clamp(0, 1)
    shortest = 2 * (a * j + (1 - a) * u)
    length = shortest.norm()
    fair = length > 1e-5 * (j.norm() + u.norm())  # what is shorter is rounding
    stretched = torch.where(fair, shortest * (total.norm() / length.clamp(min=torch.finfo(u.dtype).tiny)), 0.0)
    return torch.where(inner < 0, stretched, total)
