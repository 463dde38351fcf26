"""Words and terms taken out of texts: what ``mmdx data leakage`` asks again without, and what a model is trained without.

A mask is a word or several. It is found whatever its case, accents and what stands between its words (``covid-19`` in ``COVID 19`` and
``Covid19``), as whole words only, and a space takes its place; in scripts that set no spaces it is found anywhere.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdx.errors import InputError

if TYPE_CHECKING:
    from mmdx.types import Dataset, Sample

UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
"""Thai, Lao, Burmese, Khmer, kana and Han."""


class Masking:
    """Takes masks out of a text.

    Args:
        masks: a word or several each.

    Raises:
        InputError: where a mask has no letter or digit.
    """

    def __init__(self, masks: Iterable[str]) -> None:
        self.masks = sorted(set(masks))
        self.patterns = [re.compile(_pattern(mask)) for mask in self.masks]
        self.any = re.compile("|".join(pattern.pattern for pattern in self.patterns) or r"(?!)")

    def __call__(self, text: str) -> str:
        """The text without them; where several begin at one place, without the longest."""
        folded, places = _fold(text)
        kept, end, search = [], 0, 0
        while candidate := self.any.search(folded, search):
            start = candidate.start()
            ends = [found.end() for pattern in self.patterns if (found := pattern.match(folded, start)) and not _cuts_a_word(folded, *found.span())]
            if ends:
                kept.append(text[end : places[start]])
                end = places[max(ends)]
            search = max([start + 1, *ends])
        return " ".join([*kept, text[end:]])

    def finds(self, text: str) -> bool:
        """Whether one of them is in the text."""
        return self(text) != text


class Masked:
    """A data set whose texts lack masked words, for every encoder alike. An absent text stays absent, and one that is all masks stays a text.

    Args:
        dataset: the cohort.
        masks: of each modality of texts the words and terms to take out.

    Raises:
        InputError: where there is no such modality, or it turns out not to be a text.
    """

    def __init__(self, dataset: Dataset, masks: Mapping[str, Sequence[str]]) -> None:
        for name in masks:
            if name not in dataset.modalities:
                raise InputError(f"data.masks.{name}: the data set has no such modality; it has {', '.join(dataset.modalities)}.")
        self.dataset, self.modalities, self.table = dataset, dataset.modalities, dataset.table
        self.masks = {name: Masking(words) for name, words in masks.items()}
        self.words = json.dumps({name: masking.masks for name, masking in self.masks.items()})  # a setting that what is cached is named by

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        masked = {name: _masked(sample.inputs[name], masking, name) for name, masking in self.masks.items() if name in sample.inputs}
        return replace(sample, inputs={**sample.inputs, **masked})

    def __getattr__(self, name: str) -> Any:
        """Whatever else the data set has, but for the best possible score of a simulated one: that is of its whole texts."""
        if name in {"dataset", "posterior", "optimum"}:
            raise AttributeError(name)
        return getattr(self.dataset, name)


def read_masks(given: Any) -> dict[str, list[str]]:
    """Masks by modality from what ``data.masks`` holds: nothing, such a dict, or the path of a JSON file with one.

    Raises:
        InputError: where the file is missing, or it holds something else.
    """
    where, masks = "data.masks", given or {}
    if isinstance(given, str):
        where = f"data.masks={given}"
        try:
            masks = json.loads(Path(given).expanduser().read_text(encoding="utf-8"))
        except OSError:
            raise InputError(f"{where}: no such file; mmdx data leakage SOURCE --masks FILE writes one.") from None
        except ValueError as fault:
            raise InputError(f"{where}: not JSON ({fault}); expected {{modality: [words]}}.") from None
    if not isinstance(masks, dict) or not all(isinstance(words, list) for words in masks.values()):
        raise InputError(f"{where}: must hold a list of words for each modality, as in {{text: [pneumonia, ground glass]}}.")
    for name, words in masks.items():
        for word in words:
            if not isinstance(word, str | int) or "${" in str(word):
                raise InputError(f"{where}: {name} has the mask {word!r}; expected a word or several, as text.")
    return {str(name): Masking(map(str, words)).masks for name, words in masks.items() if words}


def _masked(raw: Any, masking: Masking, name: str) -> Any:
    if isinstance(raw, list):
        return [_masked(item, masking, name) for item in raw]
    if not isinstance(raw, str):
        raise InputError(f"data.masks.{name}: its inputs are {type(raw).__name__}, not texts; masks are for texts only.")
    return masking(raw)


def _pattern(mask: str) -> str:
    folded = _fold(mask)[0]
    words = "".join(c if _in_word(c) else " " for c in folded).split()
    if not words:
        raise InputError(f"mask {mask!r}: has no letter or digit; give a word, or several.")
    return r"[\W_]*".join(map(re.escape, words))


def _fold(text: str) -> tuple[str, Sequence[int]]:
    """The text in lower case without accents, and of each of its characters, and of its end, the place in the text."""
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    folded, places = [], []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold()):
            if not unicodedata.combining(part):
                folded.append(part)
                places.append(place)
    return "".join(folded), [*places, len(text)]


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _cuts_a_word(text: str, start: int, end: int) -> bool:
    """Whether a letter or digit goes on before or after, where words are set apart by spaces."""
    return any(
        0 <= outside < len(text) and _in_word(text[outside]) and not UNSPACED.match(text[inside])
        for outside, inside in ((start - 1, start), (end, end - 1))
    )
