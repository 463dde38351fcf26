"""A subword tokenizer of our own, learnt from the training split's texts alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmdx.errors import InputError, SampleError
from mmdx.types import Transform

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("[PAD]", "[CLS]")


class SubwordTokenizer(Transform):
    """Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) over bytes, so that nothing is out of vocabulary; lower case.

    Ids are the same for the same texts: byte-level merges have no ties that depend on the order of a hash table, as WordPiece's
    alphabet has. Every text begins with [CLS], so an empty one still has a token.

    Args:
        vocabulary_size: the most tokens, at least 300 (256 bytes, 2 special ones and some merges).
        max_length: the most tokens of a text, [CLS] included; what is beyond is cut off.
        min_frequency: how often a pair must occur in training to become a token.
    """

    def __init__(self, vocabulary_size: int = 4096, max_length: int = 128, min_frequency: int = 2) -> None:
        if vocabulary_size < 300:
            raise InputError(f"transform.vocabulary_size={vocabulary_size}: must be at least 300.")
        if max_length < 2:
            raise InputError(f"transform.max_length={max_length}: must be at least 2.")
        if min_frequency < 1:
            raise InputError(f"transform.min_frequency={min_frequency}: must be at least 1.")
        self.vocabulary_size, self.max_length, self.min_frequency = vocabulary_size, max_length, min_frequency
        self._tokenizer: Tokenizer | None = None

    def prepare(self, raw: Any) -> str:
        """The text itself, white space joined."""
        return " ".join(text_of(raw).split())

    def fit(self, prepared: Iterable[str]) -> dict[str, Any]:
        """Learn the merges; the state is the tokenizer as JSON."""
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            min_frequency=self.min_frequency,
            special_tokens=[*SPECIAL],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(prepared, trainer)
        state = {"tokenizer": json.loads(tokenizer.to_str())}
        self.load(state)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what ``fit`` returned.

        Raises:
            InputError: where the state holds no tokenizer.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(json.dumps(state["tokenizer"]))
        except Exception as fault:
            raise InputError("the fitted state of a SubwordTokenizer holds no tokenizer; train the model again.") from fault
        self._tokenizer.enable_truncation(self.max_length)

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer.

        Raises:
            InputError: where it is not fitted.
        """
        if self._tokenizer is None:
            raise InputError("SubwordTokenizer: not fitted; call fit with the training texts, or load with an earlier state.")
        return self._tokenizer

    @property
    def size(self) -> int:
        """Number of tokens that the fitted vocabulary has."""
        return int(self.tokenizer.get_vocab_size())

    def __call__(self, prepared: str, rng: np.random.Generator | None) -> dict[str, Tensor]:
        """``input_ids`` int64 [T] and ``attention_mask`` bool [T]."""
        ids = self.tokenizer.encode(prepared).ids
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.bool)}


def text_of(raw: Any) -> str:
    """A raw text.

    Raises:
        SampleError: where it is something else.
    """
    if not isinstance(raw, str):
        raise SampleError(f"a text is {type(raw).__name__}, expected str; leave the modality out where a text is missing.")
    return raw
