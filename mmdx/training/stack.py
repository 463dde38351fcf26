"""Several heads of one shape trained at once, their parameters stacked, or one by itself; both take the same steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from mmdx.errors import InputError
from mmdx.training.alike import rates_as_buffers
from mmdx.types import Features, FusionOutput, Task

Loss = Callable[[FusionOutput, Tensor, Mapping[str, Tensor]], Tensor]
"""From a head's output, the targets [B] and what is present the loss of a batch."""
Parts = tuple[dict[str, Features], dict[str, Tensor]]


class Engine(Protocol):
    """E heads that take steps of training together."""

    size: int

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Seed an epoch of training."""

    def step(self, features: dict[str, Features], present: dict[str, Tensor], target: Tensor) -> Tensor:
        """One step on batches [E, B, ...] of the heads; losses [E]."""

    def logits(self, heads: Sequence[int], features: dict[str, Features], present: dict[str, Tensor]) -> Tensor:
        """Logits [e, B, K] of some of the heads for one batch [B, ...]."""

    def state(self, head: int) -> dict[str, Tensor]:
        """A copy of the parameters of one head."""

    def keep(self, heads: Sequence[int]) -> None:
        """Go on with some of the heads only."""


class OneHead:
    """A single head, trained as a module is.

    Args:
        module: the fusion with its output layers.
        groups: parameter groups of the optimiser, of names of parameters.
        optimizer: makes the optimiser.
        schedule: makes the learning-rate schedule from the optimiser.
        loss: of a batch.
        clip: the largest norm of the gradient; None leaves it.
    """

    size = 1

    def __init__(
        self,
        module: nn.Module,
        groups: list[dict[str, Any]],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        schedule: Callable[[Optimizer], Any],
        loss: Loss,
        clip: float | None,
    ) -> None:
        self.module, self.loss, self.clip = module, loss, clip
        named = dict(module.named_parameters())
        self.parameters = list(named.values())
        self.optimizer = optimizer([group | {"params": [named[name] for name in group["params"]]} for group in groups])
        self.schedule = schedule(self.optimizer)

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Seed an epoch of training."""
        torch.manual_seed(epoch_seed(seeds, epoch))
        self.module.train()

    def step(self, features: dict[str, Features], present: dict[str, Tensor], target: Tensor) -> Tensor:
        """One step on a batch [1, B, ...]; its loss [1]."""
        features = {m: Features(f.tokens[0], f.mask[0]) for m, f in features.items()}
        present = {m: here[0] for m, here in present.items()}
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.module(features, present), target[0], present)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()[None]

    @torch.no_grad()
    def logits(self, heads: Sequence[int], features: dict[str, Features], present: dict[str, Tensor]) -> Tensor:
        """Logits [1, B, K]."""
        self.module.eval()
        return self.module(features, present).logits[None]

    def state(self, head: int) -> dict[str, Tensor]:
        """A copy of parameters and buffers."""
        return {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}

    def keep(self, heads: Sequence[int]) -> None:
        """There is but one."""


