"""Facts about sweeps of missing modalities."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from toy import Numbers, model_plan, training_plan

from mmdx.data.splits import HoldOut
from mmdx.stress.missingness import absence, absences, informative_rates, missingness, predict_left, sick_rows, uniforms
from mmdx.stress.training import thinned, train_again
from mmdx.study import Study

NAMES = ["left", "right"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    study = Study(Numbers(samples=160), model_plan(), training_plan(), HoldOut(), folder)
    predictions = study.run()
    cell = next(study.cells(study.folds()))
    return study, cell, study.load(folder, cell), predictions


def ids(n):
    return [f"s{i}" for i in range(n)]


def test_uniform_numbers_follow_from_the_sample_alone():
    some = uniforms(ids(4000), NAMES, 0, 0)
    assert np.array_equal(uniforms(ids(4000)[::-1], NAMES[::-1], 0, 0), some[::-1, ::-1])
    assert abs(some.mean() - 0.5) < 0.01 and abs(np.corrcoef(some.T)[0, 1]) < 0.04 and some.min() >= 0 and some.max() < 1
    assert np.abs(np.corrcoef(some[:, 0], uniforms(ids(4000), NAMES, 0, 1)[:, 0])[0, 1]) < 0.04
    assert not np.array_equal(uniforms(ids(9), NAMES, 1, 0), uniforms(ids(9), NAMES, 0, 0))


@pytest.mark.parametrize(("rate", "sick"), [(0.1, 0.3), (0.5, 0.05), (0.9, 0.5), (0.3, 0.0), (0.3, 1.0), (1.0, 0.4), (0.0, 0.4)])
def test_informative_rates_have_the_rate_and_the_odds(rate, sick):
    well, ill = informative_rates(rate, sick)
    assert 0 <= well <= ill <= 1 and sick * ill + (1 - sick) * well == pytest.approx(rate, abs=1e-12)
    if 0 < rate < 1:
        assert ill / (1 - ill) / (well / (1 - well)) == pytest.approx(3)


def test_rates_are_met_and_the_sick_lose_more():
    n, rng = 20_000, np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e"]  # so many that hardly any row would lose all of them
    has, sick, drawn = np.ones((n, 5), bool), rng.random(n) < 0.2, uniforms(ids(n), names, 0, 0)
    for pattern in ("every", "sicker"):
        gone = ~absence(pattern, 0.3, 0, has, sick, drawn, names).stays
        assert gone.mean() == pytest.approx(0.3, abs=0.01)
        apart = gone[sick].mean() - gone[~sick].mean()
        assert apart > 0.15 if pattern == "sicker" else abs(apart) < 0.02
    gone = ~absence("only_c", 0.3, 0, has, sick, drawn, names).stays
    assert gone[:, 2].mean() == pytest.approx(0.3, abs=0.02) and not np.delete(gone, 2, axis=1).any()


def test_a_row_that_would_lose_everything_keeps_one_that_it_had_each_as_likely():
    n, names = 6000, ["a", "b", "c"]
    has = np.ones((n, 3), bool)
    has[: n // 2, 0] = False
    one = absence("every", 1.0, 0, has, np.zeros(n, bool), uniforms(ids(n), names, 0, 0), names)
    assert one.rescued.all() and (one.stays.sum(axis=1) == 1).all() and not (one.stays & ~has).any()
    assert one.stays[n // 2 :].mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.03)
    assert one.stays[: n // 2].mean(axis=0) == pytest.approx([0, 0.5, 0.5], abs=0.03)
    single = absence("only_b", 1.0, 0, np.array([[False, True, False]]), np.zeros(1, bool), np.full((1, 3), 0.5), names)
    assert single.stays.tolist() == [[False, True, False]] and single.rescued.all()


def test_what_is_missing_at_a_rate_is_missing_at_each_higher_one():
    rng = np.random.default_rng(0)
    has, sick = rng.random((500, 2)) < 0.9, rng.random(500) < 0.3
    has[~has.any(axis=1)] = True
    for pattern in ("every", "only_left", "sicker"):
        rates = [one for one in absences(has, sick, ids(500), NAMES, [0.0, 0.2, 0.6, 1.0], 1, 0) if one.pattern == pattern]
        for low, high in pairwise(rates):
            assert not (high.stays & ~low.stays).any()
        assert np.array_equal(rates[0].stays, has)


def test_who_is_sick():
    every = np.arange(5)
    assert sick_rows(np.array([0.0, 1, 1, 0, 0]), every).tolist() == [False, True, True, False, False]
    assert sick_rows(np.array([2, 2, 0, 1, 2]), every).tolist() == [False, False, True, True, False]
    assert sick_rows(np.array([[0, 0], [0, 1], [np.nan, 0], [1, 1]]), np.arange(4)).tolist() == [False, True, False, True]


def test_rate_0_is_the_runs_own_predictions_bit_for_bit(trained):
    study, cell, model, predictions = trained
    table, _ = missingness(study, cell, model, "as trained", [0.0, 0.5], 2, 0)
    own = predictions[(predictions["split"] == "test") & (predictions["modalities"] == "left+right")].reset_index(drop=True)
    for pattern in ("every", "only_left", "only_right", "sicker"):
        clean = table[(table["pattern"] == pattern) & (table["rate"] == 0)].reset_index(drop=True)
        same = ["sample_id", "patient_id", "split", "modalities", "ablation", "present", "target", "prob"]
        assert clean[same].equals(own[same]) and set(clean["draw"]) == {0}
    assert set(table) == {*same, "pattern", "rate", "draw", "trained"} and set(table.loc[table["rate"] > 0, "draw"]) == {0, 1}


def test_rate_1_of_one_modality_is_the_subset_without_it(trained):
    study, cell, model, predictions = trained
    table, kept = missingness(study, cell, model, "as trained", [1.0], 1, 0)
    for gone, rest in (("left", "right"), ("right", "left")):
        rows = table[table["pattern"] == f"only_{gone}"].set_index("sample_id")
        own = predictions[(predictions["split"] == "test") & (predictions["modalities"] == rest)].set_index("sample_id")
        assert np.abs(rows.loc[own.index, "prob"] - own["prob"]).max() < 1e-6 and (rows.loc[own.index, "present"] == rest).all()
        assert kept.loc[kept["pattern"] == f"only_{gone}", "kept_one"].item() == len(rows) - len(own) > 0
        assert (rows.drop(own.index)["present"] == gone).all()  # who has nothing else keeps it


def test_draws_repeat_and_the_size_of_batches_changes_nothing(trained):
    study, cell, model, _ = trained
    first, again = (missingness(study, cell, model, "as trained", [0.5], 3, 7)[0] for _ in range(2))
    assert first.equals(again)
    small = study.training
    try:
        study.training = replace(small, batch_size=5)
        other, _ = missingness(study, cell, model, "as trained", [0.5], 3, 7)
    finally:
        study.training = small
    assert other.drop(columns="prob").equals(first.drop(columns="prob")) and np.abs(other["prob"] - first["prob"]).max() < 1e-6
    assert not missingness(study, cell, model, "as trained", [0.5], 3, 8)[0]["present"].equals(first["present"])


def test_what_is_in_a_slot_that_was_taken_away_changes_nothing(trained):
    study, cell, model, _ = trained
    rows = np.sort(cell.fold.test)
    has = np.stack([study.cohort.rows_with([m])[rows] for m in NAMES], axis=1)
    drawn = [one for one in absences(has, np.zeros(len(rows), bool), ids(len(rows)), NAMES, [0.5], 1, 0) if one.pattern == "every"]
    results = []
    for value in (None, float("nan"), 1e30):
        encode = model.model.encode

        def spoiled(batch, value=value, encode=encode):
            features = encode(batch)
            if value is not None:
                place = np.searchsorted(rows, batch.meta["index"])
                for j, m in enumerate(NAMES):
                    features[m].tokens[torch.from_numpy(~drawn[0].stays[place, j])] = value
            return features

        model.model.encode = spoiled
        try:
            results.append(predict_left(model, model.batches(study.cohort, study.target, rows, study.training), rows, drawn))
        finally:
            del model.model.encode
    assert results[0].equals(results[1]) and results[0].equals(results[2])
    assert (results[0]["present"] != "left+right").any()


def test_training_rows_lose_what_is_drawn_and_test_rows_nothing(trained, tmp_path):
    study, cell, _, _ = trained
    thin = thinned(study, cell, 0.6, 0)
    learned = np.concatenate([cell.fold.train, cell.fold.val])
    left = thin.rows_with(["left"])[learned], thin.rows_with(["right"])[learned]
    had = sum(study.cohort.rows_with([m])[learned].sum() for m in NAMES)
    assert (left[0] | left[1]).all() and sum(part.sum() for part in left) < 0.7 * had
    assert np.array_equal(thin.has[cell.fold.test], study.cohort.has[cell.fold.test])
    for row in learned[:40]:
        assert [bool(thin[int(row)][m]) for m in NAMES] == thin.has[row].tolist()
    model = train_again(study, cell, 0.6, 0, tmp_path / "0.6")
    assert (tmp_path / "0.6" / "checkpoints" / "best.ckpt").exists()
    table, _ = missingness(study, cell, model, "0.6", [0.0], 1, 0)
    assert set(table["trained"]) == {"0.6"} and len(set(table["sample_id"])) == len(cell.fold.test)
