"""Frozen encoders run once: their features take the place of the raw inputs, for all folds, seeds and subsets of a study and for later runs."""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.data.collate import Example, collate
from mmdx.data.feature_store import FeatureStore, Located, remove_old
from mmdx.data.identity import Identity, code_of
from mmdx.data.prepare import Digests, Prepared, PreparedCohort, content_of
from mmdx.encoders.tuning import FullTuning
from mmdx.errors import InputError, SampleError
from mmdx.training.alike import described
from mmdx.training.build import build_model, pretrained_transforms
from mmdx.training.model import MultimodalModel
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.types import Dataset, Features, Transform

KEPT = 1024
"""Rows after which the features made so far are written: what a kill can lose."""


class StandardisedFeatures(Transform):
    """Precomputed features as items, each dimension standardised by mean and standard deviation over the training split's tokens."""

    def __init__(self, width: int) -> None:
        self.mean, self.sd = np.zeros(width, np.float32), np.ones(width, np.float32)

    def fit(self, prepared: Any) -> dict[str, Any]:
        """Mean and standard deviation of each dimension over the rows of tokens [N, D]; 1 where a dimension is constant."""
        state = statistics(np.concatenate(list(prepared)))
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``fit`` returned."""
        self.mean, self.sd = np.array(state["mean"], np.float32), np.array(state["sd"], np.float32)

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> dict[str, Tensor]:
        """Tokens [N, D] and mask [N]."""
        return {"tokens": torch.from_numpy((prepared - self.mean) / self.sd), "mask": torch.ones(len(prepared), dtype=torch.bool)}


def statistics(tokens: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation [D] of tokens [S, D], as a state of ``StandardisedFeatures``."""
    exact = tokens.astype(np.float64)
    sd = exact.std(axis=0)
    return {"mean": exact.mean(axis=0).tolist(), "sd": np.where(sd > 1e-6, sd, 1.0).tolist()}


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
    """A prepared cohort with features in the place of inputs.

    Attributes:
        located: of each modality where the features of every row of the data set are.
    """

    def __init__(self, source: PreparedCohort, located: Mapping[str, Located]) -> None:
        self.__dict__.update(source.__dict__)
        self.located = dict(located)

    def __getitem__(self, index: int) -> Prepared:
        """Of each modality a list of its tokens [N, D], empty where the row lacks it."""
        return {m: [] if (tokens := own.tokens_of(index)) is None else [tokens] for m, own in self.located.items()}


