"""Frozen encoders run once: their features take the place of the raw inputs, for all folds, seeds and subsets of a study."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.data.collate import Example, collate
from mmdx.data.prepare import PreparedCohort
from mmdx.encoders.tuning import FullTuning
from mmdx.errors import InputError
from mmdx.training.build import build_model
from mmdx.training.model import MultimodalModel
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.types import Features, Transform


class StandardisedFeatures(Transform):
    """Precomputed features as items, each dimension standardised by mean and standard deviation over the training split's tokens."""

    def __init__(self, width: int) -> None:
        self.mean, self.sd = np.zeros(width, np.float32), np.ones(width, np.float32)

    def fit(self, prepared: Any) -> dict[str, Any]:
        """Mean and standard deviation of each dimension; 1 where a dimension is constant."""
        tokens = np.concatenate([tokens[mask] for tokens, mask in prepared]).astype(np.float64)
        sd = tokens.std(axis=0)
        state = {"mean": tokens.mean(axis=0).tolist(), "sd": np.where(sd > 1e-6, sd, 1.0).tolist()}
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``fit`` returned."""
        self.mean, self.sd = np.array(state["mean"], np.float32), np.array(state["sd"], np.float32)

    def __call__(self, prepared: tuple[np.ndarray, np.ndarray], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """Tokens [N, D] and mask [N]."""
        tokens, mask = prepared
        return {"tokens": torch.from_numpy((tokens - self.mean) / self.sd), "mask": torch.from_numpy(mask)}


class PrecomputedFeatures(nn.Module):
    """An encoder that hands on features computed beforehand.

    Args:
        width: D of the tokens.
        transform: the standardisation.
    """

    def __init__(self, width: int, transform: Transform) -> None:
        super().__init__()
        self.width, self.transform = width, transform

    def layers(self) -> list[nn.Module]:
        """None that learns."""
        return []

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Items ``tokens`` [n, N, D] and ``mask`` [n, N] as ``Features``."""
        return Features(items["tokens"], items["mask"])


class EncodedCohort(PreparedCohort):
    """A prepared cohort with features in the place of inputs."""

    def __init__(self, source: PreparedCohort, features: dict[int, dict[str, list[Any]]]) -> None:
        self.__dict__.update(source.__dict__)
        self.kept = features


@torch.no_grad()
def encode_once(cohort: PreparedCohort, plan: ModelPlan, rows: np.ndarray, device: torch.device, batch_size: int) -> tuple[PreparedCohort, ModelPlan]:
    """Features of every frozen encoder over ``rows``, and a plan in which they take the encoders' place.

    Raises:
        InputError: where an encoder isn't frozen, or its transform learns from data and so differs from fold to fold.
    """
    transforms = {m: copy.deepcopy(part.transform) for m, part in plan.encoders.items()}
    for m, transform in transforms.items():
        if type(transform).fit is not Transform.fit:
            raise InputError(f"encoders.{m}: its {type(transform).__name__} is fitted on each training split; use training=end_to_end.")
    model = build_model(ModelPlan(plan.encoders, lambda widths, head: nn.Identity(), plan.task), transforms, 1).to(device).eval()
    for m, encoder in model.encoders.items():
        learning = sum(p.requires_grad for p in encoder.parameters()) + sum(p.requires_grad for p in _parameters(model, m))
        if learning:
            raise InputError(
                f"encoders.{m}: {learning} of its weights are trained, so its features change; for training=frozen_features "
                f"add /encoder/tuning@encoders.{m}.tuning: frozen, or use training=end_to_end."
            )
    features: dict[int, dict[str, list[Any]]] = {}
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        examples = [Example(int(i), _all_items(transforms, cohort[int(i)]), 0.0) for i in chunk]
        batch = collate(examples)
        encoded = {m: (f.tokens.cpu().numpy(), f.mask.cpu().numpy()) for m, f in model.encode(batch.to(device)).items()}
        for row, index in enumerate(chunk):
            there = {m: bool(batch.present[m][row]) for m in encoded}
            features[int(index)] = {m: [(t[row], k[row])] if there[m] else [] for m, (t, k) in encoded.items()}
    widths = model.widths
    parts = {m: EncoderPlan(_precomputed(width), StandardisedFeatures(width), FullTuning(), source=plan.sources[m]) for m, width in widths.items()}
    return EncodedCohort(cohort, features), replace(plan, encoders=parts)


def _parameters(model: MultimodalModel, modality: str) -> list[nn.Parameter]:
    return list(model.aggregators[modality].parameters()) if modality in model.aggregators else []


def _precomputed(width: int) -> Any:
    return lambda transform: PrecomputedFeatures(width, transform)


def _all_items(transforms: Mapping[str, Transform], prepared: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    items: dict[str, list[Any]] = {}
    for m, transform in transforms.items():
        made = [transform(part, None) for part in prepared[m]]
        items[m] = [item for one in made for item in (one if isinstance(one, list) else [one])]
    return items
