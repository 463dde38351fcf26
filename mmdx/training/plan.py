"""What a model is made of and how it is trained, as plain objects; a config is one way to make them, Python another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer

from mmdx.data.loading import ModalityDropout
from mmdx.encoders.tuning import FullTuning
from mmdx.errors import InputError
from mmdx.training.balance.base import Balance
from mmdx.training.schedule import WarmupCosine
from mmdx.types import Task, Transform

if TYPE_CHECKING:
    from mmdx.training.pretrained import PretrainedEncoder
    from mmdx.training.teacher import Teacher

ALIGNMENT = "val/alignment"
"""The loss of ``alignment`` on the validation split, which encoders that learn from it alone are chosen by."""


@dataclass
class EncoderPlan:
    """How one modality's encoder is made, anew for each model of a study.

    Attributes:
        build: makes the encoder from its transform, once that is fitted on the training split.
        transform: makes items of raw inputs; copied before it is fitted.
        tuning: which of the encoder's parameters learn, and how fast.
        aggregate: makes, from the encoder's width, the module that sums up a bag's items; None keeps all tokens.
        source: the modality of the data set that it reads; None reads the one of its own name. Two encoders may read one modality.
        pretrained: gives the weights that it begins with, from an earlier run; None leaves it as it is built.
    """

    build: Callable[[Transform], nn.Module]
    transform: Transform = field(default_factory=Transform)
    tuning: Any = field(default_factory=FullTuning)
    aggregate: Callable[[int], nn.Module] | None = None
    source: str | None = None
    pretrained: PretrainedEncoder | None = None


@dataclass
class ModelPlan:
    """Encoders by modality, a fusion made from (widths, head), and a task made anew for each model."""

    encoders: Mapping[str, EncoderPlan]
    fusion: Callable[..., nn.Module]
    task: Callable[[], Task]

    @property
    def sources(self) -> dict[str, str]:
        """Of each encoder the modality of the data set that it reads."""
        return {name: part.source or name for name, part in self.encoders.items()}


@dataclass
class TrainingPlan:
    """How each model is trained.

    Attributes:
        optimizer: makes the optimiser from parameter groups that carry their own ``lr`` and ``weight_decay``.
        lr, weight_decay: of the fusion and, before layer-wise decay, of the encoders.
        schedule: makes the learning-rate schedule from the optimiser and the number of steps.
        batch_size, num_workers: of the loaders, in each process; None workers chooses how many for the machine.
        modality_dropout: takes modalities away in training.
        fused_loss: weight of the loss of the fused logits.
        per_modality_loss: weight of the loss of each modality's own logits, for fusions that have them; None is 1 where the fusion's method
            says so, else 0. With ``fused_loss`` 0 the
            encoders learn apart, each as if it were alone, and the fusion only joins their decisions. With both 0 and ``monitor`` "val/alignment"
            encoders learn from the loss of an alignment alone, without targets.
        balance: makes what balances modalities of more than one from (widths, head, kind); None balances nothing. For training end to end.
        teacher: draws each model to what a finished one says of the same samples; None does not. Heads on features are then trained by Lightning.
        order: "shuffled", "balanced" to draw each class equally often, or "stratified" to give each batch its share of each.
        bucket_by: the modality by whose length samples are put together into batches, so that less is padded; None for no one. A model that is
            trained without the modality passes over it.
        monitor, mode: the validation metric that chooses the checkpoint and stops early, and what is better, "max" or "min".
        patience: epochs without a better value before training stops; None never stops early.
        checkpoint: "best" by the monitor, or "last".
        save_steps, save_minutes: steps and minutes between two checkpoints within an epoch, from which a stopped run goes on; None for none.
        channels_last: whether the weights of 2-D convolutions lie with their channels last; None on GPUs with tensor cores.
        compile: whether encoders and fusion are compiled by ``torch.compile`` for training; predictions are made without.
        trainer: arguments of Lightning's ``Trainer``.
        callbacks: makes further Lightning callbacks.
        loggers: makes Lightning loggers that write below a folder.
    """

    optimizer: Callable[[list[dict[str, Any]]], Optimizer] = torch.optim.AdamW
    lr: float = 1e-3
    weight_decay: float = 0.01
    schedule: Callable[..., Any] = field(default_factory=WarmupCosine)
    batch_size: int = 32
    num_workers: int | None = 0
    modality_dropout: ModalityDropout = field(default_factory=lambda: ModalityDropout(0.2))
    fused_loss: float = 1.0
    per_modality_loss: float | None = None
    balance: Callable[..., Balance] | None = None
    teacher: Teacher | None = None
    order: str = "shuffled"
    bucket_by: str | None = None
    monitor: str = "val/score"
    mode: str = "max"
    patience: int | None = None
    checkpoint: str = "best"
    save_steps: int | None = None
    save_minutes: float | None = 5.0
    channels_last: bool | None = None
    compile: bool = False
    trainer: Mapping[str, Any] = field(default_factory=lambda: {"max_epochs": 10})
    callbacks: Callable[[], list[Callback]] = list
    loggers: Callable[[Path], list[Logger]] = lambda folder: []

    def __post_init__(self) -> None:
        if not self.uses_labels and self.monitor != ALIGNMENT:
            raise InputError("training.fused_loss=0 and training.per_modality_loss=0: nothing to learn from; set one of them above 0, or use "
                             "training=pretraining to learn from an alignment alone.")
        if self.uses_labels and self.monitor == ALIGNMENT:
            raise InputError(f"training.monitor={ALIGNMENT}: is for training=pretraining, whose other losses are 0; use val/score or val/loss.")
        if self.balance and not self.fused_loss > 0:
            raise InputError("balance: with training.fused_loss=0 encoders learn apart, with nothing to balance; set it above 0, or balance=none.")
        if self.bucket_by and self.order == "stratified":
            raise InputError(f"training.bucket_by={self.bucket_by}: sorting by length undoes training.order=stratified; use shuffled, or null.")

    @property
    def uses_labels(self) -> bool:
        """Whether targets are in the loss."""
        return self.fused_loss > 0 or (self.per_modality_loss or 0) > 0

    def own_loss(self, fusion: nn.Module) -> float:
        """The weight of the loss of each modality's own logits, of a fusion."""
        if self.per_modality_loss is not None:
            return self.per_modality_loss
        return float(bool(self.fused_loss) and getattr(getattr(fusion, "method", None), "own_losses", False))
