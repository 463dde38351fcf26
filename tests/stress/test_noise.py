"""Facts about noise on one modality."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from toy import Numbers, model_plan, training_plan

from mmdx.data.splits import HoldOut
from mmdx.stress.noise import disturb, disturbance, disturbances, noise
from mmdx.study import Study


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    study = Study(Numbers(samples=160), model_plan(), training_plan(), HoldOut(), folder)
    predictions = study.run()
    cell = next(study.cells(study.folds()))
    return study, cell, study.load(folder, cell), predictions


def stream(name):
    return np.random.default_rng(len(name))


def test_gaussian_noise_is_in_standard_deviations_of_the_modality():
    tensors = [5 + 3 * torch.randn(200, 200, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    found = disturbance(tensors)
    assert found.kind == "gaussian" and found.sd == pytest.approx(float(torch.stack(tensors).std()), rel=1e-3)
    added = disturb(tensors[0], {"": found}, 0.5, stream) - tensors[0]
    assert float(added.std()) == pytest.approx(0.5 * found.sd, rel=0.02) and abs(float(added.mean())) < 0.05
    double = disturb(tensors[0], {"": found}, 1.0, stream) - tensors[0]
    assert torch.allclose(double, 2 * added, atol=1e-4)  # the same noise, twice as large


def test_level_0_changes_no_bit():
    items = [{"ids": torch.tensor([1, 5, 7, 2]), "weights": torch.rand(4)}, {"ids": torch.tensor([1, 6, 2]), "weights": torch.rand(3)}]
    found = disturbances(items)
    same = disturb(items[0], found, 0.0, stream)
    assert all(torch.equal(same[name], items[0][name]) for name in same)


def test_masks_are_left_alone_and_padding_stays_padding():
    items = [
        {"input_ids": torch.tensor([1, *range(10, 10 + n), 2] + [0] * 5), "attention_mask": torch.tensor([True] * (n + 2) + [False] * 5),
         "as_float": torch.ones(n + 7), "as_int": torch.tensor([1] * (n + 2) + [0] * 5)}
        for n in (30, 40, 50)
    ]  # fmt: skip
    found = disturbances(items)
    assert {name: d.kind for name, d in found.items()} == {"input_ids": "tokens", "attention_mask": "", "as_float": "", "as_int": ""}
    whole = disturb(items[2], found, 1.0, stream)
    assert all(torch.equal(whole[name], items[2][name]) for name in ("attention_mask", "as_float", "as_int"))
    ids = whole["input_ids"]
    assert ids[-5:].tolist() == [0] * 5 and ids[0] == 1 and ids[51] == 2  # padding, and what every text has
    assert (ids[1:51] >= 10).all() and (ids[1:51] != items[2]["input_ids"][1:51]).float().mean() > 0.7


def test_a_share_of_the_tokens_goes_and_more_at_a_higher_level():
    items = [torch.arange(1, 2000 + i) for i in range(2)]
    found = {"": replace(disturbance(items), fixed=None, pool=torch.tensor([5000]))}
    gone = [disturb(items[0], found, level, stream) == 5000 for level in (0.3, 0.6)]
    assert float(gone[0].float().mean()) == pytest.approx(0.3, abs=0.03) and not (gone[0] & ~gone[1]).any()


def test_a_column_of_categories_takes_only_values_of_that_column():
    rows = [torch.tensor([2 + i % 2, 10 + i % 5, 0]) for i in range(20)]
    found = disturbance(rows)
    made = torch.stack([disturb(row, {"": found}, 1.0, lambda name, i=i: np.random.default_rng(i)) for i, row in enumerate(rows)])
    assert set(made[:, 0].tolist()) == {2, 3} and set(made[:, 1].tolist()) <= set(range(10, 15)) and (made[:, 2] == 0).all()


def test_level_0_of_a_run_is_its_own_prediction_and_noise_moves_one_modality(trained):
    study, cell, model, predictions = trained
    table, kinds = noise(study, cell, model, [0.0, 2.0], 0)
    own = predictions[(predictions["split"] == "test") & (predictions["modalities"] == "left+right")].reset_index(drop=True)
    same = ["sample_id", "patient_id", "split", "modalities", "ablation", "present", "target", "prob"]
    assert kinds == {"left": "gaussian", "right": "gaussian"} and set(table) == {*same, "modality", "noise", "level"}
    for modality in ("left", "right"):
        of = table[table["modality"] == modality]
        assert of[of["level"] == 0].reset_index(drop=True)[same].equals(own[same])
        moved = (of.loc[of["level"] == 2, "prob"].to_numpy() != own["prob"]).to_numpy()
        has = own["present"].str.contains(modality).to_numpy()
        assert not moved[~has].any() and moved[has].mean() > 0.95 and (~has).any()


def test_noise_repeats_whatever_the_batches_and_the_order(trained):
    study, cell, model, _ = trained
    first, _ = noise(study, cell, model, [1.0], 3)
    assert first.equals(noise(study, cell, model, [1.0], 3)[0])
    plan = study.training
    try:
        study.training = replace(plan, batch_size=7, num_workers=1)
        other, _ = noise(study, cell, model, [1.0], 3)
    finally:
        study.training = plan
    keys = ["modality", "sample_id"]
    one, two = (t.sort_values(keys, ignore_index=True) for t in (first, other))
    pd.testing.assert_frame_equal(one, two, atol=1e-6, rtol=0)
    assert np.abs(noise(study, cell, model, [1.0], 4)[0]["prob"] - first["prob"]).max() > 1e-4
