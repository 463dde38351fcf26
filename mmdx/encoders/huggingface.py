"""Encoders of text from Hugging Face: by hub name, local folder or installed package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.encoders.modules import block_layers
from mmdx.encoders.tokenizer import text_of
from mmdx.encoders.weights import HUB, PACKAGE, load_weights, package_path, resolve_weights
from mmdx.errors import InputError
from mmdx.types import Features, Transform


class HuggingFaceTokenizer(Transform):
    """The tokenizer that belongs to a Hugging Face model.

    Args:
        name: hub name, local folder, or "package:NAME[/path]".
        max_length: the most tokens of a text, special ones included; what is beyond is cut off.
    """

    def __init__(self, name: str, max_length: int = 256) -> None:
        if max_length < 3:
            raise InputError(f"transform.max_length={max_length}: must be at least 3.")
        transformers = import_transformers()
        source, local = locate(name)
        with _reading(name, "tokenizer"):
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        self.max_length = max_length
        self.prepare("")  # sets the tokenizer's truncation now: doing so while another thread encodes fails with 'Already borrowed'

    def prepare(self, raw: Any) -> np.ndarray:
        """Token ids, int64 [T], special tokens included.

        Raises:
            SampleError: where the raw input is no text.
        """
        ids = self.tokenizer(text_of(raw), truncation=True, max_length=self.max_length)["input_ids"]
        return np.array(ids, dtype=np.int64)

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> dict[str, Tensor]:
        """``input_ids`` int64 [T] and ``attention_mask`` bool [T]."""
        return {"input_ids": torch.from_numpy(prepared), "attention_mask": torch.ones(len(prepared), dtype=torch.bool)}


class HuggingFaceText(nn.Module):
    """A Hugging Face text encoder; its last hidden states are the tokens, so the pooled features are sentence-transformers' mean pooling.

    Only a hub name can reach the network; a folder or package never does. Code that comes with a model is not run.

    Args:
        transform: the model's tokenizer.
        name: hub name, local folder, or "package:NAME[/path]": says which network it is.
        weights: "hub" for those that come with the name, None for random ones, a local file or folder, or "package:NAME[/path]".

    Shapes:
        items ``input_ids`` [n, T] and ``attention_mask`` [n, T] give tokens [n, T, D].
    """

    def __init__(self, transform: HuggingFaceTokenizer, name: str, weights: str | None = HUB) -> None:
        super().__init__()
        transformers = import_transformers()
        chosen = resolve_weights(weights)
        place, local = locate(name)
        with _reading(name, "model"):
            config = transformers.AutoConfig.from_pretrained(place, local_files_only=local, trust_remote_code=False)
            if chosen == HUB or (isinstance(chosen, Path) and chosen.is_dir()):
                given = {"config": config, "local_files_only": local or chosen != HUB, "trust_remote_code": False}
                model = transformers.AutoModel.from_pretrained(place if chosen == HUB else chosen, dtype=torch.float32, **given)
            else:
                model = transformers.AutoModel.from_config(config)
        self.model = model.get_encoder() if config.is_encoder_decoder else model
        if hasattr(self.model, "pooler"):
            self.model.pooler = None  # made for another output; distributed training refuses weights that no gradient reaches
        if isinstance(chosen, Path) and chosen.is_file():
            load_weights(self.model, chosen, lambda key: key.startswith(("pooler.", "cls.", "lm_head.")))
        self.transform, self.width = transform, int(config.hidden_size)
        self._check(name)

    def _check(self, name: str) -> None:
        """Whether tokenizer and network fit each other."""
        known = self.model.get_input_embeddings().num_embeddings
        if len(self.transform.tokenizer) > known:
            raise InputError(f"name={name}: knows {known} tokens, its tokenizer {len(self.transform.tokenizer)}; give both the same name.")
        longest = getattr(self.model.config, "max_position_embeddings", None)
        if longest and 0 < longest < self.transform.max_length:
            raise InputError(f"transform.max_length={self.transform.max_length}: {name} takes at most {longest} tokens.")

    def layers(self) -> list[nn.Module]:
        """Embeddings, Transformer layers and what comes after; the first and last are groups of parameters."""
        return block_layers(self.model)

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        mask = items["attention_mask"]
        hidden = self.model(input_ids=items["input_ids"], attention_mask=mask.long()).last_hidden_state
        return Features(hidden, mask)


def locate(name: str) -> tuple[str, bool]:
    """Where transformers reads ``name`` from, and whether it is on this machine.

    Raises:
        InputError: where a package is missing or has no such folder, or a path doesn't exist.
    """
    path = package_path(name) if name.startswith(PACKAGE) else Path(name).expanduser()
    if path.is_dir():
        return str(path), True
    if name.startswith((PACKAGE, "/", ".", "~")):
        raise InputError(f"name={name}: no such folder. Give a hub name, a folder saved by transformers, or package:NAME.")
    return name, False


def import_transformers() -> ModuleType:
    """transformers, or a sentence that says how to install it."""
    try:
        import transformers
    except ImportError:
        raise InputError("this encoder needs transformers: pip install 'mmdx[pretrained]'") from None
    return transformers


@contextmanager
def _reading(name: str, what: str) -> Iterator[None]:
    """Turn whatever transformers raises into one sentence, and keep its progress bars off a run's screen."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    except InputError:
        raise
    except Exception as fault:
        reason = str(fault).strip().splitlines() or [type(fault).__name__]
        raise InputError(
            f"name={name}: no {what} could be read ({reason[0]}). Give a hub name that can be reached, a folder, or package:NAME."
        ) from fault
    finally:
        if bars:
            logging.enable_progress_bar()
