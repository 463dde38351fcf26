"""Facts about ensembles and measured uncertainties: entropies add up, agreement is no uncertainty, tables are read or refused in one sentence."""

import json

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score, roc_auc_score

from mmdx.errors import InputError
from mmdx.evaluation import score as scoring
from mmdx.evaluation.abstention_section import selective, uncertainty
from mmdx.evaluation.threshold import youden_threshold
from mmdx.evaluation.uncertainty import STRESS, decompose, disagreement


def members(m=5, n=30, k=4, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(k), (m, n))


def test_total_uncertainty_is_what_the_members_have_and_what_they_disagree_on():
    each = members()
    split = decompose(each)
    np.testing.assert_allclose(split.entropy, split.expected_entropy + split.mutual_information, atol=1e-12)
    np.testing.assert_allclose(split.entropy, entropy(each.mean(axis=0), axis=1), atol=1e-12)  # scipy's
    np.testing.assert_allclose(split.expected_entropy, entropy(each, axis=2).mean(axis=0), atol=1e-12)
    assert (split.mutual_information > 0).all()


def test_mutual_information_is_that_of_class_and_member():
    counts = np.array([[8, 2], [3, 7]])  # two members that say class 0 eight and three times in ten: scikit-learn's mutual information of the two
    pairs = np.array([(m, c) for m in range(2) for c in range(2) for _ in range(counts[m, c])])
    found = decompose(counts[:, None, :] / 10).mutual_information
    assert found[0] == pytest.approx(mutual_info_score(pairs[:, 0], pairs[:, 1]), abs=1e-12)


def test_members_that_agree_have_no_mutual_information_and_certain_opposites_a_bit():
    each = np.repeat(members(1), 4, axis=0)
    np.testing.assert_allclose(decompose(each).mutual_information, 0, atol=1e-12)
    opposite = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    split = decompose(opposite)
    assert split.mutual_information[0] == pytest.approx(np.log(2)) and split.expected_entropy[0] == 0


def test_entropies_of_labels_are_summed():
    each = np.random.default_rng(0).random((3, 10, 2))
    both = np.stack([1 - each, each], axis=3)
    whole, parts = decompose(both), [decompose(both[:, :, label]) for label in range(2)]
    for name in whole._fields:
        np.testing.assert_allclose(getattr(whole, name), sum(getattr(part, name) for part in parts), atol=1e-12)


def test_disagreement_is_the_share_of_pairs():
    assert disagreement(np.array([[0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 2, 0]])).tolist() == [0, 5 / 6, 4 / 6]


def scored(frame):
    return scoring.prepared(frame, resamples=50)[0]


def test_the_ensemble_is_the_mean_over_seeds_with_a_threshold_of_its_own():
    frame = made(n=150, seeds=3)
    found = uncertainty(scored(frame))["ensemble"]
    full = frame[frame["modalities"] == "image+text"]
    mean = full.groupby(["split", "sample_id"])[["prob", "target"]].mean()
    test, val = mean.loc["test"], mean.loc["val"]
    assert found["members"] == 3 and found["entries"]["auroc"]["value"] == pytest.approx(roc_auc_score(test["target"], test["prob"]))
    called = test["prob"] >= youden_threshold(val["target"].to_numpy(), val["prob"].to_numpy())
    assert found["entries"]["sensitivity"]["value"] == pytest.approx(called[test["target"] == 1].mean())
    each = full[full["split"] == "test"].pivot(index="sample_id", columns="seed", values="prob")
    split = decompose(np.stack([1 - each, each], axis=-1).transpose(1, 0, 2))
    wrong = called != (test["target"] == 1)
    assert found["error_auroc"]["entropy"]["value"] == pytest.approx(roc_auc_score(wrong, split.entropy))
    assert found["error_auroc"]["mutual_information"]["value"] == pytest.approx(roc_auc_score(wrong, split.mutual_information))


def test_seeds_that_agree_say_nothing():
    frame = made(n=80)
    frame = pd.concat([frame.assign(seed=s) for s in range(2)])
    found = uncertainty(scored(frame))["ensemble"]["error_auroc"]
    assert found["disagreement"]["value"] == 0.5  # all rows alike


