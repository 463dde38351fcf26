"""What methods that balance modalities in training end to end have in common: a linear head a modality, and when they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmdx.errors import InputError
from mmdx.training.model import MultimodalModel
from mmdx.types import Batch, Features, FusionOutput, Task


class Step(NamedTuple):
    """What a model makes of a batch.

    Attributes:
        model, task, batch: which.
        features: of each modality.
        output: of the fusion.
    """

    model: MultimodalModel
    task: Task
    batch: Batch
    features: dict[str, Features]
    output: FusionOutput


class Balance(nn.Module):
    """A method of balancing; this one itself changes nothing.

    It has a linear head on the pooled features of each modality, which is trained beside the model, whatever its fusion, and is no part of what
    predicts: its weights are in the checkpoint under ``balance.``, for going on with a run, and evaluation passes over them.

    Args:
        widths: D_m, the width of each modality's features.
        head: makes an output layer of the task's K units from a width.
        kind: of the task.

    Raises:
        InputError: where the method is not for tasks of that kind.
    """

    name = ""
    kinds: tuple[str, ...] = ()
    """Kinds of tasks that it is for; none stands for all."""
    compiles = True
    """Whether encoders that ``torch.compile`` made will do."""
    fused = True
    """Whether fused optimisers will do: with momentum, SGD's fails where a parameter's first gradient comes later than others'."""

    def __init__(self, widths: Mapping[str, int], head: Callable[[int], nn.Module], kind: str = "binary") -> None:
        super().__init__()
        if self.kinds and kind not in self.kinds:
            known = ", ".join(self.kinds)
            raise InputError(f"balance={self.name}: is for tasks of kind {known}, and this one is {kind}; choose another balance, or none.")
        self.modalities = sorted(widths)
        self.heads = nn.ModuleDict({m: head(widths[m]) for m in self.modalities})

    def own_logits(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Logits [B, K] of each modality by itself, in 32 bits."""
        return {m: self.heads[m](features[m].pooled).float() for m in self.modalities}

    def own_losses(self, step: Step, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The task's loss of each modality's own logits [B, K], on the rows that have it; where a batch has none, a zero that still reaches
        the parameters, since distributed training wants a gradient for each.
        """
        losses = {}
        for m, own in logits.items():
            here = step.batch.present[m]
            losses[m] = step.task.loss(own[here], step.batch.target[here]) if here.any() else 0.0 * own.sum()
        return losses

    def loss(self, step: Step, joint: Tensor) -> Tensor:
        """The loss of a training batch, from that which it has without balancing."""
        return joint

    def before_step(self, model: MultimodalModel, batches: int, seed: int) -> None:
        """Change the gradients before the optimiser's step: they are unscaled, averaged over processes and not clipped yet.

        Args:
            model: whose gradients they are.
            batches: over how many batches of each process they are averaged.
            seed: of what is drawn; of this step, the same in all processes.
        """

    def validate(self, step: Step) -> None:
        """See a batch of the validation split, without gradients."""

    def end_epoch(self) -> dict[str, float]:
        """After validation: adapt, and return what is worth a log, by name."""
        return {}

    def progress(self) -> dict[str, Any]:
        """What a run that goes on needs beside weights, in plain numbers."""
        return {}

    def take_up(self, progress: Mapping[str, Any]) -> None:
        """Take back what ``progress`` returned."""

    def parameter_groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for the optimiser; biases without weight decay."""
        learning = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in learning if p.ndim > 1], "lr": lr, "weight_decay": weight_decay},
            {"params": [p for p in learning if p.ndim <= 1], "lr": lr, "weight_decay": 0.0},
        ]


def encoder_parameters(model: MultimodalModel, modality: str) -> list[nn.Parameter]:
    """The parameters that learn of one modality's encoder and of what sums up its items."""
    parts = [model.encoders[modality], *([model.aggregators[modality]] if modality in model.aggregators else [])]
    return [p for part in parts for p in part.parameters() if p.requires_grad]


def detached(features: Mapping[str, Features]) -> dict[str, Features]:
    """Features that no gradient passes."""
    return {m: Features(own.tokens.detach(), own.mask) for m, own in features.items()}


def weighted(values: list[Tensor], rows: list[Tensor]) -> Tensor:
    """Sums and counts [K, 2] of K means over so many rows."""
    return torch.stack([torch.stack([value.detach() * count, count.to(value)]) for value, count in zip(values, rows, strict=True)])
