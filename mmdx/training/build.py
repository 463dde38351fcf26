"""Make a model from its plan: fit what learns from data beforehand, or take its state back, then build the modules."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mmdx.data.prepare import PreparedCohort
from mmdx.errors import InputError
from mmdx.strategies.alignment import Alignment
from mmdx.training.model import MultimodalModel
from mmdx.training.plan import ModelPlan, TrainingPlan
from mmdx.types import Transform

FITTED = "fitted.json"
BALANCE = "balance."
"""Names of weights that serve training alone begin so."""


def fit_transforms(plan: ModelPlan, cohort: PreparedCohort, train: np.ndarray) -> tuple[dict[str, Transform], dict[str, Any]]:
    """Transforms fitted on the training rows, or as an earlier run left that of a pretrained encoder, and their states by modality."""
    transforms = pretrained_transforms(plan)
    states = {m: part.pretrained.fitted for m, part in plan.encoders.items() if part.pretrained}
    return transforms, {m: states[m] if m in states else transform.fit(cohort.inputs_of(m, train)) for m, transform in transforms.items()}


def pretrained_transforms(plan: ModelPlan) -> dict[str, Transform]:
    """Transforms before they are fitted; those of pretrained encoders have the states that these were trained with."""
    transforms = {m: copy.deepcopy(plan.encoders[m].transform) for m in sorted(plan.encoders)}
    for m, transform in transforms.items():
        if pretrained := plan.encoders[m].pretrained:
            transform.load(pretrained.fitted)
    return transforms


def read_fitted(folder: Path) -> dict[str, Any]:
    """The fitted states that a trained model's folder holds.

    Raises:
        InputError: where there is no such file or it isn't JSON.
    """
    path = folder / FITTED
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {folder} does not hold a trained model.") from None
    except ValueError as fault:
        raise InputError(f"{path}: not valid JSON ({fault}); train the model again.") from None


def load_transforms(plan: ModelPlan, states: Mapping[str, Any]) -> dict[str, Transform]:
    """Transforms with the states that an earlier fit left."""
    transforms = {m: copy.deepcopy(plan.encoders[m].transform) for m in sorted(plan.encoders)}
    for m, transform in transforms.items():
        transform.load(states.get(m, {}))
    return transforms


def build_model(plan: ModelPlan, transforms: Mapping[str, Transform], outputs: int, trained: bool = False) -> MultimodalModel:
    """Encoders on their transforms, tuned as planned, and the fusion with heads of ``outputs`` units. Where a model that is ``trained`` is to be
    loaded, pretrained weights are left out, so that the run they are from may be gone.
    """
    encoders: dict[str, Any] = {}
    aggregators: dict[str, nn.Module] = {}
    for m in sorted(plan.encoders):
        part = plan.encoders[m]
        encoders[m] = part.build(transforms[m])
        pretrained = None if trained else part.pretrained
        if pretrained:
            pretrained.load(encoders[m])
        part.tuning.apply(encoders[m])
        if part.aggregate is not None:
            aggregators[m] = part.aggregate(encoders[m].width)
            if pretrained:
                pretrained.load_aggregator(aggregators[m])
    widths = {m: int(encoder.width) for m, encoder in encoders.items()}
    return MultimodalModel(encoders, plan.fusion(widths=widths, head=linear_head(outputs)), aggregators)


def check_learns(model: MultimodalModel, training: TrainingPlan) -> None:
    """Refuse settings that act on encoders which learn, where none does.

    Raises:
        InputError: naming the setting.
    """
    parts = (*model.encoders.values(), *model.aggregators.values())
    if len(model.modalities) == 1 or any(p.requires_grad for part in parts for p in part.parameters()):
        return
    why = "no encoder has a parameter that learns (encoders.NAME.tuning)"
    if not training.uses_labels:
        raise InputError(f"training=pretraining: {why}; choose a tuning that trains, such as encoders.NAME.tuning=full.")
    if training.balance:
        raise InputError(f"balance: {why}, so there is nothing to balance; use balance=none.")
    if any(isinstance(part, Alignment) and not len(part.adapter) for part in model.fusion.modules()):
        raise InputError(f"alignment.adapter=0: {why}, so the alignment changes nothing; set alignment.adapter above 0, or alignment=none.")


def linear_head(outputs: int) -> Callable[[int], nn.Module]:
    """A maker of linear output layers that begin at zero, so that a model begins at even odds: with few samples and wide frozen
    features, what a random start adds to the logits is never trained away.
    """

    def head(width: int) -> nn.Module:
        layer = nn.Linear(width, outputs)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    return head


def parameter_groups(model: MultimodalModel, plan: ModelPlan, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for the optimiser: encoders as their tuning says; biases and norms of the rest without weight decay."""
    groups = [g for m in model.modalities for g in plan.encoders[m].tuning.parameter_groups(model.encoders[m], lr, weight_decay)]
    rest = [p for part in (model.fusion, model.aggregators) for p in part.parameters() if p.requires_grad]
    groups.append({"params": [p for p in rest if p.ndim > 1], "lr": lr, "weight_decay": weight_decay})
    groups.append({"params": [p for p in rest if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def lay_out(model: nn.Module, channels_last: bool | None, device: torch.device) -> None:
    """Let 2-D convolutions compute with channels last, the same maths to rounding; None does on GPUs with tensor cores, where PyTorch's
    documentation has it faster. On CPUs a convolution is faster so, and a whole step of training was slower (docs/benchmarks.md).
    """
    if channels_last is None:
        channels_last = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fused_form(optimizer: Any) -> Any:
    """The optimiser's maker in its fused form, where it has one and nothing else was asked for."""
    kind, settings = getattr(optimizer, "func", optimizer), getattr(optimizer, "keywords", {})
    fused = "fused" in inspect.signature(kind).parameters and not {"fused", "foreach"} & set(settings)
    return (lambda groups: optimizer(groups, fused=True)) if fused else optimizer


def read_checkpoint(path: Path, otherwise: str) -> dict[str, Any]:
    """A checkpoint; nothing in the file is executed.

    Args:
        path: the file.
        otherwise: what to do where it cannot be read, for the message.

    Raises:
        InputError: where the file is missing, damaged, or not a plain checkpoint.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found["state_dict"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the run has not finished training, or its checkpoint was removed.") from None
    except Exception:
        raise InputError(f"{path}: not a checkpoint of tensors, or damaged; refused, since anything else could run code; {otherwise}.") from None
    return found


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a checkpoint's ``state_dict`` but for what served training alone; nothing in the file is executed.

    Raises:
        InputError: where the file is missing, is not a plain checkpoint, or belongs to another model.
    """
    found = module.load_state_dict(read_checkpoint(path, "train the model again")["state_dict"], strict=False)
    missing, unexpected = ([name for name in names if not name.startswith(BALANCE)] for names in found)
    if missing or unexpected:
        raise InputError(
            f"{path}: belongs to another model ({len(missing)} weights missing, {len(unexpected)} unknown, such as "
            f"{(missing + unexpected)[0]!r}); evaluate a run with the config it was trained with."
        )
