"""Run by tests/training/test_distributed.py in two processes: one study on the small parts, into the folder given."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from toy import Numbers, model_plan, training_plan

from mmdx.data.splits import KFold
from mmdx.study import Study


class Lopsided(Numbers):
    """Only a few samples have the second modality, so most batches of most processes lack it."""

    def __init__(self) -> None:
        super().__init__()
        self.missing = np.where(np.arange(len(self)) % 20 == 0, 5, 1)


if __name__ == "__main__":
    plan = training_plan(batch_size=4, trainer={"devices": 2, "strategy": "ddp"})
    Study(Lopsided(), model_plan(), plan, KFold(folds=2), Path(sys.argv[1])).run()
