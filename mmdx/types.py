"""The words that all rooms of mmdx share: sample, batch, features, fusion output, and the contracts of the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

Item = Tensor | dict[str, Tensor]
"""What an encoder's transform makes of one raw input: a tensor, or a dict of tensors, without a batch axis."""


@dataclass
class Sample:
    """One row of a cohort.

    Attributes:
        inputs: raw input of each modality; a missing modality is a missing key, a list is a bag of several raw inputs.
        target: the label as the data set states it.
        meta: ``sample_id``, ``patient_id``, ``site`` and whatever subgroups are audited.
    """

    inputs: dict[str, Any]
    target: Any
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class Batch:
    """B samples, ready for the model.

    Attributes:
        inputs: of each modality a tensor [B, I, ...] or a dict of such tensors, I the largest number of items in a bag.
        items: of each modality a bool tensor [B, I], true where an item really is there.
        present: of each modality a bool tensor [B], true where the sample has it.
        target: the encoded target, [B] or [B, K].
        meta: of each name a list of B values; ``index`` is the row in the data set.
    """

    inputs: dict[str, Item]
    items: dict[str, Tensor]
    present: dict[str, Tensor]
    target: Tensor
    meta: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.target)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        inputs = {m: {k: change(v) for k, v in x.items()} if isinstance(x, dict) else change(x) for m, x in self.inputs.items()}
        masks = [{m: change(v) for m, v in mask.items()} for mask in (self.items, self.present)]
        return Batch(inputs, masks[0], masks[1], change(self.target), self.meta)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, as the loader asks for it."""
        return self._map(lambda tensor: tensor.pin_memory())


class Features(NamedTuple):
    """What an encoder returns for one modality.

    Attributes:
        tokens: [B, N, D].
        mask: [B, N] bool, true where a token is real. The others are padding: how many there are, and where, depends on the other samples of
            the batch, so neither their number nor what stands in them may change anything. In an absent slot the mask, too, may be anything.
    """

    tokens: Tensor
    mask: Tensor

    @property
    def pooled(self) -> Tensor:
        """Mean of the real tokens, [B, D]; zeros where a sample has none."""
        real = self.mask[:, :, None]
        total = self.tokens.where(real, 0.0).sum(dim=1)
        return total / real.sum(dim=1).clamp(min=1)


class FusionOutput(NamedTuple):
    """What a fusion returns.

    Attributes:
        logits: [B, K].
        per_modality: of each modality its own logits [B, K], where the method has them; 0 where the modality is absent.
        weights: of each modality its share in the decision, [B], where the method has one: 0 or more, 0 where the modality is absent, together at
            most 1.
        aux_losses: further scalar losses by name, to be added to the task's.
    """

    logits: Tensor
    per_modality: dict[str, Tensor] = {}
    weights: dict[str, Tensor] = {}
    aux_losses: dict[str, Tensor] = {}


class Transform:
    """Turns one raw input of a modality into items for its encoder; the base does nothing but make a tensor.

    ``prepare`` is deterministic and its result may be kept in memory; ``__call__`` runs each time a sample is drawn.
    One that learns from data before training (vocabulary, scaling) overrides ``fit`` and ``load``.
    """

    def prepare(self, raw: Any) -> Any:
        """The part that is the same each time: decode, resample, filter, resize."""
        return raw

    def fit(self, prepared: Iterable[Any]) -> dict[str, Any]:
        """Learn from the training split's prepared inputs of this modality; the state is JSON and is in force at once."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back a state that ``fit`` returned."""

    def __call__(self, prepared: Any, rng: np.random.Generator | None) -> Item | list[Item]:
        """Items of one prepared input; ``rng`` draws the augmentation in training and is None elsewhere."""
        return torch.as_tensor(np.asarray(prepared), dtype=torch.float32)


@runtime_checkable
class Encoder(Protocol):
    """One modality's network: an ``nn.Module`` whose ``forward`` takes items [n, ...] and returns ``Features``.

    It knows no other modality, no task and nothing of training. ``width`` is D of the tokens. One with a ``transform``
    takes it as the constructor's keyword ``transform``, fitted beforehand; without one, ``Transform`` is used.
    """

    width: int

    def __call__(self, items: Item) -> Features: ...


@runtime_checkable
class Fusion(Protocol):
    """Joins the features of any number of modalities: built as ``Fusion(widths, head, ...)``, an ``nn.Module``.

    ``forward(features, present)``, its arguments so named, takes dicts by modality, in any order, and leaves them as they are; what stands in an
    absent slot or in padding changes nothing. Each sample has one modality at least, which cohorts and subsets see to. In evaluation it keeps
    nothing from one call to the next and draws nothing; all that it has learned is in its ``state_dict``.
    """

    def __call__(self, features: Mapping[str, Features], present: Mapping[str, Tensor]) -> FusionOutput: ...


@runtime_checkable
class Task(Protocol):
    """What is predicted: an ``nn.Module`` that owns loss, link and target checks. ``outputs`` is K of the logits [B, K], known once fitted.

    ``kind`` is that of the predictions (``binary``, ``multiclass``, ``multilabel``, ``ordinal``, ``regression`` or ``survival``). ``encode`` makes
    targets of a data set's table, [n] or [n, L]; ``strata`` labels [n] to stratify a split by; ``fit`` and ``load`` take what it learns from the
    training split's targets (class weights) as JSON; ``score`` is the validation score, higher being better, and ``score_name`` says which it
    is; ``predict`` and ``columns`` give the columns of the predictions table. A loss that is the mean of other than a batch's rows says of how many
    entries, by ``entries(target) -> int``, so that several processes can normalise it over all their batches.
    """

    kind: str
    score_name: str
    outputs: int

    def encode(self, table: pd.DataFrame) -> np.ndarray: ...

    def strata(self, target: np.ndarray) -> np.ndarray: ...

    def fit(self, target: np.ndarray) -> dict[str, Any]: ...

    def load(self, state: Any) -> None: ...

    def loss(self, logits: Tensor, target: Tensor) -> Tensor: ...

    def score(self, logits: Tensor, target: Tensor) -> float: ...

    def predict(self, logits: Tensor) -> dict[str, np.ndarray]: ...

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]: ...


@runtime_checkable
class Calibrated(Protocol):
    """A task that also learns from what the trained model says of the training split, such as a baseline hazard."""

    def calibrate(self, logits: Tensor, target: Tensor) -> dict[str, Any]:
        """The task's whole state, in force at once, from logits [n, K] and targets of the training rows; JSON that ``load`` takes back."""
        ...


@runtime_checkable
class Dataset(Protocol):
    """A cohort.

    Attributes:
        modalities: names of the modalities a sample may have.
        table: one row a sample, in the order of the index, with ``sample_id`` (unique strings), ``patient_id`` and ``site``
            (strings, or null where they are not known), ``target``, or ``target_LABEL``, or ``time`` and ``event``, optionally
            ``split`` (train, val, test), and ``meta_NAME`` for subgroups.
    """

    modalities: tuple[str, ...]
    table: pd.DataFrame

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@runtime_checkable
class Simulated(Protocol):
    """A cohort whose true posterior is known."""

    def posterior(self, subset: tuple[str, ...]) -> np.ndarray:
        """P(target = 1) of every row, [n], given those of the subset's modalities that the row has."""
        ...

    def optimum(self, subset: tuple[str, ...], rows: np.ndarray | None = None) -> dict[str, float]:
        """The best value of each metric that a model offered the subset can have on the population, mixed as the rows are; None takes all."""
        ...
