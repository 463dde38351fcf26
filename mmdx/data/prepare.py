"""Read a whole cohort once: check each sample, do the work that is the same each time, keep the result where it fits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from mmdx.data.identity import Identity
from mmdx.data.prepared_store import PreparedStore
from mmdx.data.tables import target_columns
from mmdx.errors import InputError, SampleError
from mmdx.types import Dataset, Transform

PROBE = 64
"""Samples after which the memory that the whole cohort needs is estimated."""

Prepared = dict[str, list[Any]]
"""Of each modality a list of prepared inputs, one an item of the bag, empty where the sample lacks it."""


Digests = dict[str, str]
"""Of each modality of the data set a hash of a row's raw input."""
Outcome = tuple[tuple[Prepared, Digests] | SampleError, str]
"""The prepared inputs of a row and the hashes of the raw ones, or its fault; and its name in the store, empty where it has none."""


class PreparedCohort:
    """A data set as its transforms' ``prepare`` leaves it, in memory or made again each time it is asked for.

    Args:
        dataset: where samples come from.
        transforms: one an encoder; modalities without one are not read.
        sources: of an encoder the modality that it reads, where that is not the one of its own name.
        memory_gb: the most of the prepared inputs that may be kept in memory, in GiB; they are kept where all fit.
        store: keeps them on disk for the next run, and for this one where they don't fit memory; None does not. Rows without files of
            their own are not kept there.

    Attributes:
        faults: the samples that could not be read, filled by ``read``.
        unused: how many samples have other modalities only, filled by ``read``.
        contents: [n], of each usable row a hash of its raw inputs, filled by ``read``; None for the others.
        fingerprint: hash over the ids, targets and raw inputs of all readable samples, whatever their order, filled by ``read``.
    """

    def __init__(
        self,
        dataset: Dataset,
        transforms: Mapping[str, Transform],
        memory_gb: float = 4.0,
        sources: Mapping[str, str] | None = None,
        store: PreparedStore | None = None,
    ) -> None:
        self.dataset, self.transforms = dataset, dict(transforms)
        self.sources = {m: (sources or {}).get(m, m) for m in self.transforms}
        self.memory_gb, self.store = memory_gb, store
        self.stored: dict[int, str] = {}  # of rows that are on disk the names they have there
        self.kept: dict[int, Prepared] = {}
        self.has = np.zeros((len(dataset), len(self.transforms)), dtype=bool)  # [n, M], columns in the order of transforms
        self.sizes = np.zeros((len(dataset), len(self.transforms)), dtype=np.int64)  # bytes of the prepared inputs [n, M], 0 where there are none
        self.faults: list[SampleError] = []
        self.unused = 0
        self.contents = np.full(len(dataset), None, dtype=object)
        self.fingerprint = ""

    def read(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter, workers: int = 0) -> np.ndarray:
        """Read every sample once and return the rows that can be used; the others are in ``faults``.

        Args:
            progress: what shows how far it is.
            workers: processes that read; 0 reads in threads of this one.
        """
        usable, size = [], 0
        every = range(len(self.dataset))
        for done, (index, (outcome, name)) in enumerate(zip(progress(every), self.outcomes(every, workers), strict=True)):
            if name:
                self.stored[index] = name
            if isinstance(outcome, SampleError):
                self.faults.append(outcome)
                continue
            prepared, digests = outcome
            if not any(prepared.values()):
                self.unused += 1
                continue
            self.contents[index] = content_of(digests)
            usable.append(index)
            self.has[index] = [bool(prepared[m]) for m in self.transforms]
            self.sizes[index] = [_bytes(prepared[m]) for m in self.transforms]
            size += int(self.sizes[index].sum())
            if size / (done + 1) * (len(self.dataset) if done >= PROBE else done + 1) > self.memory_gb * 2**30:
                self.memory_gb, self.kept = 0.0, {}
            if self.memory_gb:
                self.kept[index] = prepared
        self.fingerprint = self.fingerprint_of(usable)
        return np.array(usable, dtype=int)

    def fingerprint_of(self, rows: list[int]) -> str:
        """Hash over the ids, targets and contents of some rows."""
        table = self.dataset.table.iloc[rows]
        targets = table[target_columns(table)].to_dict("list")
        each = (dict(zip(targets, values, strict=True)) for values in zip(*targets.values(), strict=True))
        said = sorted(f"{s}|{t}|{c}" for s, t, c in zip(table["sample_id"], each, self.contents[rows], strict=True))
        return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()

    @cached_property
    def identity(self) -> Identity:
        """Names rows for the store."""
        return Identity(self.dataset, self.transforms, self.sources)

    def outcomes(self, rows: Sequence[int], workers: int = 0) -> Iterator[Outcome]:
        """What is made of some rows, in their order, and their names in the store."""
        if workers:
            from torch.utils.data import DataLoader

            wanted: Any = _Outcomes(self, rows)  # as good as a torch data set
            for outcomes in DataLoader(wanted, batch_size=8, num_workers=workers, collate_fn=list):
                yield from outcomes
            return
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for start in range(0, len(rows), PROBE):
                yield from pool.map(self._outcome, rows[start : start + PROBE])

    def _outcome(self, index: int) -> Outcome:
        """What is made of a row, and its name in the store."""
        if self.store is None:
            return self._made(index), ""
        name = self.identity.of(index)
        if not name:
            return self._made(index), ""
        if (kept := self.store.get(name)) is not None:
            return (kept["prepared"], kept["digests"]), name
        outcome = self._made(index)
        if not isinstance(outcome, SampleError) and self.identity.of(index) == name:  # not changed while it was read
            self.store.put(name, {"prepared": outcome[0], "digests": outcome[1]})
        return outcome, name

    def _made(self, index: int) -> tuple[Prepared, Digests] | SampleError:
        """The prepared inputs of a row and the hashes of the raw ones."""
        try:
            sample = self.dataset[index]
            prepared = self._prepare(sample.inputs)
        except SampleError as fault:
            return self._named(fault, index)
        row = self.dataset.table.iloc[index]
        if not sample.inputs:
            return SampleError(
                f"sample {row['sample_id']!r} has no modality at all. "
                "Remove the row, or set data.on_error=quarantine to go on without it.",
                sample_id=str(row["sample_id"]),
            )
        return prepared, {name: _digest_of(sample.inputs.get(name)) for name in sorted(set(self.sources.values()))}

    def _named(self, fault: SampleError, index: int) -> SampleError:
        """A transform knows nothing of samples, so its faults get the name of the sample here."""
        sample_id = str(self.dataset.table["sample_id"].iloc[index])
        files = [str(path) for paths in getattr(self.dataset, "paths_of", lambda index: {})(index).values() for path in paths]
        name = f"sample {sample_id!r}" + (f" ({', '.join(files)})" if files else "")
        message = str(fault) if sample_id in str(fault) or fault.sample_id else f"{name}: {fault}"
        return SampleError(message, sample_id=fault.sample_id or sample_id, file=fault.file, row=fault.row)

    def _prepare(self, inputs: Mapping[str, Any]) -> Prepared:
        return {m: [transform.prepare(raw) for raw in _bag(inputs.get(self.sources[m]))] for m, transform in self.transforms.items()}

    def __getitem__(self, index: int) -> Prepared:
        """The prepared inputs of one sample."""
        if index in self.kept:
            return self.kept[index]
        if self.store is not None and index in self.stored and (kept := self.store.get(self.stored[index])) is not None:
            return kept["prepared"]
        return self._prepare(self.dataset[index].inputs)

    def inputs_of(self, modality: str, indices: Iterable[int]) -> Iterator[Any]:
        """The prepared inputs of one modality over some rows, bags laid open."""
        for index in indices:
            yield from self[int(index)][modality]

    def sizes_of(self, modality: str, rows: np.ndarray) -> np.ndarray:
        """How large the prepared inputs of a modality are, in bytes [n], 0 where a row has none."""
        return self.sizes[rows, list(self.transforms).index(modality)]

    def rows_with(self, modalities: Iterable[str]) -> np.ndarray:
        """Whether a sample has at least one of the modalities, bool [n]."""
        names = list(self.transforms)
        return np.asarray(self.has[:, [names.index(m) for m in modalities]].any(axis=1))


