"""How one model is trained: loss, optimiser, and what is measured on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mmdx.encoders.tuning import hold_frozen
from mmdx.errors import InputError
from mmdx.strategies.alignment import Alignment
from mmdx.training.balance.base import Balance, Step
from mmdx.training.build import fused_form
from mmdx.training.distributed import gather, rank_and_world, sum_over_processes
from mmdx.training.model import MultimodalModel
from mmdx.training.plan import ALIGNMENT
from mmdx.training.saving import position, random_states, set_random_states
from mmdx.training.teacher import Teaching
from mmdx.types import Batch, FusionOutput, Task


class MultimodalModule(pl.LightningModule):
    """The Lightning module of one model and task.

    Several processes train on the loss of their batches taken together, to rounding: the task's losses are normalised over all of them. What a fusion
    or a strategy adds (``aux_losses``), a teacher, a balance, and Cox's partial likelihood are means over processes of what each computes of its own.

    Everything random in an epoch is drawn from (seed, epoch, rank), so an epoch begun again after a stop is the same epoch; within one, a checkpoint
    holds the random states of all processes.

    Args:
        model: encoders and fusion.
        task: loss, probabilities and validation score.
        groups: parameter groups for the optimiser.
        optimizer: makes the optimiser from the groups.
        schedule: makes the learning-rate schedule from the optimiser and the number of steps.
        seed: the run's seed.
        fused_loss: weight of the loss of the fused logits.
        per_modality_loss: weight of the loss of each modality's own logits, for fusions that have them. With both 0 the model learns from the
            loss of the alignment around its fusion alone; ``val/alignment`` is that loss on the validation split, the mean over batches, without
            its weight.
        balance: balances the modalities; None leaves loss and gradients as they are.
        teaching: draws the logits to a teacher's; None does not.
    """

    def __init__(
        self,
        model: MultimodalModel,
        task: Task,
        groups: list[dict[str, Any]],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        schedule: Callable[[Optimizer, int], LRScheduler],
        seed: int,
        fused_loss: float = 1.0,
        per_modality_loss: float = 0.0,
        balance: Balance | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        super().__init__()
        self._fused_loss, self._per_modality_loss = fused_loss, per_modality_loss
        self.model, self.task, self.balance = model, task, balance
        self._teaching = teaching
        self._alignment_alone = not (fused_loss or per_modality_loss)
        if self._alignment_alone:
            _aligned(model)
        self._groups, self._optimizer, self._schedule, self._seed = groups, optimizer, schedule, seed
        self._seen: list[tuple[list[int], Tensor, Tensor]] = []
        self._total: list[Tensor | float] = []
        self._left: dict[str, Any] | None = None

    def configure_optimizers(self) -> Any:
        """Optimiser, fused where it can be, and schedule, stepped every batch."""
        make: Any = fused_form(self._optimizer) if self.balance is None or self.balance.fused else self._optimizer
        optimizer = make(self._groups)
        optimizer._step_supports_amp_scaling = False  # in mixed precision gradients are unscaled, then clipped; a fused step would unscale again
        schedule = self._schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Seed the epoch; frozen layers stay as they are."""
        state = np.random.SeedSequence([self._seed, self.current_epoch, self.global_rank]).generate_state(1)[0]
        torch.manual_seed(int(state))
        self._total = []
        self._hold_frozen()

    def _hold_frozen(self) -> None:
        for encoder in self.model.encoders.values():
            hold_frozen(encoder)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Go on where a run was stopped within an epoch."""
        if self._left is not None:
            self._hold_frozen()
            set_random_states(self._left["random"], self.device)
            self._total = [part.to(self.device) for part in self._left["total"]]
            self._left = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Weighted mean losses of a batch, in 32 bits whatever the precision of the model."""
        features = self.model.encode(batch)
        output = self.model.fusion(features, batch.present)
        losses = output.aux_losses
        if self._alignment_alone:
            losses = {"alignment": losses["alignment"], "tied": _tied(self.model.fusion)}
        loss = torch.zeros((), device=batch.target.device) + sum(losses.values())
        share = self._shares(batch)
        if self._fused_loss:
            loss = loss + self._fused_loss * share[1] * self.task.loss(_at_least_single(output.logits), batch.target)
        if self._per_modality_loss:
            loss = loss + self._per_modality_loss * self._own_losses(output, batch, share[2:])
        if self._teaching is not None:
            loss = loss + self._teaching.loss(_at_least_single(output.logits), batch.meta["index"])
        if self.balance is not None:
            loss = self.balance.loss(Step(self.model, self.task, batch, features, output), loss)
        added = [loss.detach().float() * share[0], share[0]]
        self._total = [total + more for total, more in zip(self._total, added, strict=True)] if self._total else added
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """After an epoch's last step, log ``train/loss``, the mean over the epoch's samples of all processes."""
        if batch_idx + 1 < self.trainer.num_training_batches:
            return
        total, count = sum_over_processes(torch.stack([torch.as_tensor(part, device=self.device) for part in self._total]))
        self.log("train/loss", total / count, on_step=False, on_epoch=True, batch_size=1)

    def _shares(self, batch: Batch) -> Sequence[Any]:
        """How many rows of the whole batch fall to each process, and what the fused loss, and the loss of each modality in alphabetical order, is to
        be multiplied by so that the mean over processes is the loss of the whole batch: the entries here times processes over all entries. 1 in one
        process, where plain numbers spare a GPU the copies.
        """
        world = rank_and_world()[1]
        names = sorted(batch.present) if self._per_modality_loss else []
        if world == 1:
            return [float(len(batch)), 1.0, *[1.0] * len(names)]
        counts = [len(batch), self._entries(batch.target), *(self._entries(batch.target[batch.present[name]]) for name in names)]
        here = torch.tensor([float(count) for count in counts], device=batch.target.device)
        total = sum_over_processes(here)
        return [*(total[:1] / world), *(here[1:] * world / total[1:].clamp(min=1))]

    def _entries(self, target: Tensor) -> int:
        """How many entries the task's loss is the mean of."""
        return int(self.task.entries(target)) if hasattr(self.task, "entries") else len(target)

    def _own_losses(self, output: FusionOutput, batch: Batch, share: Sequence[Any]) -> Tensor:
        """Sum over modalities of the loss of their own logits, on the rows that have the modality; where a batch has none, a zero that
        still reaches the parameters, since distributed training wants a gradient for each.
        """
        if not output.per_modality:
            raise InputError(
                f"training.per_modality_loss={self._per_modality_loss:g}: {type(self.model.fusion).__name__} gives no logits of each "
                "modality; choose a fusion that does, such as late, or set it to 0."
            )
        losses, place = [], {name: k for k, name in enumerate(sorted(batch.present))}
        for name, logits in output.per_modality.items():
            here = batch.present[name]
            own = self.task.loss(_at_least_single(logits[here]), batch.target[here]) if here.any() else 0.0 * logits.sum()
            losses.append(share[place[name]] * own)
        return torch.stack(losses).sum()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Balanced gradients, before they are clipped."""
        if self.balance is not None:
            seed = np.random.SeedSequence([self._seed, self.global_step, 0, 1]).generate_state(1)[0]  # of the step, in all processes
            self.balance.before_step(self.model, self.trainer.accumulate_grad_batches, int(seed))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how far each process and balancing have come."""
        own = {"random": random_states(self.device), "total": [torch.as_tensor(part).cpu() for part in self._total]}
        checkpoint["processes"] = gather(own)
        checkpoint["batches"] = position(self.trainer)
        if self.balance is not None:
            checkpoint["balance"] = self.balance.progress()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with what was kept.

        Raises:
            InputError: where another number of processes would go on in the middle of an epoch.
        """
        rank, world = rank_and_world()
        if checkpoint["batches"]:
            if len(checkpoint["processes"]) != world:
                raise InputError(
                    f"resume: stopped in the middle of an epoch, which {len(checkpoint['processes'])} processes shared; go on with as many "
                    f"(trainer.devices, trainer.num_nodes), not with {world}."
                )
            self._left = checkpoint["processes"][rank]
        if self.balance is not None:
            self.balance.take_up(checkpoint["balance"])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep logits and targets; they are measured together at the end of the epoch."""
        features = self.model.encode(batch)
        output = self.model.fusion(features, batch.present)
        if self._alignment_alone:
            measured = _aligned(self.model).measure(features, batch.present)
            self.log(ALIGNMENT, measured, on_step=False, on_epoch=True, batch_size=len(batch), sync_dist=True)
        if self.balance is not None:
            self.balance.validate(Step(self.model, self.task, batch, features, output))
        self._seen.append((batch.meta["index"], _at_least_single(output.logits).cpu(), batch.target.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log ``val/loss`` and ``val/score``, the task's own, over every validation sample, once."""
        seen = [batch for part in gather(self._seen) for batch in part]
        self._seen = []
        _, first = np.unique(np.concatenate([index for index, _, _ in seen]), return_index=True)
        logits, target = torch.cat([batch[1] for batch in seen])[first], torch.cat([batch[2] for batch in seen])[first]
        if not torch.isfinite(logits).all():
            raise InputError(
                f"training diverged in epoch {self.current_epoch}: the model's outputs are not finite. Lower optimizer.lr, set "
                "trainer.gradient_clip_val=1.0, or look for extreme values in the data."
            )
        with torch.no_grad():
            loss = self.task.loss(logits.to(self.device), target.to(self.device))
        self.log("val/loss", loss)
        self.log("val/score", self.task.score(logits, target))
        if self.balance is not None:
            self.log_dict({f"balance/{name}": value for name, value in self.balance.end_epoch().items()})


def _at_least_single(logits: Tensor) -> Tensor:
    """Logits in 32 bits, or in 64 where the model has those."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _aligned(model: MultimodalModel) -> Alignment:
    """The alignment around a model's fusion.

    Raises:
        InputError: where there is none, or nothing to align.
    """
    if not isinstance(model.fusion, Alignment) or len(model.modalities) < 2:
        raise InputError(f"training=pretraining: {type(model.fusion).__name__} of {', '.join(model.modalities)} has no alignment to learn from; "
                         "choose one, such as alignment=infonce, for two modalities or more.")
    return model.fusion


def _tied(fusion: torch.nn.Module) -> Tensor:
    """A zero with a gradient for every parameter of the fusion, since distributed training wants one for each and nothing reaches the head."""
    return torch.stack([0.0 * parameter.sum() for parameter in fusion.parameters() if parameter.requires_grad]).sum()