class Stack:
    """Heads of one shape, each parameter stacked along a first axis, stepped by one optimiser.

    An optimiser that works on each number by itself, as SGD, Adam and AdamW do, does to a stack what it does to each head.

    Args:
        modules: the heads, [E], alike but for weights and rates of dropout; they are not changed.
        groups: of each head the parameter groups of the optimiser, of names of parameters; lr and weight decay may differ between heads.
        optimizer, schedule, loss, clip: as of ``OneHead``; the norm is each head's own.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        groups: Sequence[list[dict[str, Any]]],
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        schedule: Callable[[Optimizer], Any],
        loss: Loss,
        clip: float | None,
    ) -> None:
        self.size, self.loss, self.clip = len(modules), loss, clip
        self.kept = set(modules[0].state_dict())
        modules = rates_as_buffers(modules)
        self.shape = copy.deepcopy(modules[0])
        parameters, buffers = stack_module_state(list(modules))
        self.parameters = {name: tensor.detach() for name, tensor in parameters.items()}
        self.buffers = buffers
        self.groups, self.make, self.make_schedule = [list(own) for own in groups], optimizer, schedule
        self.optimizer, self.views = self._optimizer()
        self.schedule = schedule(self.optimizer)
        self.gradient = vmap(grad_and_value(self._loss), in_dims=(0, 0, 0, 0, 0), randomness="different")

    def _optimizer(self) -> tuple[Optimizer, list[tuple[Tensor, str, int, int]]]:
        """The optimiser, on views of the stacked parameters: of neighbouring heads with the same settings one view."""
        made: list[dict[str, Any]] = []
        views = []
        for number in range(len(self.groups[0])):
            settings = [{name: value for name, value in own[number].items() if name != "params"} for own in self.groups]
            first = 0
            for last in range(1, self.size + 1):
                if last < self.size and settings[last] == settings[first]:
                    continue
                own = []
                for name in self.groups[0][number]["params"]:
                    view = self.parameters[name][first:last]
                    own.append(view)
                    views.append((view, name, first, last))
                made.append(settings[first] | {"params": own})
                first = last
        return self.make(made), views

    def _loss(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], features: dict[str, Features], present: dict[str, Tensor], target: Tensor
    ) -> Tensor:
        return self.loss(functional_call(self.shape, (parameters, buffers), (features, present)), target, present)

    def begin(self, seeds: Sequence[int], epoch: int) -> None:
        """Seed an epoch of training."""
        torch.manual_seed(epoch_seed(seeds, epoch))
        self.shape.train()

    def step(self, features: dict[str, Features], present: dict[str, Tensor], target: Tensor) -> Tensor:
        """One step on batches [E, B, ...]; losses [E]."""
        with sdpa_kernel(SDPBackend.MATH):  # the others know no stacks
            gradients, losses = self.gradient(self.parameters, self.buffers, features, present, target)
        if self.clip is not None:
            norms = [torch.linalg.vector_norm(gradient.reshape(self.size, -1), dim=1) for gradient in gradients.values()]
            factor = (self.clip / (torch.linalg.vector_norm(torch.stack(norms), dim=0) + 1e-6)).clamp(max=1.0)
            if (factor < 1).any():
                gradients = {name: g.mul_(factor.view(-1, *[1] * (g.ndim - 1))) for name, g in gradients.items()}
        for view, name, first, last in self.views:
            view.grad = gradients[name][first:last]
        self.optimizer.step()
        self.schedule.step()
        return losses.detach()

    @torch.no_grad()
    def logits(self, heads: Sequence[int], features: dict[str, Features], present: dict[str, Tensor]) -> Tensor:
        """Logits [e, B, K] of some heads for one batch."""
        self.shape.eval()
        some = list(heads)
        whole = some == list(range(self.size))
        parameters = self.parameters if whole else {name: tensor[some] for name, tensor in self.parameters.items()}
        buffers = self.buffers if whole else {name: tensor[some] for name, tensor in self.buffers.items()}

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return functional_call(self.shape, (parameters, buffers), (features, present)).logits

        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it knows no stacks
        try:
            with sdpa_kernel(SDPBackend.MATH):
                return vmap(one)(parameters, buffers)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    def state(self, head: int) -> dict[str, Tensor]:
        """A copy of the parameters and buffers of one head, those of its state_dict."""
        stacked = (self.parameters | self.buffers).items()
        return {name: tensor[head].clone() for name, tensor in stacked if name in self.kept}

    def keep(self, heads: Sequence[int]) -> None:
        """Go on with some of the heads; the optimiser keeps what it knows of them."""
        some = list(heads)
        known = {(name, first + e): self.optimizer.state.get(view, {}) for view, name, first, last in self.views for e in range(last - first)}
        begun = {(name, first + e): e for _, name, first, last in self.views for e in range(last - first)}
        factor = next((g["lr"] / g["initial_lr"] for g in self.optimizer.param_groups if g.get("initial_lr")), 1.0)
        steps = self.schedule.last_epoch
        self.parameters = {name: tensor[some] for name, tensor in self.parameters.items()}
        self.buffers = {name: tensor[some] for name, tensor in self.buffers.items()}
        self.groups, self.size = [self.groups[e] for e in some], len(some)
        self.optimizer, self.views = self._optimizer()
        for view, name, first, last in self.views:
            old = [known[name, e] for e in some[first:last]]
            if old[0]:
                places = [begun[name, e] for e in some[first:last]]
                self.optimizer.state[view] = {key: _joined([own[key] for own in old], places) for key in old[0]}
        self.schedule = self.make_schedule(self.optimizer)
        self.schedule.last_epoch = steps
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor


def _joined(values: list[Any], places: list[int]) -> Any:
    """What an optimiser knows of some heads, from what it knew of the stacks they were in."""
    first = values[0]
    if not isinstance(first, Tensor) or first.ndim == 0:
        return first
    return torch.stack([value[place] for value, place in zip(values, places, strict=True)])


def epoch_seed(seeds: Sequence[int], epoch: int) -> int:
    """The seed of what is random in an epoch of some heads."""
    return int(np.random.SeedSequence([*seeds, epoch, 0]).generate_state(1)[0])


def loss_of(task: Task, fused: float, per_modality: float) -> Loss:
    """The loss that heads are trained by: the task's, of the fused logits and of each modality's own, and what the head adds.

    Raises:
        InputError: when it is asked for, where each modality's own logits are to be trained and the head has none.
    """

    def loss(output: FusionOutput, target: Tensor, present: Mapping[str, Tensor]) -> Tensor:
        total = sum(output.aux_losses.values()) if output.aux_losses else torch.zeros(())
        if fused:
            total = total + fused * task.loss(output.logits, target)
        if per_modality and not output.per_modality:
            raise InputError(
                f"training.per_modality_loss={per_modality:g}: the fusion gives no logits of each modality; choose one that does, such as late, or "
                "set it to 0."
            )
        if per_modality:
            for name, logits in output.per_modality.items():
                total = total + per_modality * own(logits, target, present[name])
        return total  # type: ignore[return-value]

    def own(logits: Tensor, target: Tensor, here: Tensor) -> Tensor:
        """The task's loss of some rows."""
        if hasattr(task, "entries"):  # not the mean over rows of what each adds
            return task.loss(logits[here], target[here]) if here.any() else 0.0 * logits.sum()
        each = vmap(lambda row, truth: task.loss(row[None], truth[None]))(logits, target)
        return each.where(here, 0.0).sum() / here.sum().clamp(min=1)

    return loss
