"""How much padding and time training.bucket_by=text saves: a Transformer of 6 layers on notes, batches as they are shuffled and by length.

    python scripts/bench_buckets.py data=openi_reports data.root=FOLDER [--batch 32] [--steps 40]

Padding is over one epoch: cells of all batches, each as long as its longest text, over the tokens that there are. Times are sums over the same number
of steps (forward, loss, backward, fused optimiser), alternating.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from pathlib import Path

import torch

from mmdx.commands.hydra_app import composed
from mmdx.data.loading import Examples, ModalityDropout, loader
from mmdx.data.sampling import EpochSampler
from mmdx.parts import study_from
from mmdx.training.build import build_model, fit_transforms, fused_form, parameter_groups

MODEL = ["+encoder/text@encoders.text=small_transformer", "encoders.text.layers=6", "encoders.text.transform.max_length=256", "logger=none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="as of train.py")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = study_from(composed([*MODEL, "trainer.accelerator=cpu", *given.overrides]), Path(folder))
        study.prepare()
        rows, plan = study.folds()[0].train, study.training
        transforms, _ = fit_transforms(study.model, study.cohort, rows)
        task = study.model.task()
        task.fit(study.target[rows])
        model = build_model(study.model, transforms, task.outputs)
        examples = Examples(study.cohort, transforms, study.target, 0, ModalityDropout(0.0))
        ways = {"shuffled": None, "by length": study.cohort.sizes_of("text", rows)}
        samplers = {name: EpochSampler(rows, "shuffled", sizes=sizes, batch_size=given.batch) for name, sizes in ways.items()}
        loaders = {name: loader(examples, sampler, given.batch, 0) for name, sampler in samplers.items()}
        for name, batches in loaders.items():
            masks = [batch.inputs["text"]["attention_mask"] for batch in batches]  # type: ignore[index, call-overload]
            tokens = sum(int(mask.sum()) for mask in masks)
            print(f"{name}: {sum(mask.numel() for mask in masks) / tokens:.2f} cells a token, {tokens / len(rows):.0f} tokens a text")
        nets = {name: copy.deepcopy(model).train() for name in ways}
        optimizers = {name: fused_form(plan.optimizer)(parameter_groups(net, study.model, plan.lr, plan.weight_decay)) for name, net in nets.items()}
        seconds = dict.fromkeys(ways, 0.0)
        for step, pair in enumerate(itertools.islice(zip(*loaders.values(), strict=True), given.steps + 2)):
            for name, batch in zip(ways, pair, strict=True):
                start = time.perf_counter()
                optimizers[name].zero_grad()
                task.loss(nets[name](batch).logits, batch.target).backward()
                optimizers[name].step()
                seconds[name] += time.perf_counter() - start if step >= 2 else 0.0
        print(f"by length {seconds['shuffled'] / seconds['by length']:.2f} times as fast, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