class FrozenEncoders:
    """Encoders whose weights do not learn, with the transforms before them.

    Args:
        plan: what the model is made of.
        device: where the encoders run.

    Raises:
        InputError: where an encoder isn't frozen, or its transform learns from data and so differs from fold to fold.
    """

    def __init__(self, plan: ModelPlan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.transforms = pretrained_transforms(plan)
        for m, transform in self.transforms.items():
            if type(transform).fit is not Transform.fit and not plan.encoders[m].pretrained:
                raise InputError(f"encoders.{m}: its {type(transform).__name__} is fitted on each training split; use training=end_to_end.")
        self.model = build_model(ModelPlan(plan.encoders, lambda widths, head: nn.Identity(), plan.task), self.transforms, 1).to(device).eval()
        for m, encoder in self.model.encoders.items():
            learning = sum(p.requires_grad for module in (encoder, *_aggregator(self.model, m)) for p in module.parameters())
            if learning:
                raise InputError(
                    f"encoders.{m}: {learning} of its weights are trained, so its features change; for training=frozen_features "
                    f"add /encoder/tuning@encoders.{m}.tuning: frozen, or use training=end_to_end."
                )

    def key(self, modality: str) -> str:
        """What the features of a modality follow from beside a row's raw input: transform, architecture, settings, weights, aggregation, code."""
        found = hashlib.blake2b(digest_size=16)
        for part in (type(self.model), *(type(module) for module in self._modules(modality))):
            found.update(f"{part.__module__}.{part.__qualname__}".encode() + Path(inspect.getfile(part)).read_bytes())
        transform = self.transforms[modality]
        found.update(pickle.dumps((self.plan.sources[modality], transform, self.device.type)) + code_of(type(transform)).encode())
        for module in (self.model.encoders[modality], *_aggregator(self.model, modality)):
            found.update(described(module).encode())
            for name, tensor in sorted({**dict(module.named_parameters()), **dict(module.named_buffers())}.items()):
                found.update(name.encode() + str((tensor.dtype, tuple(tensor.shape))).encode())
                found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def _modules(self, modality: str) -> Iterator[nn.Module]:
        for module in (self.model.encoders[modality], *_aggregator(self.model, modality)):
            yield from (part for part in module.modules() if part.__class__.__module__.split(".")[0] not in ("torch", "builtins"))

    @torch.no_grad()
    def encode(self, prepared: Sequence[Prepared]) -> dict[str, list[np.ndarray | None]]:
        """Of each modality the features [N, D] of some rows, without padding; None where a row lacks it."""
        examples = [Example(i, {m: _items(t, own[m]) for m, t in self.transforms.items()}, 0.0) for i, own in enumerate(prepared)]
        batch = collate(examples)
        found: dict[str, list[np.ndarray | None]] = {}
        for m, features in self.model.encode(batch.to(self.device)).items():
            tokens, mask = features.tokens.float().cpu().numpy(), features.mask.cpu().numpy()
            found[m] = [own[real] if here else None for own, real, here in zip(tokens, mask, batch.present[m].tolist(), strict=True)]
        return found


def encode_once(
    dataset: Dataset, plan: ModelPlan, device: torch.device, batch_size: int, workers: int = 0, cache: Path | None = None, gigabytes: float = 20.0
) -> tuple[EncodedCohort, ModelPlan, np.ndarray]:
    """Features of every row that can be used, from the cache or encoded now, a plan in which they take the encoders' place, and those rows.

    Args:
        dataset: the cohort.
        plan: what the model is made of.
        device: where the encoders run.
        batch_size: rows that are encoded at once.
        workers: processes that read; 0 reads in threads of this one.
        cache: the folder of feature stores; None keeps features in memory alone.
        gigabytes: the most that it takes.

    Raises:
        InputError: as ``FrozenEncoders``; or where the cache cannot be written.
    """
    encoders = FrozenEncoders(plan, device)
    cohort = PreparedCohort(dataset, encoders.transforms, 0.0, plan.sources)
    identity = Identity(dataset, {}, {})
    names = [identity.of(index) or f"row {index}" for index in range(len(dataset))]
    persistent = cache is not None and not any(name.startswith("row ") for name in names)
    widths = encoders.model.widths
    stores = {m: FeatureStore(cache / encoders.key(m) if cache is not None and persistent else None, widths[m]) for m in encoders.transforms}
    unknown = [index for index, name in enumerate(names) if not all(name in store for store in stores.values())]
    _fill(cohort, encoders, stores, names, unknown, batch_size, workers)
    for store in stores.values():
        store.join()
    if cache is not None and persistent:
        remove_old(cache, int(gigabytes * 2**30), {store.folder for store in stores.values() if store.folder})
    located = {m: store.find(names) for m, store in stores.items()}
    for column, m in enumerate(cohort.transforms):
        cohort.has[:, column] = located[m].length >= 0
    rows = np.flatnonzero(cohort.has.any(axis=1))
    cohort.unused = len(dataset) - len(rows) - len(cohort.faults)
    digests = {cohort.sources[m]: stores[m] for m in cohort.transforms}
    for index in rows.tolist():
        cohort.contents[index] = content_of({source: store.content(names[index]) for source, store in digests.items()})
    cohort.fingerprint = cohort.fingerprint_of(rows.tolist())
    parts = {m: EncoderPlan(_precomputed(width), StandardisedFeatures(width), FullTuning(), source=plan.sources[m]) for m, width in widths.items()}
    return EncodedCohort(cohort, located), replace(plan, encoders=parts), rows


def _fill(
    cohort: PreparedCohort,
    encoders: FrozenEncoders,
    stores: Mapping[str, FeatureStore],
    names: Sequence[str],
    rows: Sequence[int],
    batch_size: int,
    workers: int,
) -> None:
    """Encode rows and put them into the stores."""
    if not rows:
        return
    from mmdx.training.progress import Bar

    started = time.monotonic()
    pending: list[tuple[str, Prepared, Digests]] = []
    done: dict[str, list[tuple[str, str, np.ndarray | None]]] = {m: [] for m in stores}

    def encode() -> None:
        there = [row for row in pending if any(row[1].values())]
        found = encoders.encode([prepared for _, prepared, _ in there]) if there else {m: [] for m in stores}
        for m, store in stores.items():
            lacking = [(name, digests[cohort.sources[m]], None) for name, prepared, digests in pending if not any(prepared.values())]
            done[m] += lacking + [(name, digests[cohort.sources[m]], own) for (name, _, digests), own in zip(there, found[m], strict=True)]
            if len(done[m]) >= KEPT:
                _put(store, done[m])
        pending.clear()

    with Bar("encoding", len(rows)) as bar:
        for index, (outcome, _) in zip(rows, cohort.outcomes(rows, workers), strict=True):
            if isinstance(outcome, SampleError):
                cohort.faults.append(outcome)
            else:
                pending.append((names[index], *outcome))
                if len(pending) == batch_size:
                    encode()
            bar.step()
        encode()
        for m, store in stores.items():
            _put(store, done[m])
    known, new = len(names) - len(rows), len(rows) - len(cohort.faults)
    print(f"{new} samples encoded in {time.monotonic() - started:.0f} s, {known} from the cache", file=sys.stdout, flush=True)


def _put(store: FeatureStore, done: list[tuple[str, str, np.ndarray | None]]) -> None:
    fresh = {name: (content, tokens) for name, content, tokens in done if name not in store}
    if fresh:
        store.put(list(fresh), [content for content, _ in fresh.values()], [tokens for _, tokens in fresh.values()])
    done.clear()


def _aggregator(model: MultimodalModel, modality: str) -> tuple[nn.Module, ...]:
    return (model.aggregators[modality],) if modality in model.aggregators else ()


def _precomputed(width: int) -> Any:
    return lambda transform: PrecomputedFeatures(width, transform)


def _items(transform: Transform, bag: list[Any]) -> list[Any]:
    made = [transform(part, None) for part in bag]
    return [item for one in made for item in (one if isinstance(one, list) else [one])]
