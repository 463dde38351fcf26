"""Encoders of tabular values: numbers and categories, any of them missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mmdx.encoders.modules import all_real, check_transformer
from mmdx.errors import InputError, SampleError
from mmdx.types import Features, Transform

MISSING, UNSEEN, KNOWN = 0, 1, 2
"""Category indices: no value, a value that the training split does not have, the first value that it has."""

Value = float | str | None


class TabularTransform(Transform):
    """A dict of numbers, strings and Nones as standardised numbers and category indices; what is missing is said, not filled in.

    Mean, standard deviation and categories come from the training split. A number is (x - mean) / sd, and 0 where it is missing; a
    column that is constant in training says nothing and is always 0. Columns without a value in training are left out.

    Args:
        numeric, categorical: the columns to use; both None takes all: one with numbers alone is numeric, any other categorical.
    """

    def __init__(self, numeric: Sequence[str] | None = None, categorical: Sequence[str] | None = None) -> None:
        if both := sorted(set(numeric or ()) & set(categorical or ())):
            raise InputError(f"transform.numeric, transform.categorical: {', '.join(both)} in both; a column is one of the two.")
        self.given = None if numeric is None and categorical is None else (list(numeric or ()), list(categorical or ()))
        self.numeric: dict[str, tuple[float, float]] = {}  # mean and factor 1 / sd
        self.categorical: dict[str, list[str]] = {}

    def prepare(self, raw: Any) -> dict[str, Value]:
        """Numbers as float, missing values as None.

        Raises:
            SampleError: where the raw input is no dict, or a value is neither number, string nor None.
        """
        if not isinstance(raw, Mapping):
            raise SampleError(f"tabular values are {type(raw).__name__}, expected a dict from column to number, string or None.")
        return {str(column): _value(column, value) for column, value in raw.items()}

    def fit(self, prepared: Iterable[Mapping[str, Value]]) -> dict[str, Any]:
        """Columns, their means and standard deviations, and their categories.

        Raises:
            InputError: where no column has a value, a declared one isn't there, or a number is expected and is none.
        """
        columns: dict[str, list[float | str]] = {}
        for row in prepared:
            for column, value in row.items():
                columns.setdefault(column, []).extend([] if value is None else [value])
        if unknown := sorted({c for part in self.given or () for c in part} - set(columns)):
            raise InputError(f"transform: no tabular column {', '.join(unknown)}; there are {', '.join(sorted(columns))}.")
        columns = {c: values for c, values in columns.items() if values}
        if self.given is None:
            numeric = sorted(c for c, values in columns.items() if all(isinstance(v, float) for v in values))
            categorical = sorted(set(columns) - set(numeric))
        else:
            numeric, categorical = ([c for c in part if c in columns] for part in self.given)
        if not numeric and not categorical:
            raise InputError("transform: no tabular column to be used has a value in the training split; leave the modality out.")
        state = {
            "numeric": {c: _scale(c, [_number(c, v) for v in columns[c]]) for c in numeric},
            "categorical": {c: sorted({_category(v) for v in columns[c]}) for c in categorical},
        }
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``fit`` returned."""
        self.numeric = {c: (float(mean), float(factor)) for c, (mean, factor) in state["numeric"].items()}
        self.categorical = {c: list(values) for c, values in state["categorical"].items()}

    @property
    def cardinalities(self) -> list[int]:
        """Number of indices of each categorical column, missing and unseen included.

        Raises:
            InputError: where the transform is not fitted.
        """
        if not self.numeric and not self.categorical:
            raise InputError("TabularTransform: not fitted; call fit with the training rows, or load with an earlier state.")
        return [KNOWN + len(values) for values in self.categorical.values()]

    def __call__(self, prepared: Mapping[str, Value], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """``numeric`` float32 [P], ``missing`` float32 [P], 1 where a number is missing, ``categorical`` int64 [Q]."""
        values = [prepared.get(c) for c in self.numeric]
        numbers = [0.0 if v is None else (_number(c, v) - m) * f for v, (c, (m, f)) in zip(values, self.numeric.items(), strict=True)]
        return {
            "numeric": torch.tensor(numbers, dtype=torch.float32),
            "missing": torch.tensor([float(v is None) for v in values], dtype=torch.float32),
            "categorical": torch.tensor([_index(prepared.get(c), known) for c, known in self.categorical.items()], dtype=torch.int64),
        }


def _value(column: str, value: Any) -> Value:
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, Real | np.bool_):
        number = float(value)
        if math.isinf(number):
            raise SampleError(f"tabular column {column!r} is infinite; expected a finite number, or nothing where it is missing.")
        return None if math.isnan(number) else number
    raise SampleError(f"tabular column {column!r} is {type(value).__name__}; expected a number, a string, or None where it is missing.")


