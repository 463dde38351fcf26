"""Facts about grades, numbers and times of the simulated cohort."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, weibull_min
from statsmodels.duration.hazard_regression import PHReg

from mmdx.errors import InputError
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.outcomes import CUTS, FOLLOW_UP, MEAN, SCALE, SHAPE, SIGNAL, SPREAD, draw_outcome, severity


def cohort(outcome, samples=6000, **options):
    return SimulatedCohort(samples, ("text", "tabular"), outcome=outcome, **options)


def ill(made):
    return severity(made.model, made.findings, made.modalities, made.settings.prevalence)


@pytest.mark.parametrize("options", [{}, {"prevalence": 0.1}, {"presentation": "single", "information": {"unique": {"text": 0.2, "tabular": 0.2}}}])
def test_severity_is_standardised_and_goes_with_the_diagnosis(options):
    made = cohort("regression", 20_000, **options)
    values = ill(made)
    assert values.mean() == pytest.approx(0, abs=0.03) and values.std() == pytest.approx(1, abs=0.03)
    assert values[made.diagnosis == 1].mean() > values[made.diagnosis == 0].mean() + 0.3


def test_a_number_is_the_severity_and_noise_in_the_shares_asked_for():
    made = cohort("regression")
    target = made.table["target"].to_numpy()
    assert target.mean() == pytest.approx(MEAN, abs=0.5) and target.std() == pytest.approx(SPREAD, abs=0.3)
    assert np.corrcoef(target, ill(made))[0, 1] ** 2 == pytest.approx(SIGNAL, abs=0.02)


def test_a_grade_is_the_same_cut_into_four():
    graded, number = cohort("ordinal").table["target"], cohort("regression").table["target"]
    np.testing.assert_array_equal(graded, np.searchsorted(CUTS, (number - MEAN) / SPREAD))
    assert set(graded) == {0, 1, 2, 3}


def test_times_have_proportional_hazards_of_the_size_stated():
    made = cohort("survival", 20_000)
    time, event = made.table["time"].to_numpy(), made.table["event"].to_numpy()
    fitted = PHReg(time, ill(made)[:, None], status=event, ties="efron").fit()
    assert fitted.params[0] == pytest.approx(1.0, abs=4 * fitted.bse[0])
    assert time.max() <= FOLLOW_UP and 0.4 < event.mean() < 0.8


def test_at_one_severity_the_times_are_weibull():
    found = draw_outcome("survival", np.full(50_000, -1.0), 3)
    times = SCALE * np.exp(1.0) ** (1 / SHAPE) * weibull_min(SHAPE).rvs(50_000, random_state=0)
    censored = np.random.default_rng(0).exponential(1200.0, 50_000)
    expected = np.ceil(np.minimum(np.minimum(times, censored), FOLLOW_UP))
    assert ks_2samp(found["time"], expected).statistic < 0.012


@pytest.mark.parametrize("outcome", ["ordinal", "regression", "survival"])
def test_the_outcome_changes_no_input_and_a_row_not_with_the_size(outcome):
    made, other, larger = cohort(outcome, 50), cohort("binary", 50), cohort(outcome, 80)
    assert made.made_from(7) == other.made_from(7) and made[7].inputs["text"] == other[7].inputs["text"]
    columns = ["time", "event"] if outcome == "survival" else ["target"]
    assert made.table[columns].equals(larger.table[columns].iloc[:50])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outcome": "death"}, "data.outcome=death: must be one of binary, ordinal, regression, survival"),
        ({"outcome": "survival", "label_noise": 0.1}, "data.label_noise=0.1: turns diagnoses"),
        ({"outcome": "regression", "information": {"unique": {"text": 0.0}}}, "the modalities in use show nothing"),
    ],
)
def test_what_cannot_be_is_named(options, words):
    with pytest.raises(InputError, match=words):
        SimulatedCohort(50, ("text",), **options)


def test_the_optimum_is_of_the_diagnosis_alone():
    with pytest.raises(InputError, match="data.outcome=survival: the best possible scores are known of data.outcome=binary only"):
        cohort("survival", 50).optimum(("text",))
