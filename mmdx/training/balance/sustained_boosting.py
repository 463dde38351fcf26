"""The modality that is behind gets further classifiers, each for what those before it leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step
from mmdx.training.balance.ogm_ge import true_class
from mmdx.training.distributed import sum_over_processes
from mmdx.training.model import MultimodalModel
from mmdx.types import Features, Task


class SustainedBoosting(Balance):
    """Sustained boosting with adaptive classifier assignment, AUG (Jiang, Huang & Yang 2025, NeurIPS, arXiv:2502.20120, sections 3.2 and 3.3).

    Modality m has n_m classifiers ``Linear(D_m, hidden) - ReLU - Linear(hidden, K)`` on its features, whose last layer all classifiers of all
    modalities share. Its loss is ``e + e_all + e_pre`` (eq. 5): ``e`` of the last classifier for residual labels ``y - soften y p`` (eq. 2), p
    being what those before it predict together, ``e_all`` of the sum of all logits (eq. 3), ``e_pre`` of the sum of those before the last (eq.
    4); of one classifier it is that one's loss. The losses are added to the joint one. Every ``epochs`` epochs, a modality whose score s_m, the
    mean probability of the true class in the last epoch's training batches, is behind, ``s_others - sigma s_m > tau``, gets one classifier more.

    Deviations: the authors' code predicts with a weighted sum of these logits and has no other loss; here the fusion predicts and has the joint
    loss, and the classifiers only teach the encoders. Numbers of the paper are therefore not to be expected. As in the authors' code, logits are
    summed in the place of predictions, p is a softmax of their sum, of one classifier there is one loss, and scores are of the whole epoch; the
    weight that their code learns for added classifiers, which the paper lacks, is left out. Both sides have the same test, where algorithm 1
    prints ``< tau`` for the second and the authors' code compares the scores' ratio. s_others is the mean of the other modalities', which the
    paper does not give for more than two (the authors' code for three compares with their sum). One step takes the losses of all modalities, and
    in the authors' code each has its own. Of a binary outcome and of labels probabilities are a sigmoid's and both sides have residual labels.
    ``e`` is a cross-entropy also where the task has another loss or class weights. All ``classifiers`` are made at the start, and those not
    assigned yet take no step. Losses and scores are over the rows that have the modality.

    Args:
        widths, head, kind: as of ``Balance``; for binary, multiclass and multilabel tasks.
        hidden: width of a classifier's hidden layer; 256 is the paper's.
        classifiers: the most that a modality gets.
        epochs: between two assignments; on CREMA-D the paper has 20, the authors' code a tenth of the training.
        soften: lambda, 0 to 1; the paper's are 0.1 to 1, with little difference.
        sigma, tau: of the test of who is behind.
    """

    name = "sustained_boosting"
    kinds = ("binary", "multiclass", "multilabel")
    fused = False

    def __init__(
        self,
        widths: Mapping[str, int],
        head: Callable[[int], nn.Module],
        kind: str = "binary",
        hidden: int = 256,
        classifiers: int = 10,
        epochs: int = 1,
        soften: float = 0.5,
        sigma: float = 1.0,
        tau: float = 0.01,
    ) -> None:
        super().__init__(widths, head, kind)
        for key, value in {"hidden": hidden, "classifiers": classifiers, "epochs": epochs}.items():
            require(isinstance(value, int) and value >= 1, f"balance.{key}", value, "a whole number above 0")
        require(0 <= soften <= 1, "balance.soften", soften, "0 to 1")
        require(sigma >= 1, "balance.sigma", sigma, "1 or more")
        require(tau >= 0, "balance.tau", tau, "0 or more")
        self.most, self.epochs, self.soften, self.sigma, self.tau = classifiers, epochs, soften, sigma, tau
        self.heads = nn.ModuleDict({m: nn.ModuleList(_layer(widths[m], hidden) for _ in range(classifiers)) for m in self.modalities})
        self.output = head(hidden)
        self.assigned = dict.fromkeys(self.modalities, 1)
        self.waited = 0
        self.scores: Tensor | None = None  # [M, 2], sums and counts of the epoch

    def each(self, features: Mapping[str, Features]) -> dict[str, list[Tensor]]:
        """Logits [B, K] of each assigned classifier of each modality, in 32 bits."""
        return {m: [self.output(F.relu(layer(features[m].pooled))).float() for layer in self._layers(m)[: self.assigned[m]]] for m in self.modalities}

    def own_logits(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Sums [B, K] of the logits of each modality's classifiers."""
        return {m: torch.stack(logits).sum(dim=0) for m, logits in self.each(features).items()}

    def _layers(self, modality: str) -> list[nn.Module]:
        layers = self.heads[modality]
        assert isinstance(layers, nn.ModuleList)
        return [*layers]

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """Add the boosted losses, and take down how well each modality does."""
        losses, scores = [], []
        for m, logits in self.each(step.features).items():
            here = step.batch.present[m]
            target = step.batch.target[here]
            total = torch.stack(logits).sum(dim=0)
            scores.append(true_class(total.detach()[here], target))
            losses.append(boosted(step.task, [own[here] for own in logits], target, self.soften) if here.any() else 0.0 * total.sum())
            losses += [0.0 * p.sum() for layer in self._layers(m)[self.assigned[m] :] for p in layer.parameters()]  # distributed training wants all
        found = torch.stack(scores)
        self.scores = found if self.scores is None else self.scores + found
        return joint + torch.stack(losses).sum()

    def before_step(self, model: MultimodalModel, batches: int, seed: int) -> None:
        """Leave out classifiers that are not assigned, so that neither weight decay nor momentum changes them."""
        for m, assigned in self.assigned.items():
            for layer in self._layers(m)[assigned:]:
                layer.zero_grad(set_to_none=True)

    def end_epoch(self) -> dict[str, float]:
        """Assign classifiers where it is time; scores, and how many classifiers each modality has."""
        if self.scores is None:
            return {}
        scores = sum_over_processes(self.scores)
        self.scores = None
        self.waited += 1
        if self.waited == self.epochs:
            self.waited = 0
            for m, weak in zip(self.modalities, behind(scores, self.sigma, self.tau).tolist(), strict=True):
                self.assigned[m] = min(self.assigned[m] + weak, self.most)
        mean = (scores[:, 0] / scores[:, 1].clamp(min=1)).tolist()
        named = {f"score_{m}": value for m, value in zip(self.modalities, mean, strict=True)}
        return named | {f"classifiers_{m}": float(n) for m, n in self.assigned.items()}

    def progress(self) -> dict[str, Any]:
        """How many classifiers each modality has, and for how long."""
        return {"assigned": self.assigned, "waited": self.waited}

    def take_up(self, progress: Mapping[str, Any]) -> None:
        """Take back what ``progress`` returned."""
        self.assigned, self.waited = progress["assigned"], progress["waited"]


def _layer(width: int, hidden: int) -> nn.Linear:
    layer = nn.Linear(width, hidden)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def boosted(task: Task, logits: list[Tensor], target: Tensor, soften: float) -> Tensor:
    """``e + e_all + e_pre`` from logits [b, K] of each classifier, in the order in which they were assigned."""
    total = task.loss(torch.stack(logits).sum(dim=0), target)
    if len(logits) == 1:
        return total
    before = torch.stack(logits[:-1]).sum(dim=0)
    return residual_loss(logits[-1], before.detach(), target, soften) + total + task.loss(before, target)


def residual_loss(logits: Tensor, before: Tensor, target: Tensor, soften: float) -> Tensor:
    """Mean cross-entropy of logits [b, K] with labels ``y - soften y p``, p being the probabilities of the logits before [b, K].

    Args:
        logits, before: of a softmax where the targets [b] are whole numbers, else of sigmoids.
        target: classes [b], or 0 to 1 in [b] or [b, K]; NaN where it is not known.
        soften: lambda.
    """
    if target.is_floating_point():
        known = ~target.isnan()
        logits, before, y = logits.view_as(target), before.view_as(target), target.where(known, 0.0)
        p = before.sigmoid()
        found = -(1 - soften * p) * y * F.logsigmoid(logits) - (1 - soften * (1 - p)) * (1 - y) * F.logsigmoid(-logits)
        return found.where(known, 0.0).sum() / known.sum().clamp(min=1)
    p = before.softmax(dim=1).gather(1, target[:, None])[:, 0]
    return ((1 - soften * p) * F.cross_entropy(logits, target, reduction="none")).mean()


def behind(scores: Tensor, sigma: float, tau: float) -> Tensor:
    """Whether each modality is behind [M], from sums and counts [M, 2] of the true class's probability; not where it has no rows, or no other has."""
    there = scores[:, 1] > 0
    mean = scores[:, 0] / scores[:, 1].clamp(min=1)  # 0 where there is none
    rest = there.sum() - there.to(mean)
    others = (mean.sum() - mean) / rest.clamp(min=1)
    return there & (rest > 0) & (others - sigma * mean > tau)
