"""Facts about batches."""

import numpy as np
import pytest
import torch

from mmdx.data.collate import Example, collate
from mmdx.errors import InputError


def example(index, **items):
    return Example(index, items, np.float32(index % 2))


def test_bags_and_lengths_are_padded_and_masked():
    batch = collate([
        example(0, image=[torch.ones(2, 3), 2 * torch.ones(1, 4)], text=[]),
        example(1, image=[], text=[{"input_ids": torch.tensor([5, 6, 7]), "attention_mask": torch.ones(3, dtype=torch.bool)}]),
    ])
    assert batch.inputs["image"].shape == (2, 2, 2, 4)
    assert batch.items["image"].tolist() == [[True, True], [False, False]]
    assert batch.inputs["image"][0, 1].tolist() == [[2, 2, 2, 2], [0, 0, 0, 0]]
    assert batch.present["text"].tolist() == [False, True] and batch.inputs["text"]["input_ids"].tolist() == [[[0, 0, 0]], [[5, 6, 7]]]
    assert batch.target.tolist() == [0, 1] and batch.meta["index"] == [0, 1]


def test_a_modality_that_no_sample_has_is_all_absent():
    batch = collate([example(0, image=[torch.ones(2)], text=[]), example(1, image=[torch.ones(2)], text=[])])
    assert not batch.present["text"].any() and batch.inputs["text"].shape[0] == 2


def test_a_sample_without_any_modality_is_refused():
    with pytest.raises(InputError, match="row 7: the sample has none of the modalities"):
        collate([example(7, image=[], text=[])])


def test_moving_a_batch_moves_every_tensor():
    batch = collate([example(0, text=[{"a": torch.ones(2)}], image=[torch.ones(1)])]).to("meta")
    tensors = [batch.inputs["text"]["a"], batch.inputs["image"], batch.target, *batch.items.values(), *batch.present.values()]
    assert {t.device.type for t in tensors} == {"meta"}
