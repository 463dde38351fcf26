"""Predictions of a trained model, for the full set of modalities and for each subset offered to it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from mmdx.training.distributed import gather
from mmdx.training.model import MultimodalModel
from mmdx.types import Batch, Task


def subsets(modalities: Iterable[str]) -> list[tuple[str, ...]]:
    """Every non-empty subset, largest first; for more than five modalities only all, all but one, and single ones."""
    names = sorted(modalities)
    sizes = range(len(names), 0, -1) if len(names) <= 5 else sorted({len(names), len(names) - 1, 1}, reverse=True)
    return [subset for size in sizes for subset in combinations(names, size)]


def subset_name(subset: Iterable[str]) -> str:
    """How a subset is called in tables, ``image+text``."""
    return "+".join(sorted(subset))


@torch.no_grad()
def outputs_of(model: MultimodalModel, batches: Iterable[Batch], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [n, K] and targets of all samples of the batches, each offered all that it has and counted once, in the order of the data set."""
    model = model.to(device).eval()
    own = [(batch.meta["index"], model(batch.to(device)).logits.float().cpu(), batch.target) for batch in batches]
    seen = [batch for part in gather(own) for batch in part]
    _, first = np.unique(np.concatenate([index for index, _, _ in seen]), return_index=True)
    return torch.cat([logits for _, logits, _ in seen])[first], torch.cat([target for _, _, target in seen])[first]


@torch.no_grad()
def predict(
    model: MultimodalModel, task: Task, batches: Iterable[Batch], offered: list[tuple[str, ...]], device: torch.device
) -> pd.DataFrame:
    """One row a sample and subset of which the sample has something: ``index``, ``modalities``, ``present`` and the task's columns.

    Each sample is counted once, also where a distributed sampler handed it to two processes. Features are encoded once and
    serve every subset.
    """
    model = model.to(device).eval()
    parts = []
    for batch in batches:
        moved = batch.to(device)
        features = model.encode(moved)
        index = batch.meta["index"]
        for subset in offered:
            logits, rows = model.offered(features, moved.present, subset)
            kept = rows.tolist()
            present = [subset_name(m for m in subset if batch.present[m][row]) for row in kept]
            predicted = task.predict(logits.float()) if kept else {}
            part = {"index": [index[row] for row in kept], "modalities": subset_name(subset), "present": present, **predicted}
            parts.append(pd.DataFrame(part))
    frame = pd.concat([f for f in gather(pd.concat(parts, ignore_index=True))], ignore_index=True)
    order = {subset_name(s): i for i, s in enumerate(offered)}
    frame = frame.drop_duplicates(["modalities", "index"])
    return frame.sort_values(["modalities", "index"], key=lambda c: c.map(order) if c.name == "modalities" else c, ignore_index=True)
