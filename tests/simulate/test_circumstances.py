"""What goes wrong goes wrong as much as was asked, and the posterior knows it."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.latent import subsets

N = 60_000
EVERYTHING = {
    "label_noise": 0.05,
    "missing_odds": {"old": {"image": 3.0}, "diseased": {"text": 4.0}, "sites": [1.0, 2.0, 0.5]},
    "silent": {"audio": 0.2},
    "subgroup": {"column": "age_group", "value": "60 and over", "silent": {"image": 0.4}},
    "site_prevalence": [0.3, 0.4, 0.6],
    "marker": 0.7,
}
BITS = {"unique": {"image": 0.15, "text": 0.15, "audio": 0.1}, "redundant": {"image+text+audio": 0.1}, "synergistic": {"text+audio": 0.1}}


def cohort_of(**arguments):
    return SimulatedCohort(**{"samples": N, "modalities": ("image", "text", "audio")} | arguments)


@pytest.mark.parametrize("presentation", ["joint", "single"])
def test_the_posterior_is_calibrated_whatever_goes_wrong(presentation):
    cohort = cohort_of(samples=150_000, presentation=presentation, information=BITS, **EVERYTHING)
    for subset in subsets(cohort.modalities):
        posterior = cohort.posterior(subset)
        for low in np.arange(0, 1, 0.1):
            rows = (posterior >= low) & (posterior < low + 0.1)
            if rows.sum() > 50:
                error = np.sqrt((posterior[rows] * (1 - posterior[rows])).sum()) / rows.sum()
                assert abs(cohort.target[rows].mean() - posterior[rows].mean()) < 4.5 * error


def test_missing_at_random_follows_age_and_not_the_diagnosis():
    cohort = cohort_of(missing={"image": 0.2}, missing_odds={"old": {"image": 4.0}})
    old, gone = cohort.visits.age >= 60, ~cohort.present["image"]
    assert gone[~old].mean() == pytest.approx(0.2, abs=0.01)
    assert gone[old].mean() == pytest.approx(expit(logit(0.2) + np.log(4)), abs=0.01)
    assert gone[old & (cohort.diagnosis == 1)].mean() == pytest.approx(gone[old & (cohort.diagnosis == 0)].mean(), abs=0.02)
    assert np.allclose(cohort.posterior(("image",))[gone], 0.4), "what is missing at random tells nothing to one who knows the age"


def test_missing_not_at_random_follows_the_diagnosis_and_tells_of_it():
    cohort = cohort_of(missing={"text": 0.2}, missing_odds={"diseased": {"text": 4.0}})
    gone = ~cohort.present["text"]
    case, control = gone[cohort.diagnosis == 1].mean(), gone[cohort.diagnosis == 0].mean()
    assert (case, control) == pytest.approx((0.5, 0.2), abs=0.01)
    expected = 0.4 * 0.5 / (0.4 * 0.5 + 0.6 * 0.2)
    assert np.allclose(cohort.posterior(("text",))[gone], expected) and cohort.target[gone].mean() == pytest.approx(expected, abs=0.015)


def test_hospitals_have_their_own_prevalence_and_missingness():
    cohort = cohort_of(site_prevalence=[0.1, 0.4, 0.7], missing_odds={"sites": [1.0, 3.0, 0.2]})
    rates = [cohort.target[cohort.visits.site == site].mean() for site in range(3)]
    assert rates == pytest.approx([0.1, 0.4, 0.7], abs=0.015)
    gone = [1 - cohort.present["text"][cohort.visits.site == site].mean() for site in range(3)]
    assert gone == pytest.approx([expit(logit(0.15) + np.log(odds)) for odds in (1.0, 3.0, 0.2)], abs=0.02)


def test_a_modality_carries_less_for_the_subgroup_and_as_much_less_as_the_optimum_of_its_rows_says():
    cohort = cohort_of(missing={}, subgroup={"column": "sex", "value": "F", "silent": {"audio": 0.6}})
    women = cohort.visits.female
    posterior, found = cohort.posterior(("audio",)), {}
    for name, rows in (("F", women), ("M", ~women)):
        optimum = cohort.optimum(("audio",), rows=np.flatnonzero(rows))["auroc"]
        assert roc_auc_score(cohort.target[rows], posterior[rows]) == pytest.approx(optimum, abs=0.006)
        found[name] = optimum
    assert found["F"] < found["M"] - 0.1
    silent = women & cohort.present["audio"] & ~cohort.telling["audio"]
    assert silent.sum() / women.sum() == pytest.approx(0.6, abs=0.02)


def test_labels_are_wrong_at_the_rate_asked_and_the_findings_follow_the_diagnosis():
    cohort = cohort_of(label_noise=0.1)
    assert (cohort.target != cohort.diagnosis).mean() == pytest.approx(0.1, abs=0.005)
    clean = cohort_of()
    assert np.array_equal(cohort.diagnosis, clean.diagnosis)
    assert np.array_equal(cohort.findings.shown["image"], clean.findings.shown["image"], equal_nan=True)
    assert cohort.optimum(("image",))["auroc"] < clean.optimum(("image",))["auroc"] - 0.05


def test_the_marker_agrees_with_the_diagnosis_before_and_after_as_asked_and_only_the_film_carries_it():
    cohort = cohort_of(marker=0.9, later={"from_row": N // 2, "marker": 0.5, "prevalence": 0.2})
    agrees = cohort.visits.marker == cohort.diagnosis
    half = np.arange(N) < N // 2
    assert (agrees[half].mean(), agrees[~half].mean()) == pytest.approx((0.9, 0.5), abs=0.01)
    assert cohort.target[~half].mean() == pytest.approx(0.2, abs=0.01)
    before, after = (cohort.optimum(("image",), rows=np.flatnonzero(rows))["auroc"] for rows in (half, ~half))
    assert before > after + 0.04
    assert after == pytest.approx(cohort_of(prevalence=0.4).optimum(("image",))["auroc"], abs=1e-9), "AUROC does not depend on prevalence"
    texts = [cohort.optimum(("text",), rows=np.flatnonzero(rows))["auroc"] for rows in (half, ~half)]
    assert texts[0] == pytest.approx(texts[1], abs=1e-9)


def test_devices_move_with_time_and_are_replaced_and_patients_stay():
    still, drifting = (SimulatedCohort(samples=40, missing={}, modalities=("image",), drift=drift) for drift in (0.0, 500.0))
    films = [[c[row].inputs["image"].astype(float) for c in (still, drifting)] for row in (0, 39)]
    assert np.array_equal(*films[0]) and np.abs(films[1][0] - films[1][1]).mean() > 2
    assert still.table.equals(drifting.table)
    replaced = SimulatedCohort(samples=40, missing={}, modalities=("image",), later={"from_row": 20, "devices": 1.5})
    assert np.array_equal(replaced[19].inputs["image"], still[19].inputs["image"])
    assert not np.array_equal(replaced[20].inputs["image"], still[20].inputs["image"])


def test_patients_have_the_visits_asked_for():
    cohort = SimulatedCohort(samples=600, visits=[3, 1])
    counts = cohort.table.groupby("patient_id", sort=False).size()
    assert counts.tolist() == [3, 1] * 150
    assert SimulatedCohort(samples=50, visits=[1]).table["patient_id"].nunique() == 50


def test_days_follow_each_other():
    days = SimulatedCohort(samples=100).table["meta_time"]
    assert days.is_monotonic_increasing and days.iloc[0] == "2015-01-01" and days.iloc[-1] == "2015-01-05"


def test_bits_are_those_of_the_modalities_and_not_of_the_hospital_and_add_up_over_hospitals():
    nothing = cohort_of(samples=900, site_prevalence=[0.05, 0.4, 0.9], information={"unique": {"image": 0.3}})
    assert nothing.information(("text", "audio")) == pytest.approx(0, abs=1e-9)
    assert nothing.decomposition("text", "audio") == pytest.approx((0, 0, 0, 0), abs=1e-9)
    assert nothing.optimum(("text",))["auroc"] > 0.8, "though the hospital tells"