class _Outcomes:
    """What a cohort makes of each row, for a loader's workers."""

    def __init__(self, cohort: PreparedCohort, rows: Sequence[int]) -> None:
        self.cohort, self.rows = cohort, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Outcome:
        return self.cohort._outcome(self.rows[place])


def content_of(digests: Digests) -> str:
    """One hash of a row's raw inputs."""
    return hashlib.blake2b(json.dumps(digests, sort_keys=True).encode(), digest_size=16).hexdigest()


def stop_or_quarantine(faults: list[SampleError], on_error: str) -> None:
    """Raise what is wrong with the data, unless faulty samples are to be set aside.

    Raises:
        InputError: the first fault, and how many there are.
    """
    if faults and on_error == "stop":
        more = f" ({len(faults)} such samples in all)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}")


def _bag(raw: Any) -> list[Any]:
    if raw is None:
        return []
    return raw if isinstance(raw, list) else [raw]


def _bytes(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_bytes(v) for v in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes(v) for v in value)
    return int(getattr(value, "nbytes", 0)) or (len(value) if isinstance(value, str) else 64)


def _digest_of(raw: Any) -> str:
    content = hashlib.blake2b(digest_size=16)
    for part in _bag(raw):
        _digest(part, content.update)
    return content.hexdigest()


def _digest(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value):
            update(str(key).encode())
            _digest(value[key], update)
    elif isinstance(value, list | tuple):
        for part in value:
            _digest(part, update)
    else:
        update(repr(value).encode())
