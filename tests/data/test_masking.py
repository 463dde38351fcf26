"""Masked words are gone for every encoder, whole words only, in any script; an absent text stays absent and an empty one stays a text."""

import json

import numpy as np
import pandas as pd
import pytest

from mmdx.data.masking import Masked, Masking, read_masks
from mmdx.encoders.text import HashedWords
from mmdx.encoders.tokenizer import SubwordTokenizer
from mmdx.errors import InputError
from mmdx.types import Sample


@pytest.mark.parametrize(
    ("mask", "text", "left"),
    [
        ("covid", "Covid, covidien, COVID_19", " , covidien,  _19"),
        ("covid-19", "COVID 19; covid19; Covid\u201119; covid-190", " ;  ;  ; covid-190"),
        ("ground glass", "ground-\nglass, underground glass", " , underground glass"),
        ("pneumon\u00eda", "PNEUMONIA, pneumoni\u0301a, neumon\u00eda", " ,  , neumon\u00eda"),
        ("wei\u00df", "WEISS wei\u00df Wei\u00dfe", "    Wei\u00dfe"),
        ("\u80ba\u708e", "\u60a3\u8005\u80ba\u708e\u3067\u3059", "\u60a3\u8005 \u3067\u3059"),
        ("\u0915\u093f\u0921\u0928\u0940", "\u0915\u093f\u0921\u0928\u0940 \u0915\u093f\u0921\u0928\u093f\u092f\u093e\u0901",
         "  \u0915\u093f\u0921\u0928\u093f\u092f\u093e\u0901"),
        ("c++ (a.b)", "C a b. x", " . x"),
    ],
)  # fmt: skip
def test_whole_words_in_any_case_and_script(mask, text, left):
    assert Masking([mask])(text) == left and Masking([mask]).finds(text) and not Masking([mask]).finds(left)


def test_the_longest_mask_is_taken_and_a_shorter_one_where_it_does_not_fit():
    assert Masking(["covid", "covid 19"])("covid 19 and covid 19x") == "  and   19x"


def test_nothing_masked_leaves_a_text_as_it_is():
    text = "\u00dcber \ufb01nding, \u0130stanbul\n"
    assert Masking(["covid"])(text) == text and Masking([])(text) == text


class Letters:
    """Notes of one word, two of them or none."""

    modalities = ("note", "number")
    notes = ("Pneumonia", None, ["lungs clear", "no PNEUMONIA seen"])
    table = pd.DataFrame({"sample_id": list("abc"), "patient_id": list("abc"), "site": None, "target": [1, 0, 0]})
    unit = "patient"

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return Sample({"number": 1.0} | ({} if self.notes[index] is None else {"note": self.notes[index]}), 0)

    def posterior(self, subset):
        return np.zeros(3)


def test_of_a_data_set_only_the_texts_change():
    masked = Masked(Letters(), {"note": ["pneumonia"]})
    notes = [masked[i].inputs.get("note") for i in range(3)]
    assert notes == [" ", None, ["lungs clear", "no   seen"]] and all(masked[i].inputs["number"] == 1.0 for i in range(3))
    assert len(masked) == 3 and masked.unit == "patient" and not hasattr(masked, "posterior")
    assert Letters()[0].inputs["note"] == "Pneumonia"


def test_no_transform_of_texts_can_see_a_masked_word():
    whole, masked = Letters(), Masked(Letters(), {"note": ["pneumonia"]})
    words, tokenizer = HashedWords(), SubwordTokenizer(vocabulary_size=300)
    ids = [words.prepare(data[0].inputs["note"]) for data in (whole, masked)]
    assert ids[0][1].any() and not ids[1][1].any()  # no word is left, and yet there is an item
    tokenizer.fit([tokenizer.prepare(text) for text in ("lungs clear", "pneumonia")])
    assert tokenizer(tokenizer.prepare(masked[0].inputs["note"]), None)["input_ids"].tolist() == tokenizer("", None)["input_ids"].tolist()


def test_what_is_no_text_or_not_there_is_named():
    with pytest.raises(InputError, match=r"data.masks.image: the data set has no such modality; it has note, number"):
        Masked(Letters(), {"image": ["x"]})
    with pytest.raises(InputError, match=r"data.masks.number: its inputs are float, not texts"):
        Masked(Letters(), {"number": ["x"]})[0]


def test_masks_from_a_config_or_a_file(tmp_path):
    file = tmp_path / "masks.json"
    file.write_text(json.dumps({"note": ["b", "a", "a"], "other": []}))
    assert read_masks(str(file)) == {"note": ["a", "b"]} and read_masks({"note": [19]}) == {"note": ["19"]} and read_masks(None) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.json", "no such file; mmdx data leakage"), (["covid"], "a list of words for each modality"), ({"note": "covid"}, "a list of words"),
        ({"note": [["covid"]]}, "expected a word or several"), ({"note": ["..."]}, "has no letter or digit"), ({"note": ["${x}"]}, "expected a word"),
    ],
)  # fmt: skip
def test_wrong_masks_get_one_sentence(given, said):
    with pytest.raises(InputError, match=said):
        read_masks(given)
