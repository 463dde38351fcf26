"""Encoders of text from scratch: a small Transformer, and a hashed bag of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from torch import Tensor, nn

from mmdx.encoders.modules import all_real, check_transformer
from mmdx.encoders.tokenizer import SubwordTokenizer, text_of
from mmdx.errors import InputError
from mmdx.types import Features, Transform


class SmallTransformer(nn.Module):
    """A Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762), normalised before each sublayer, with learned positions.

    Args:
        transform: the fitted tokenizer; says how many tokens there are and how long a text can be.
        width: D, a multiple of ``heads``.
        layers: number of Transformer layers.
        heads: attention heads a layer.
        dropout: on embeddings, attention and feed-forward layers.

    Shapes:
        items ``input_ids`` [n, T] and ``attention_mask`` [n, T] give tokens [n, T, D], [CLS] first.
    """

    def __init__(self, transform: SubwordTokenizer, width: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        check_transformer(width, layers, heads, dropout)
        self.transform, self.width = transform, width
        embeddings = {"token": nn.Embedding(transform.size, width, padding_idx=0), "position": nn.Embedding(transform.max_length, width)}
        for embedding in embeddings.values():
            nn.init.normal_(embedding.weight, std=0.02)
        self.embeddings = nn.ModuleDict({**embeddings, "dropout": nn.Dropout(dropout)})
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def layers(self) -> list[nn.Module]:
        """Embeddings, Transformer layers, last normalisation."""
        return [self.embeddings, *self.blocks, self.norm]

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        ids, mask = items["input_ids"], items["attention_mask"]
        positions = torch.arange(ids.shape[1], device=ids.device)
        hidden = self.embeddings["dropout"](self.embeddings["token"](ids) + self.embeddings["position"](positions))
        for block in self.blocks:
            hidden = block(hidden, src_key_padding_mask=~mask)
        return Features(self.norm(hidden), mask)


class HashedWords(Transform):
    """Words and word pairs by a hash (Weinberger et al. 2009, arXiv:0902.2206): no vocabulary to fit, the same ids in every process.

    Args:
        buckets: number of ids.
        ngrams: shortest and longest run of words that counts as a term.
        weights: ``relative`` is log(1 + count), scaled to a norm of 1 over the text, for texts of any length; ``count`` is the count, where how
            often something is said matters.
    """

    def __init__(self, buckets: int = 2**14, ngrams: Sequence[int] = (1, 2), weights: str = "relative") -> None:
        if weights not in ("relative", "count"):
            raise InputError(f"transform.weights={weights}: must be relative or count.")
        if buckets < 2:
            raise InputError(f"transform.buckets={buckets}: must be at least 2.")
        if len(ngrams) != 2 or not 1 <= ngrams[0] <= ngrams[1]:
            raise InputError(f"transform.ngrams={list(ngrams)}: must be two whole numbers, shortest and longest, such as [1, 2].")
        self.buckets, self.ngrams, self.weights = buckets, (int(ngrams[0]), int(ngrams[1])), weights
        self.vectorizer = HashingVectorizer(n_features=buckets, ngram_range=self.ngrams, norm=None, alternate_sign=False)

    def prepare(self, raw: Any) -> tuple[np.ndarray, np.ndarray]:
        """Ids int64 [T], ascending, and weights float32 [T]; a text without words has one id of weight 0."""
        row = self.vectorizer.transform([text_of(raw)])
        row.sort_indices()
        if not row.nnz:
            return np.zeros(1, np.int64), np.zeros(1, np.float32)
        if self.weights == "count":
            return row.indices.astype(np.int64), row.data.astype(np.float32)
        weights = np.log1p(row.data)
        return row.indices.astype(np.int64), (weights / np.linalg.norm(weights)).astype(np.float32)

    def __call__(self, prepared: tuple[np.ndarray, np.ndarray], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """``ids`` [T] and ``weights`` [T]; padding has weight 0."""
        ids, weights = prepared
        return {"ids": torch.from_numpy(ids), "weights": torch.from_numpy(weights)}


class HashedBagOfWords(nn.Module):
    """A weighted sum of the embeddings of a text's terms, as in fastText (Joulin et al. 2016, arXiv:1607.01759), then one hidden layer; where
    the weights are counts, the sum is not normalised, so that its length can tell how often something is said.

    Args:
        transform: makes terms and weights.
        width: D of the one token.
        dropout: on the token.

    Shapes:
        items ``ids`` [n, T] and ``weights`` [n, T] give tokens [n, 1, D].
    """

    def __init__(self, transform: HashedWords, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        check_transformer(width, 1, 1, dropout)
        self.transform, self.width = transform, width
        self.embedding = nn.EmbeddingBag(transform.buckets, width, mode="sum")
        counts = transform.weights == "count"
        self.output = nn.Sequential(nn.Identity() if counts else nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
        nn.init.normal_(self.embedding.weight, std=0.01 if counts else 0.1)  # a text has about a hundred terms

    def layers(self) -> list[nn.Module]:
        """Embedding and output layer."""
        return [self.embedding, self.output]

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        summed = self.embedding(items["ids"], per_sample_weights=items["weights"])  # [n, D]
        return all_real(self.output(summed)[:, None])
