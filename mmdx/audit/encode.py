"""What a probe reads: texts and tables as sparse numbers. No label is used, so it is made once, from all rows, for all folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer

MISSING = "(missing)"
BINS, FEWEST = 20, 5
"""A column of numbers is cut into this many quantiles; a value or quantile of fewer rows has no indicator of its own."""


def encode_texts(texts: Sequence[str]) -> tuple[csr_matrix, np.ndarray]:
    """TF-IDF [n, W] of words and pairs of words that are in two texts or more, and their names [W]."""
    words = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, max_features=50_000, token_pattern=r"(?u)\b\w+\b", strip_accents="unicode", sublinear_tf=True
    )
    try:
        return words.fit_transform(texts).tocsr(), words.get_feature_names_out()
    except ValueError:  # no word is in two texts
        return csr_matrix((len(texts), 1)), np.array([""])


def encode_table(frame: pd.DataFrame) -> csr_matrix:
    """Indicators [n, W] of the values of each column; of numbers the rank, from -1 to 1, and indicators of quantiles. Missing is a value."""
    parts = [part for name in frame for part in _encode(as_column(frame[name]))]
    return hstack(parts).tocsr() if parts else csr_matrix((len(frame), 1))


def _encode(column: pd.Series) -> list[csr_matrix]:
    if column.dtype == object:
        return _indicators(pd.factorize(column)[0])
    values = column.to_numpy(dtype=float)
    known = ~np.isnan(values)
    if not known.any():
        return []
    rank = np.zeros(len(values))
    rank[known] = 2 * (pd.Series(values[known]).rank().to_numpy() - 0.5) / known.sum() - 1
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    return [csr_matrix(rank[:, None]), *_indicators(np.where(known, np.searchsorted(edges, values, side="right"), -1))]


def _indicators(codes: np.ndarray) -> list[csr_matrix]:
    values, counts = np.unique(codes, return_counts=True)
    kept = values[(counts >= FEWEST) & (counts < len(codes))]
    return [csr_matrix((codes[:, None] == kept).astype(float))] if len(kept) else []


def as_column(column: pd.Series) -> pd.Series:
    """Numbers as float with NaN, anything else as text with missing ones named."""
    numbers = pd.to_numeric(column, errors="coerce")
    if (numbers.notna() == column.notna()).all():
        return numbers.astype(float)
    return pd.Series([MISSING if v is None or v != v else str(v) for v in column], index=column.index, dtype=object)


def is_text(column: pd.Series) -> bool:
    """Whether a column holds free text: strings of three words and more on average."""
    cells = column.dropna()
    return len(cells) > 0 and all(isinstance(c, str) for c in cells) and sum(len(c.split()) for c in cells) >= 3 * len(cells)