def _number(column: str, value: float | str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SampleError(f"tabular column {column!r} is {value!r}; expected a number. Mend it, or leave it empty.")
    return number


def _category(value: float | str) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _index(value: Value, known: list[str]) -> int:
    if value is None:
        return MISSING
    name = _category(value)
    return KNOWN + known.index(name) if name in known else UNSEEN


def _scale(column: str, values: list[float]) -> tuple[float, float]:
    """Mean and 1 / sd, 0 for a constant column.

    Raises:
        InputError: where the column has numbers too large for that.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, sd = float(np.mean(values)), float(np.std(values))
    if not (math.isfinite(mean) and math.isfinite(sd)):
        raise InputError(f"column '{column}': has values up to {max(map(abs, values)):g}, too large to scale. Mend or empty those cells.")
    return mean, 1.0 / sd if sd > 1e-9 * max(1.0, abs(mean)) else 0.0


def embedding_table(cardinality: int, width: int) -> nn.Embedding:
    """An embedding of categories in which missing and unseen begin at zero, so that what training never showed stays neutral."""
    table = nn.Embedding(cardinality, width)
    with torch.no_grad():
        table.weight.mul_(1.0 / math.sqrt(width))
        table.weight[:KNOWN] = 0.0
    return table


class TabularMLP(nn.Module):
    """A multilayer perceptron over numbers, their missing indicators, and embeddings of the categories.

    Args:
        transform: fitted; says which columns there are.
        width: D of the one token, and of the hidden layer.
        dropout: after the hidden layer.

    Shapes:
        items ``numeric`` [n, P], ``missing`` [n, P], ``categorical`` [n, Q] give tokens [n, 1, D].
    """

    def __init__(self, transform: TabularTransform, width: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        check_transformer(width, 1, 1, dropout)
        self.transform, self.width = transform, width
        sizes = [(count, min(16, math.ceil(math.sqrt(count)) + 1)) for count in transform.cardinalities]
        self.tables = nn.ModuleList(embedding_table(count, size) for count, size in sizes)
        inputs = 2 * len(transform.numeric) + sum(size for _, size in sizes)
        self.hidden = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Dropout(dropout))
        self.output = nn.Linear(width, width)

    def layers(self) -> list[nn.Module]:
        """Embeddings, hidden layer, output layer."""
        return [self.tables, self.hidden, self.output]

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        embedded = [table(items["categorical"][:, q]) for q, table in enumerate(self.tables)]
        x = torch.cat([items["numeric"], items["missing"], *embedded], dim=1)
        return all_real(self.output(self.hidden(x))[:, None])


class ColumnTokens(nn.Module):
    """One token a column (Gorishniy et al. 2021, arXiv:2106.11959, section 3.3), after [CLS].

    A number x_j gives b_j + x_j W_j, a category c gives b_j + E_j[c]; a missing number gives b_j + M_j, M_j its own vector.
    """

    def __init__(self, transform: TabularTransform, width: int) -> None:
        super().__init__()
        numbers, bound = len(transform.numeric), 1.0 / math.sqrt(width)
        self.tables = nn.ModuleList(embedding_table(count, width) for count in transform.cardinalities)
        self.weight = nn.Parameter(torch.empty(numbers, width).uniform_(-bound, bound))
        self.missing = nn.Parameter(torch.zeros(numbers, width))
        self.bias = nn.Parameter(torch.empty(numbers + len(self.tables), width).uniform_(-bound, bound))
        self.class_token = nn.Parameter(torch.empty(1, width).uniform_(-bound, bound))

    def forward(self, items: dict[str, Tensor]) -> Tensor:
        """Items as for ``FTTransformer`` to [n, 1 + P + Q, D]."""
        numbers = items["numeric"][:, :, None] * self.weight + items["missing"][:, :, None] * self.missing  # [n, P, D]
        categories = [table(items["categorical"][:, q])[:, None] for q, table in enumerate(self.tables)]
        columns = torch.cat([numbers, *categories], dim=1) + self.bias
        return torch.cat([self.class_token.expand(len(columns), -1, -1), columns], dim=1)  # [n, 1 + P + Q, D]


class ColumnLayer(nn.Module):
    """The paper's Transformer layer: attention and ReGLU feed-forward, each normalised before, but for the first layer's attention."""

    def __init__(self, width: int, heads: int, dropout: float, first: bool) -> None:
        super().__init__()
        inner = 4 * width // 3
        self.before_attention = nn.Identity() if first else nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.before_feed_forward = nn.LayerNorm(width)
        self.expand, self.contract = nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [n, N, D] to tokens of the same shape."""
        x = self.before_attention(tokens)
        tokens = tokens + self.attention(x, x, x, need_weights=False)[0]
        value, gate = self.expand(self.before_feed_forward(tokens)).chunk(2, dim=-1)
        return tokens + self.contract(self.dropout(value * torch.relu(gate)))


class FTTransformer(nn.Module):
    """FT-Transformer (Gorishniy et al. 2021, arXiv:2106.11959, section 3.3): a Transformer over column tokens and [CLS].

    It knows columns by their own weights and not by their place, so their order is of no account.

    Args:
        transform: fitted; says which columns there are.
        width: D of the tokens, a multiple of ``heads``.
        layers: number of Transformer layers.
        heads: attention heads a layer.
        dropout: in attention and feed-forward layers.

    Shapes:
        items ``numeric`` [n, P], ``missing`` [n, P], ``categorical`` [n, Q] give tokens [n, 1 + P + Q, D], [CLS] first.
    """

    def __init__(self, transform: TabularTransform, width: int = 64, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        check_transformer(width, layers, heads, dropout)
        self.transform, self.width = transform, width
        self.columns = ColumnTokens(transform, width)
        self.blocks = nn.ModuleList(ColumnLayer(width, heads, dropout, first=i == 0) for i in range(layers))
        self.norm = nn.LayerNorm(width)

    def layers(self) -> list[nn.Module]:
        """Column tokens, Transformer layers, last normalisation."""
        return [self.columns, *self.blocks, self.norm]

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        tokens = self.columns(items)
        for block in self.blocks:
            tokens = block(tokens)
        return all_real(self.norm(tokens))