def measured(frame, **columns):
    keys = [c for c in ("sample_id", "split", "modalities", "ablation", "seed", "fold") if c in frame]
    return frame.loc[frame["modalities"] == "image+text", keys].assign(**columns)


def folder_with(tmp_path, table):
    (tmp_path / STRESS).parent.mkdir(exist_ok=True)
    table.to_parquet(tmp_path / STRESS, index=False)
    return tmp_path


def test_measured_uncertainties_are_read_beside_the_predictions(tmp_path):
    frame = made(n=120, seeds=2)
    full = frame[frame["modalities"] == "image+text"]
    table = scored(frame)
    rows = table.rows()
    wrong = ((rows["prob"] >= rows["threshold"]) != (rows["target"] == 1)).astype(float)
    noise = np.random.default_rng(0).random(len(full))
    stress = measured(full, mc_prob=full["prob"].to_numpy(), mc_entropy=noise, mc_mutual_information=noise / 2, ood_score=-noise)
    folder = folder_with(tmp_path, stress.sample(frac=1, random_state=0))
    section, risk = uncertainty(table, folder), selective(table, folder)
    assert set(section) == {"ensemble", "mc_dropout", "ood"} and set(section["mc_dropout"]["error_auroc"]) == {"mc_entropy", "mc_mutual_information"}
    assert section["mc_dropout"]["entries"]["brier"]["value"] == pytest.approx(table.scorer.score(rows)["brier"]["value"])
    given = rows[["sample_id", "seed"]].merge(stress.assign(seed=stress["seed"].astype(str)).query("split == 'test'"), on=["sample_id", "seed"])
    expected = np.mean([roc_auc_score(wrong[own], given["mc_entropy"][own]) for own in ((rows["seed"] == s).to_numpy() for s in "01")])
    assert section["mc_dropout"]["error_auroc"]["mc_entropy"]["value"] == pytest.approx(expected)
    assert section["ood"]["error_auroc"]["ood_score"]["value"] == pytest.approx(1 - expected)
    assert {"mc_entropy", "ood_score", "ensemble_entropy"} <= set(risk["by_score"])
    json.dumps([section, risk], allow_nan=False)


def test_rows_that_were_not_measured_are_not_counted(tmp_path):
    frame = made(n=100)
    stress = measured(frame, ood_score=1.0)
    stress["ood_score"] = np.random.default_rng(0).random(len(stress))
    stress = stress[stress["sample_id"] != "test-0"]
    stress.loc[stress["sample_id"] == "test-1", "ood_score"] = np.nan
    assert uncertainty(scored(frame), folder_with(tmp_path, stress))["ood"]["error_auroc"]["ood_score"]["n"] == 98


def test_vacuity_is_a_column_of_the_predictions():
    frame = made(n=100)
    frame["vacuity"] = np.random.default_rng(0).random(len(frame))
    assert list(uncertainty(scored(frame))) == ["evidential"] and list(selective(scored(frame))["by_score"]) == ["vacuity"]


def test_nothing_to_say_without_seeds_or_measures(tmp_path):
    assert uncertainty(scored(made()), tmp_path) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="sample_id"), "no column sample_id"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "a second time"),
        (lambda t: t.assign(ood_score=np.inf), "row 1: ood_score=inf"),
        (lambda t: t.assign(ood_score="high"), "row 1: ood_score=high"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, change, words):
    frame = made(n=80)
    folder = folder_with(tmp_path, change(measured(frame, ood_score=0.5)))
    with pytest.raises(InputError, match=words) as fault:
        uncertainty(scored(frame), folder)
    assert str(STRESS) in str(fault.value) and "mmdx stress" in str(fault.value)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / STRESS).parent.mkdir()
    (tmp_path / STRESS).write_text("no table")
    with pytest.raises(InputError, match="cannot be read as a table"):
        uncertainty(scored(made(n=80)), tmp_path)
