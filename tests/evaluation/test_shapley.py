"""Facts about the Shapley value of modalities."""

from itertools import chain, combinations, permutations

import numpy as np
import pytest
from made_predictions import made

from mmdx.evaluation.metrics import BinaryMetrics, auprc, auroc
from mmdx.evaluation.shapley import ShapleyMetrics, shapley_values


def coalitions(players):
    return [frozenset(s) for s in chain.from_iterable(combinations(players, size) for size in range(len(players) + 1))]


def test_the_glove_game():
    """Two own a left glove, one a right glove; a pair is worth 1: values 1/6, 1/6, 4/6 (Shapley and Shubik 1969, a market with gloves)."""
    worth = {s: float(bool(s & {"left", "left too"}) and "right" in s) for s in coalitions(["left", "left too", "right"])}
    found = shapley_values(worth)
    assert found == {"left": pytest.approx(1 / 6), "left too": pytest.approx(1 / 6), "right": pytest.approx(2 / 3)}


def test_the_airport_game():
    """Costs of 1, 2 and 4 shared step by step: 1/3, 1/3 + 1/2, 1/3 + 1/2 + 2 (Littlechild and Owen 1973, the closed form)."""
    cost = {"a": 1.0, "b": 2.0, "c": 4.0}
    found = shapley_values({s: max((cost[p] for p in s), default=0.0) for s in coalitions(cost)})
    assert [float(found[p]) for p in "abc"] == pytest.approx([1 / 3, 5 / 6, 17 / 6], abs=1e-12)


def test_values_are_the_mean_over_all_orders_of_joining():
    rng = np.random.default_rng(1)
    payoff = {s: rng.random() for s in coalitions("abcd")}
    found = shapley_values(payoff)
    for player in "abcd":
        before = [frozenset(order[: order.index(player)]) for order in permutations("abcd")]
        gains = [payoff[s | {player}] - payoff[s] for s in before]
        assert float(found[player]) == pytest.approx(np.mean(gains), abs=1e-12)


def test_they_sum_to_the_gain_are_symmetric_and_zero_for_a_dummy():
    rng = np.random.default_rng(2)
    target, unit, n = rng.integers(0, 2, 80), np.arange(80), 80
    one = target + rng.normal(size=n)

    def prob(subset):  # a and b take part alike; c is never looked at
        parts = [one] * ("a" in subset) + [one] * ("b" in subset)
        return 1 / (1 + np.exp(-(sum(parts) if parts else np.zeros(n)) * 0.5))

    of_subset = {s: BinaryMetrics(target, prob(s), unit, names=("auroc", "auprc")) for s in coalitions("abc") if s}
    counts = rng.multinomial(n, np.full(n, 1 / n), size=5).T.astype(float)
    found = ShapleyMetrics(of_subset, target, unit)(counts)
    for name, chance in (("auroc", np.full(5, 0.5)), ("auprc", (counts * target[:, None]).sum(0) / counts.sum(0))):
        full = of_subset[frozenset("abc")](counts)[name]
        total = sum(found[f"{p}|{name}"] for p in "abc")
        assert np.abs(total - (full - chance)).max() < 1e-12 and np.abs(found[f"|{name}"] - total).max() < 1e-12
        assert np.abs(found[f"a|{name}"] - found[f"b|{name}"]).max() < 1e-12
    assert np.abs(found["c|auroc"]).max() < 1e-12
    # AUROC of the single player c is chance, that of average precision with all rows tied is the prevalence
    assert np.abs(found["c|auprc"]).max() < 1e-12


def section(frame, **options):
    from mmdx.evaluation.modality_section import modality_value
    from mmdx.evaluation.score import prepared

    return modality_value(prepared(frame, resamples=60, **options)[0])


def test_the_section_is_over_samples_with_every_modality_and_sums_to_their_gain():
    frame = made(150, modalities=("a", "b", "c"), absent=0.2, retrained=True)
    found = section(frame)
    test = frame[(frame["split"] == "test") & (frame["ablation"] == "offered") & (frame["modalities"] == "a+b+c")]
    complete = test[test["present"] == "a+b+c"]
    for name, metric, chance in (("auroc", auroc, 0.5), ("auprc", auprc, complete["target"].mean())):
        gain = metric(complete["target"].to_numpy(), complete["prob"].to_numpy()) - chance
        assert sum(found["shapley"][m][name]["value"] for m in "abc") == pytest.approx(gain, abs=1e-12)
        assert found["shapley"][""][name]["value"] == pytest.approx(gain, abs=1e-12)
    entry = found["shapley"]["a"]["auroc"]
    assert entry["n"] == len(complete) and entry["low"] < entry["value"] < entry["high"] and entry["unit"] == "patient"
    assert set(found["shapley_retrained"]) == {"a", "b", "c", ""}


def test_subsets_that_are_not_there_are_told():
    frame = made(100, modalities=("a", "b", "c"))
    found = section(frame[frame["modalities"] != "a+b"])
    assert found["shapley"] is None and "shapley: no predictions for 1 of the 7 subsets, such as a+b" in found["reason"]
    assert section(frame[frame["modalities"] == "a+b+c"]) is None


def test_seeds_and_folds_are_one_value_each():
    found = section(made(100, seeds=2, folds=2))
    assert found["shapley"]["image"]["auroc"]["seeds"] == 2
    assert [(b["seed"], b["fold"]) for b in found["harm"]["best"]] == [("0", "fold0"), ("0", "fold1"), ("1", "fold0"), ("1", "fold1")]
