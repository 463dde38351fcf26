"""Small parts for tests of the machinery: two modalities of numbers, one linear encoder."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.tasks.binary import Binary
from mmdx.training.plan import EncoderPlan, ModelPlan, TrainingPlan
from mmdx.types import Features, Sample


class Numbers:
    """Two modalities of three numbers each that shift with the target; a third of the samples lack one."""

    modalities = ("left", "right")

    def __init__(self, samples: int = 120, patients: int | None = None, sites: int = 2) -> None:
        rng = np.random.default_rng(0)
        ids = [f"s{i:03d}" for i in range(samples)]
        self.table = pd.DataFrame({
            "sample_id": ids,
            "patient_id": [f"p{i % patients}" for i in range(samples)] if patients else ids,
            "site": [f"site{i % sites}" for i in range(samples)],
            "target": rng.integers(0, 2, samples),
            "meta_sex": rng.choice(["F", "M"], samples),
        })
        self.values = rng.normal(0, 1, (samples, 2, 3)) + self.table["target"].to_numpy()[:, None, None]
        self.missing = rng.integers(0, 6, samples)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        inputs = {m: self.values[index, i] for i, m in enumerate(self.modalities) if self.missing[index] != i}
        return Sample(inputs, int(self.table["target"].iloc[index]), {})


class Line(nn.Module):
    """A linear layer with dropout, so that training draws at random."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2))

    def layers(self) -> list[nn.Module]:
        return [self.body]

    def forward(self, items: torch.Tensor) -> Features:
        return Features(self.body(items)[:, None], torch.ones(len(items), 1, dtype=torch.bool))


def model_plan() -> ModelPlan:
    encoders = {m: EncoderPlan(lambda transform: Line()) for m in Numbers.modalities}
    return ModelPlan(encoders, partial(GatedMultimodalUnit, hidden=8), Binary)


def training_plan(**changes) -> TrainingPlan:
    trainer = {"max_epochs": 3, "accelerator": "cpu", **changes.pop("trainer", {})}
    return TrainingPlan(**{"lr": 0.01, "trainer": trainer, **changes})
