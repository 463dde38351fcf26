"""Each loss weighs what it has taught that holds on other data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmdx.strategies.base import require
from mmdx.training.balance.base import Balance, Step, weighted
from mmdx.training.distributed import sum_over_processes

JOINT = "joint"


class GradientBlending(Balance):
    """Online Gradient-Blending (Wang et al. 2020, CVPR, arXiv:1905.12681).

    ``L = w_joint L_joint + sum_m w_m L_m`` with weights that sum to 1, equal at first. Every ``epochs`` epochs they become ``w_k ~ G_k / O_k^2``,
    where G_k is by how much the validation loss k fell since the last time, and O_k by how much validation loss minus training loss grew. A G_k
    below 0 counts as 0; where all do, weights stay.

    Deviations: losses are measured in the model that is being trained, in the place of copies of it trained on each loss alone for those epochs,
    so that a run costs what it costs without; a modality's O_k and G_k then tell of what the others' losses do, too. Training losses are means
    over an epoch's steps, with dropout and augmentation. No weight goes below ``least``, since predictions come from the joint logits, which a
    weight of 0 would leave untaught. The validation split, which also chooses the checkpoint, has a say in the weights; the test split has none.
    With few validation rows O_k is noise: ``balance=auxiliary`` with weights from the log of such a run is the offline version.

    Args:
        widths, head, kind: as of ``Balance``.
        epochs: between two estimates.
        least: the smallest weight.
    """

    name = "gradient_blending"

    def __init__(
        self, widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary", epochs: int = 3, least: float = 0.05
    ) -> None:
        super().__init__(widths, head, kind)
        require(isinstance(epochs, int) and epochs >= 1, "balance.epochs", epochs, "a whole number above 0")
        self.names = [JOINT, *self.modalities]
        require(0 <= least <= 1 / len(self.names), "balance.least", least, f"0 to 1/{len(self.names)}, as there are {len(self.names)} losses")
        self.epochs, self.least = epochs, least
        self.weights = [1 / len(self.names)] * len(self.names)
        self.before: list[list[float]] = []  # training and validation losses at the last estimate
        self.waited = 0
        self.sums: dict[str, Tensor] = {}  # of each split [K, 2], losses times rows, and rows

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """The weighted losses."""
        own = self._measure("train", step)
        return self.weights[0] * joint + torch.stack([w * loss for w, loss in zip(self.weights[1:], own, strict=True)]).sum()

    def validate(self, step: Step) -> None:
        """Measure the losses."""
        self._measure("val", step)

    def _measure(self, split: str, step: Step) -> list[Tensor]:
        own = [*self.own_losses(step, self.own_logits(step.features)).values()]
        with torch.no_grad():
            fused = step.task.loss(step.output.logits.float(), step.batch.target)
        rows = [torch.tensor(len(step.batch), device=fused.device), *(step.batch.present[m].sum() for m in self.modalities)]
        found = weighted([fused, *own], rows)
        self.sums[split] = self.sums[split] + found if split in self.sums else found
        return own

    def end_epoch(self) -> dict[str, float]:
        """Weigh anew where it is time; the weights."""
        if len(self.sums) == 2:
            now = [sum_over_processes(self.sums[split]) for split in ("train", "val")]
            means = [(found[:, 0] / found[:, 1].clamp(min=1)).tolist() for found in now]
            self.waited += 1
            if not self.before:
                self.before, self.waited = means, 0
            elif self.waited == self.epochs:
                self.weights = at_least(self.least, blending_weights(*self.before, *means)) or self.weights
                self.before, self.waited = means, 0
        self.sums = {}
        return {f"weight_{name}": weight for name, weight in zip(self.names, self.weights, strict=True)}

    def progress(self) -> dict[str, Any]:
        """Weights, and what the next ones are measured from."""
        return {"weights": self.weights, "before": self.before, "waited": self.waited}

    def take_up(self, progress: Mapping[str, Any]) -> None:
        """Take back what ``progress`` returned."""
        self.weights, self.before, self.waited = progress["weights"], progress["before"], progress["waited"]


def blending_weights(train_before: list[float], val_before: list[float], train: list[float], val: list[float]) -> list[float]:
    """Weights [K], ``G / O^2`` made to sum to 1, from losses of training and validation at two times; [] where no validation loss fell."""
    ratios = []
    for t0, v0, t1, v1 in zip(train_before, val_before, train, val, strict=True):
        generalised, overfitted = v0 - v1, (v1 - t1) - (v0 - t0)
        ratios.append(max(generalised, 0.0) / max(overfitted**2, 1e-12))
    total = sum(ratios)
    return [ratio / total for ratio in ratios] if total else []


def at_least(least: float, weights: list[float]) -> list[float]:
    """Weights that sum to 1, drawn together until the smallest possible one is ``least``."""
    return [least + (1 - len(weights) * least) * weight for weight in weights]
