"""What the options of speed bring to a step with the encoders of bench_step.py: fused optimiser, channels last, bfloat16, one by one and together.

    python scripts/bench_options.py [--batch 8] [--steps 10]

Each way trains a copy of one model on the same batches, which lie ready; the ways take turns at every step, and a ratio is the median over steps
of the plain way's time by this one's. The first five steps are left out.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from bench_step import MODEL
from torch import nn

from mmdx.commands.hydra_app import composed
from mmdx.data.loading import Examples, loader
from mmdx.data.sampling import EpochSampler
from mmdx.parts import study_from
from mmdx.training.build import build_model, fit_transforms, fused_form, lay_out, parameter_groups

WAYS = {
    "plain": (False, False, False),
    "fused": (True, False, False),
    "channels last": (False, True, False),
    "both": (True, True, False),
    "both, bfloat16": (True, True, True),
}
SKIPPED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    rows = given.batch * (given.steps + SKIPPED)
    with tempfile.TemporaryDirectory() as folder:
        study = study_from(composed([*MODEL, f"data.samples={2 * rows}", "trainer.accelerator=cpu"]), Path(folder))
        study.prepare()
        train, plan = study.rows[:rows], study.training
        transforms, _ = fit_transforms(study.model, study.cohort, train)
        task = study.model.task()
        task.fit(study.target[train])
        model = build_model(study.model, transforms, task.outputs).train()
        examples = Examples(study.cohort, transforms, study.target, 0, plan.modality_dropout)
        ready = list(loader(examples, EpochSampler(train, "shuffled"), given.batch, 0))
    nets = {name: copy.deepcopy(model) for name in WAYS}
    optimizers, seconds = {}, {name: [] for name in WAYS}
    for name, (fused, channels_last, _) in WAYS.items():
        lay_out(nets[name], channels_last, torch.device("cpu"))
        groups = parameter_groups(nets[name], study.model, plan.lr, plan.weight_decay)
        optimizers[name] = (fused_form(plan.optimizer) if fused else plan.optimizer)(groups)
    for batch in ready:
        for name, (_, _, bfloat16) in WAYS.items():
            start = time.perf_counter()
            optimizers[name].zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = nets[name](batch).logits
            task.loss(logits.float(), batch.target).backward()
            nn.utils.clip_grad_norm_(nets[name].parameters(), 1.0)
            optimizers[name].step()
            seconds[name].append(time.perf_counter() - start)
    print(f"batches of {given.batch}, {torch.get_num_threads()} threads")
    for name, taken in seconds.items():
        ratio = median(a / b for a, b in zip(seconds["plain"][SKIPPED:], taken[SKIPPED:], strict=True))
        print(f"{name}: {median(taken[SKIPPED:]):.3f} s a step, {ratio:.2f} times as fast as plain")


if __name__ == "__main__":
    main()
