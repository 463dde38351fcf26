"""Run by tests/training/test_distributed.py: one model in 64 bits, in one process or two that share its batches; folder, task, processes given."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas as pd
from torch import nn
from toy import Line, Numbers, training_plan

from mmdx.data.splits import HoldOut
from mmdx.fusion.product import ProductOfPosteriors
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.tasks.multilabel import Multilabel
from mmdx.training.plan import EncoderPlan, ModelPlan


class Unlabelled(Numbers):
    """Two labels, most of one unknown, so that processes have different numbers of entries; 121 samples, which two do not share evenly."""

    def __init__(self) -> None:
        super().__init__(samples=121)
        rng = np.random.default_rng(3)
        first = self.table["target"].astype(float)
        second = pd.Series(rng.integers(0, 2, len(self)).astype(float)).where(rng.random(len(self)) < 0.3)
        self.table = self.table.assign(target_a=first, target_b=second)


class Certain(Line):
    """Without dropout, which draws in each process for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 8)

    def layers(self) -> list[nn.Module]:
        return [self.body]


if __name__ == "__main__":
    folder, task, processes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    trainer = {"devices": processes, "strategy": "ddp" if processes > 1 else "auto", "precision": "64-true", "max_epochs": 4}
    plan = training_plan(batch_size=8 // processes, trainer=trainer, per_modality_loss=1.0)
    tasks = {"binary": partial(Binary, class_weight="balanced"), "multilabel": partial(Multilabel, labels=["a", "b"])}
    model = ModelPlan({m: EncoderPlan(lambda transform: Certain()) for m in Numbers.modalities}, ProductOfPosteriors, tasks[task])
    Study(Unlabelled(), model, plan, HoldOut(), folder).run()
