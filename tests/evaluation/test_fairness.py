"""Gaps between groups: what they agree with, and how often intervals and tests are right."""

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, equalized_odds_difference, false_positive_rate, selection_rate, true_positive_rate
from scipy import stats
from sklearn.metrics import precision_score, roc_auc_score

from mmdx.evaluation.fairness import CalibrationErrors, aurocs, means, rates, totals

Z = stats.norm.ppf(0.975)


def made(n=400, groups=3, rows=1, seed=0, separation=1.4, alike=0.5, shares=None, prevalence=0.4):
    """Target, score, group and unit of rows; of a unit with several rows all have its target and group, and scores that are alike."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n), rng.integers(1, rows + 1, n))[:n]
    units = unit.max() + 1
    group = rng.choice(groups, units, p=shares)[unit]
    target = (rng.random(units) < prevalence)[unit].astype(int)
    common = rng.normal(size=units)[unit]
    noise = np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.normal(size=n) if rows > 1 else common
    return target, np.asarray(separation)[..., None][group % np.size(separation)].ravel() * (target - 0.5) + noise, group, unit


def rate(above, below, group, unit):
    groups, units = group.max() + 1, unit.max() + 1
    return rates([(totals(above, group, unit, groups, units), totals(below, group, unit, groups, units))])


def width(difference):
    return difference[2] - difference[1]


def both(target, score, group, unit):
    called = score >= 0
    return {
        "sensitivity": rate(called & (target == 1), target == 1, group, unit),
        "false_positive_rate": rate(called & (target == 0), target == 0, group, unit),
        "ppv": rate(called & (target == 1), called, group, unit),
        "selection_rate": rate(called, np.ones(len(target)), group, unit),
        "auroc": aurocs([(target, score, group, unit)], group.max() + 1, unit.max() + 1),
    }


@pytest.mark.parametrize("rows", [1, 4])
def test_values_and_gaps_are_fairlearns(rows):
    target, score, group, unit = made(rows=rows)
    called = (score >= 0).astype(int)
    theirs = MetricFrame(
        metrics={
            "sensitivity": true_positive_rate,
            "false_positive_rate": false_positive_rate,
            "ppv": precision_score,
            "selection_rate": selection_rate,
        },
        y_true=target,
        y_pred=called,
        sensitive_features=group,
    )
    ours = both(target, score, group, unit)
    for name in theirs.by_group:
        assert ours[name].value == pytest.approx(theirs.by_group[name].to_numpy(), abs=1e-12)
        assert ours[name].gap()[0] == pytest.approx(theirs.difference()[name], abs=1e-12)
    ranked = MetricFrame(metrics=roc_auc_score, y_true=target, y_pred=score, sensitive_features=group)
    assert ours["auroc"].value == pytest.approx(ranked.by_group.to_numpy(float), abs=1e-12)
    odds = max(ours[name].gap()[0] for name in ("sensitivity", "false_positive_rate"))
    assert odds == pytest.approx(equalized_odds_difference(target, called, sensitive_features=group), abs=1e-12)


def test_one_row_a_patient_gives_pearsons_chi_square():
    target, score, group, unit = made()
    called = score >= 0
    table = [[(called & (target == 1) & (group == g)).sum(), (~called & (target == 1) & (group == g)).sum()] for g in range(3)]
    assert both(target, score, group, unit)["sensitivity"].p_value() == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue, abs=1e-12
    )


def test_one_row_a_patient_gives_wilson_and_newcombe():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    hits, n = np.array([56, 48]), np.array([70, 80])  # Newcombe 1998, table II, case (a): method 10 gives 0.0524 to 0.3339
    group, unit = np.repeat([0, 1], n), np.arange(150)
    found = rate(np.concatenate([np.arange(70) < 56, np.arange(80) < 48]), np.ones(150), group, unit)
    assert np.transpose(found.limits()) == pytest.approx(np.transpose(proportion.proportion_confint(hits, n, method="wilson")), abs=1e-12)
    theirs = proportion.confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert found.difference(0, 1) == pytest.approx((0.2, *theirs), abs=1e-9)
    assert [round(x, 4) for x in found.difference(0, 1)[1:]] == [0.0524, 0.3339]


def test_variance_of_an_auroc_is_delongs():
    target, score, _, unit = made(60)
    up, down = score[target == 1], score[target == 0]
    wins = (up[:, None] > down[None, :]) + 0.5 * (up[:, None] == down[None, :])
    delong = wins.mean(axis=1).var(ddof=1) / len(up) + wins.mean(axis=0).var(ddof=1) / len(down)
    found = aurocs([(target, score, np.zeros(60, int), unit)], 1, 60)
    assert found.value[0] == pytest.approx(wins.mean(), abs=1e-12)
    assert found.covariance[0, 0] == pytest.approx(delong, rel=0.02)  # DeLong divides each part by its n - 1, here both by that of the fewer


def test_copies_of_a_patients_rows_add_nothing():
    target, score, group, unit = made(300)
    copied = np.repeat(np.arange(300), 3)
    once, thrice = both(target, score, group, unit), both(target[copied], score[copied], group[copied], unit[copied])
    for name in ("sensitivity", "auroc"):
        assert thrice[name].p_value() == pytest.approx(once[name].p_value(), rel=0.15)
        assert thrice[name].gap()[1:] == pytest.approx(once[name].gap()[1:], abs=0.01)
        as_if_others = both(target[copied], score[copied], group[copied], np.arange(900))[name]
        assert width(as_if_others.difference(0, 1)) == pytest.approx(width(once[name].difference(0, 1)) / np.sqrt(3), rel=0.1)


def test_seeds_that_agree_are_one():
    target, score, group, unit = made(300)
    above, below = (totals(x, group, unit, 3, 300) for x in ((score >= 0) & (target == 1), target == 1))
    one, two = rates([(above, below)]), rates([(above, below)] * 2)
    assert two.value == pytest.approx(one.value) and two.size == pytest.approx(one.size)
    assert two.gap() == pytest.approx(one.gap(), abs=0.01) and two.p_value() == pytest.approx(one.p_value(), rel=0.1)


def test_the_same_rows_in_both_groups_have_no_gap_and_their_difference_hardly_any_width():
    target, score, _, unit = made(200)
    twice, group = np.tile(np.arange(200), 2), np.repeat([0, 1], 200)
    found, apart = both(target[twice], score[twice], group, unit[twice]), both(target[twice], score[twice], group, np.arange(400))
    for name in ("sensitivity", "auroc"):
        assert found[name].difference(0, 1)[0] == 0
        assert width(found[name].difference(0, 1)) < 0.25 * width(apart[name].difference(0, 1))


def test_nothing_wrong_anywhere_is_no_gap_and_still_has_an_interval():
    group, unit = np.repeat([0, 1], 20), np.arange(40)
    found = rate(np.ones(40), np.ones(40), group, unit)
    assert found.p_value() == 1
    assert found.gap() == pytest.approx((0.0, -0.1611, 0.1611), abs=1e-4)  # 1 - Wilson's lower end of 20 of 20, z^2 / (n + z^2)
    perfect = aurocs([(np.tile([0, 1], 20), np.tile([0.1, 0.9], 20), group, unit)], 2, 40)
    assert np.isnan(perfect.gap()[1:]).all()


def test_a_mean_of_rows_is_a_t_interval():
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    found = means([(x[:, None], np.ones((50, 1)))])
    theirs = stats.t.interval(0.95, 49, x.mean(), stats.sem(x))
    assert np.ravel(found.limits()) == pytest.approx(theirs)


def test_calibration_errors():
    prob, target = np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 1, 1, 1])
    found = {k: v[0] for k, v in CalibrationErrors(target, prob, np.arange(4))(np.ones((4, 1))).items()}
    assert found == pytest.approx({"ece": (0.8 + 0.2) / 4, "calibration_in_the_large": -0.25})
    none = CalibrationErrors(target, prob, np.arange(4))(np.array([[1.0], [1.0], [0.0], [0.0]]))
    assert none["calibration_in_the_large"][0] == pytest.approx(-0.4)


def right(n, rows, studies, separation, shares=(0.5, 0.5), seed=0):
    """How often tests reject at 5 % and the interval of the TPR gap holds the truth, among studies with 10 patients of each class in each group."""
    rejected, held = {}, []
    for study in range(studies):
        target, score, group, unit = made(n, len(shares), rows, seed=(seed, study), separation=separation, shares=shares)
        enough = [len(np.unique(unit[(group == g) & (target == y)])) >= 10 for g in range(len(shares)) for y in (0, 1)]
        if not all(enough):
            continue
        found = both(target, score, group, unit)
        for name in ("sensitivity", "false_positive_rate", "ppv", "auroc"):
            rejected.setdefault(name, []).append(found[name].p_value() < 0.05)
        truth = stats.norm.cdf(np.broadcast_to(separation, len(shares)) / 2)
        _, low, high = found["sensitivity"].difference(0, 1)
        held.append(low <= truth[0] - truth[1] <= high)
    return {name: np.mean(values) for name, values in rejected.items()}, np.mean(held)


@pytest.mark.parametrize(("n", "rows", "seed"), [(100, 1, 0), (200, 3, 1), (1000, 1, 2), (1000, 3, 3)])
def test_no_gap_is_called_one_in_5_percent_of_studies(n, rows, seed):
    rejected, held = right(n, rows, 1000, 1.4, seed=seed)
    assert all(0.03 <= share <= 0.07 for share in rejected.values()), rejected
    assert 0.93 <= held <= 0.97


@pytest.mark.parametrize(("n", "rows", "seed"), [(100, 1, 4), (1000, 1, 5), (1000, 3, 6)])
def test_the_interval_of_a_tpr_gap_holds_it(n, rows, seed):
    _, held = right(n, rows, 1000, np.array([2.4, 1.2]), seed=seed)
    assert 0.93 <= held <= 0.97
