"""Texts of a case, with the weight of each word or token at its place in the original text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.feature_extraction import FeatureHasher

from mmdx.encoders.huggingface import HuggingFaceTokenizer
from mmdx.encoders.text import HashedWords
from mmdx.encoders.tokenizer import SubwordTokenizer
from mmdx.explain.attribution import Arrays
from mmdx.explain.parts import Part

Span = tuple[int, int, float]
"""Start, end (not included) in code points of the text, and weight."""
BETWEEN = "\n\n"
"""What is written between the texts of a bag."""
FAINTEST, MOST = 0.02, 1000
"""Spans weaker than that share of the strongest are left out, and what is beyond that many."""


def render_text(parts: list[Part], withheld: bool) -> dict[str, Any]:
    """The case's entry: the whole text and the spans that told, or only how long it is."""
    text = BETWEEN.join(part.raw for part in parts)
    if withheld:
        return {"kind": "text", "withheld": True, "characters": len(text)}
    spans, start = [], 0
    for part in parts:
        if len(part.items) == 1:
            spans += [(a + start, b + start, w) for a, b, w in spans_of(part)]
        start += len(part.raw) + len(BETWEEN)
    top = max((abs(w) for _, _, w in spans), default=0.0)
    strong = sorted((s for s in spans if top > 0 and abs(s[2]) >= FAINTEST * top), key=lambda s: -abs(s[2]))[:MOST]
    return {"kind": "text", "text": text, "spans": [[a, b, round(w / top, 3)] for a, b, w in sorted(strong)]}


def spans_of(part: Part) -> list[Span]:
    """Spans of one text in order, none overlapping, their weights in log-odds; none where the transform keeps no places."""
    if isinstance(part.transform, HashedWords):
        found = _hashed(part.raw, part.transform, part.prepared, part.items[0])
    elif isinstance(part.transform, SubwordTokenizer):
        joined, places = joined_words(part.raw)
        offsets = part.transform.tokenizer.encode(joined).offsets
        found = [(places[a], places[b - 1] + 1, w) for a, b, w in _by_token(offsets, part.items[0]) if b > a]
    elif isinstance(part.transform, HuggingFaceTokenizer) and part.transform.tokenizer.is_fast:
        settings: dict[str, Any] = {"truncation": True, "max_length": part.transform.max_length, "return_offsets_mapping": True}
        found = _by_token(part.transform.tokenizer(part.raw, **settings)["offset_mapping"], part.items[0])
    else:
        found = []
    return merged(_bare(part.raw, found))


def _by_token(offsets: Iterable[tuple[int, int]], arrays: Arrays) -> list[Span]:
    weights = arrays.get("input_ids", arrays.get("tokens"))
    if weights is None:
        return []
    return [(a, b, float(w)) for (a, b), w in zip(offsets, weights, strict=False)]


def _hashed(text: str, transform: HashedWords, prepared: tuple[np.ndarray, np.ndarray], arrays: Arrays) -> list[Span]:
    """A term's attribution, shared evenly by the places where it or another term of the same hash stands, and by its words."""
    words = words_of(text, transform)
    runs = [words[i : i + n] for n in range(transform.ngrams[0], transform.ngrams[1] + 1) for i in range(len(words) - n + 1)]
    weights = arrays.get("weights")
    if not runs or weights is None:
        return []
    hasher = FeatureHasher(transform.buckets, input_type="string", alternate_sign=False)
    ids = hasher.transform([[" ".join(word for word, _, _ in run)] for run in runs]).indices
    own = dict(zip(prepared[0].tolist(), weights.tolist(), strict=False))
    often = np.bincount(ids, minlength=transform.buckets)
    total: dict[tuple[int, int], float] = defaultdict(float)
    for number, run in zip(ids.tolist(), runs, strict=True):
        for _, start, end in run:
            total[start, end] += own.get(number, 0.0) / often[number] / len(run)
    return [(start, end, weight) for (start, end), weight in total.items()]


def words_of(text: str, transform: HashedWords) -> list[tuple[str, int, int]]:
    """The words that are hashed, in lower case, with their places in the text as it stands."""
    lower = text.lower()
    places = range(len(text)) if len(lower) == len(text) else [i for i, c in enumerate(text) for _ in c.lower()]
    found = re.finditer(transform.vectorizer.token_pattern, lower)
    return [(match.group(), places[match.start()], places[match.end() - 1] + 1) for match in found]


def joined_words(text: str) -> tuple[str, list[int]]:
    """The text with white space joined, as ``SubwordTokenizer`` reads it, and the place of each of its characters in the text."""
    joined, places = "", []
    for match in re.finditer(r"\S+", text):
        if joined:
            joined += " "
            places.append(match.start() - 1)
        joined += match.group()
        places += range(match.start(), match.end())
    return joined, places


def _bare(text: str, spans: list[Span]) -> list[Span]:
    """Spans without the white space at their edges; those of white space alone are left out."""
    bare = []
    for start, end, weight in spans:
        own = text[start:end]
        start, end = start + len(own) - len(own.lstrip()), end - len(own) + len(own.rstrip())
        if start < end:
            bare.append((start, end, weight))
    return bare


def merged(spans: list[Span]) -> list[Span]:
    """Spans in order; those that overlap, as the bytes of one character do, become one that has the sum of their weights."""
    out: list[Span] = []
    for start, end, weight in sorted(spans):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]), out[-1][2] + weight)
        else:
            out.append((start, end, weight))
    return out
