"""Whether loading keeps up: samples a second that the input pipeline delivers, over what the training step consumes.

    python scripts/bench_loading.py +experiment=pcg data=physionet2016 data.root=FOLDER [--workers 2] [--seconds 20]

The cache is warm: every sample was read and prepared once and is in memory. The pipeline is the training one (augmentation, modality dropout,
collation, batches of the experiment's size) with loader workers; the step is forward, loss, backward and optimiser on batches that lie ready, on this
machine's device, with as many threads as PyTorch takes. Each is measured alone, alternating, and the ratio is the median of pairs. Where it is
below 5 the parts of the pipeline are shown, so that one sees what it is bound by.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.data.loading import Examples, loader
from mmdx.data.sampling import EpochSampler
from mmdx.parts import study_from
from mmdx.training.build import build_model, fit_transforms, parameter_groups
from mmdx.training.fit import device_of

ENOUGH = 5.0


def batches_of(examples: Examples, sampler: EpochSampler, batch_size: int, workers: int) -> Iterator[Any]:
    """Batches without end, epoch after epoch."""
    made = loader(examples, sampler, batch_size, workers)
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from made


def rate(step: Any, seconds: float) -> float:
    """Samples a second: ``step`` returns how many it did."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        done += step()
    return done / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="+", help="as of train.py")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="for each of both, in all")
    given = parser.parse_args()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = resolved(compose("train", given.overrides))
    check_config(cfg)
    with tempfile.TemporaryDirectory() as folder:
        study = study_from(cfg, Path(folder))
        study.prepare()
        train = study.folds()[0].train
        if len(study.cohort.kept) < len(study.rows):
            print("the prepared cohort does not fit data.cache_gb: samples are read anew each time")
        transforms, _ = fit_transforms(study.model, study.cohort, train)
        task = study.model.task()
        task.fit(study.target[train])
        model = build_model(study.model, transforms, task.outputs).to(device := device_of(study.training)).train()
        plan = study.training
        optimizer = plan.optimizer(parameter_groups(model, study.model, plan.lr, plan.weight_decay))
        examples = Examples(study.cohort, transforms, study.target, 0, plan.modality_dropout)
        sampler = EpochSampler(train, "shuffled")
        ready = [batch.to(device) for batch in itertools.islice(batches_of(examples, sampler, plan.batch_size, 0), 8)]
        delivered = batches_of(examples, sampler, plan.batch_size, given.workers)
        again = itertools.cycle(ready)

        def load() -> int:
            return len(next(delivered).target)

        def learn() -> int:
            batch = next(again)
            optimizer.zero_grad()
            output = model(batch)
            loss = plan.fused_loss * task.loss(output.logits, batch.target)
            for logits in output.per_modality.values() if plan.per_modality_loss else ():
                loss = loss + plan.per_modality_loss * task.loss(logits, batch.target)
            loss.backward()
            optimizer.step()
            return len(batch.target)

        rate(load, 2), rate(learn, 2)
        pairs = [(rate(load, given.seconds / 5), rate(learn, given.seconds / 5)) for _ in range(5)]
        ratio = median(a / b for a, b in pairs)
        print(f"{cfg.name} on {cfg.data.name}, batches of {plan.batch_size}, {given.workers} workers, {torch.get_num_threads()} threads, {device}")
        print(f"  pipeline {median(a for a, _ in pairs):.0f} samples a second, training step {median(b for _, b in pairs):.0f}; {ratio:.1f} times")
        if ratio < ENOUGH:
            alone = batches_of(examples, sampler, plan.batch_size, 0)
            next(alone)
            with cProfile.Profile() as profile:
                rate(lambda: len(next(alone).target), given.seconds / 5)
            pstats.Stats(profile).sort_stats("tottime").print_stats(8)


if __name__ == "__main__":
    main()
