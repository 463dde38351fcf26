"""Facts about survival; the references are statsmodels, scikit-survival and torchsurv."""

import numpy as np
import pandas as pd
import pytest
import torch
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.linear_model.coxph import BreslowEstimator
from statsmodels.duration.hazard_regression import PHReg
from torchsurv.loss.cox import neg_partial_log_likelihood

from mmdx.errors import InputError
from mmdx.tasks.partial_likelihood import partial_log_likelihood
from mmdx.tasks.survival import CoxProportionalHazards, DiscreteTimeSurvival, default_horizons
from mmdx.testing import check_task

PATIENTS = pd.DataFrame({"time": [5.0, 2, 9, 4, 7, 4, 1, 12], "event": [1, 1, 0, 1, 0, 0, 1, 1]})


def drawn(n=80, ties=True, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    time = rng.exponential(np.exp(-x @ [0.5, -0.7, 0.2])) * 5
    return x, np.ceil(time) if ties else time, rng.random(n) < 0.7


def likelihood(x, time, event, coefficients, ties):
    f = torch.as_tensor(x @ np.asarray(coefficients))
    return float(partial_log_likelihood(f, torch.as_tensor(time), torch.as_tensor(event), ties))


@pytest.mark.parametrize("task", [CoxProportionalHazards, lambda: CoxProportionalHazards("breslow"), lambda: DiscreteTimeSurvival(3, [3, 6])])
def test_they_keep_the_contract(task):
    check_task(task, PATIENTS)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_partial_likelihood_is_that_of_statsmodels(ties, tied):
    x, time, event = drawn(ties=tied)
    for coefficients in ([0.0, 0, 0], [0.5, -0.3, 1.2], [-4.0, 3.0, 2.0]):
        reference = PHReg(time, x, status=event.astype(int), ties=ties).loglike(np.asarray(coefficients))
        assert likelihood(x, time, event, coefficients, ties) == pytest.approx(reference, abs=1e-8)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_partial_likelihood_is_that_of_torchsurv(ties):
    """Which works in single precision."""
    x, time, event = drawn(seed=1)
    f = torch.as_tensor(x @ [0.4, 0.1, -1.0])
    reference = neg_partial_log_likelihood(f, torch.as_tensor(event), torch.as_tensor(time), ties_method=ties, reduction="sum")
    assert float(partial_log_likelihood(f, torch.as_tensor(time), torch.as_tensor(event), ties)) == pytest.approx(-float(reference), rel=1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_its_gradient_vanishes_at_the_coefficients_of_scikit_survival(ties):
    x, time, event = drawn(200, seed=2)
    outcome = np.array(list(zip(event, time, strict=True)), dtype=[("event", bool), ("time", float)])
    fitted = CoxPHSurvivalAnalysis(ties=ties, tol=1e-12, n_iter=200).fit(x, outcome)
    coefficients = torch.tensor(fitted.coef_, requires_grad=True)
    found = partial_log_likelihood(torch.as_tensor(x) @ coefficients, torch.as_tensor(time), torch.as_tensor(event), ties)
    (gradient,) = torch.autograd.grad(found, coefficients)
    assert gradient.abs().max() < 1e-5


def test_two_tied_events_of_three_by_hand():
    """Hazard ratios 1, 2, 3, the first two with the event at once: Efron log(2) - log(6) - log(6 - 3 / 2), Breslow log(2) - 2 log(6)."""
    f, time, event = torch.tensor([1.0, 2.0, 3.0]).double().log(), torch.tensor([1.0, 1.0, 2.0]), torch.tensor([True, True, False])
    assert float(partial_log_likelihood(f, time, event, "efron")) == pytest.approx(np.log(2 / 6 / 4.5))
    assert float(partial_log_likelihood(f, time, event, "breslow")) == pytest.approx(np.log(2 / 36))


def test_large_outputs_stay_finite_and_a_constant_changes_nothing():
    f = torch.tensor([80.0, -90.0, 3.0, 100.0], requires_grad=True)
    time, event = torch.tensor([4.0, 1.0, 2.0, 1.0]), torch.tensor([True, True, False, True])
    found = partial_log_likelihood(f, time, event)
    (gradient,) = torch.autograd.grad(found, f)
    assert found.isfinite() and gradient.isfinite().all()
    torch.testing.assert_close(partial_log_likelihood(f.detach() + 50, time, event), found.detach())


def test_a_batch_without_events_teaches_nothing():
    logits = torch.randn(4, 1, requires_grad=True)
    loss = CoxProportionalHazards().loss(logits, torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]]))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == 0 and gradient.abs().max() == 0


def test_survival_after_calibration_is_breslows():
    x, time, event = drawn(120, seed=3)
    f, at = x @ [0.5, -0.7, 0.2], [1.0, 3.0, 6.0]
    task = CoxProportionalHazards(horizons=at)
    task.calibrate(torch.as_tensor(f)[:, None], torch.as_tensor(np.stack([time, event], axis=1)))
    found = task.predict(torch.as_tensor(f[:10])[:, None])
    curves = BreslowEstimator().fit(f, event, time).get_survival_function(f[:10])
    for i, curve in enumerate(curves):
        np.testing.assert_allclose([found[f"survival_{t:g}"][i] for t in at], curve(at), atol=1e-9)
    np.testing.assert_allclose(found["risk"], np.log(-np.log(found["survival_3"])), atol=1e-9)


def test_what_is_predicted_does_not_depend_on_the_constant_in_the_outputs():
    x, time, event = drawn(seed=4)
    f, target = torch.as_tensor(x[:, :1]), torch.as_tensor(np.stack([time, event], axis=1))
    tables = []
    for shift in (0.0, 7.0):
        task = CoxProportionalHazards(horizons=[2, 5])
        task.calibrate(f + shift, target)
        tables.append(task.predict(f + shift))
    for name, values in tables[0].items():
        np.testing.assert_allclose(values, tables[1][name], atol=1e-9)


def test_the_discrete_loss_is_the_papers():
    """Gensheimer and Narasimhan 2019, equation 5, with s the conditional survival: -sum ln(1 + a (s - 1)) + ln(1 - b s)."""
    task = DiscreteTimeSurvival(3)
    task.load({"horizons": [1.0], "breaks": [0.0, 2.0, 4.0, 8.0], "offset": [0.0, 0.0, 0.0]})
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    target = torch.tensor([[1.0, 1], [3.5, 0], [2.5, 0], [8.0, 1], [9.0, 1]]).double()
    survived = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    failed = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    s = 1 - logits.sigmoid().numpy()
    expected = -(np.log(1 + survived * (s - 1)) + np.log(1 - failed * s)).sum(axis=1).mean()
    assert float(task.loss(logits, target)) == pytest.approx(expected, rel=1e-6)


def test_survival_is_the_product_of_the_intervals_and_falls_within_them():
    task = DiscreteTimeSurvival(2)
    task.load({"horizons": [1.0, 2.0, 3.0, 4.0, 99.0], "breaks": [0.0, 2.0, 4.0], "offset": [0.0, 0.0]})
    found = task.predict(torch.tensor([[np.log(1 / 3), 0.0]]))  # hazards 1/4 and 1/2
    expected = [0.75**0.5, 0.75, 0.75 * 0.5**0.5, 0.375, 0.375]
    np.testing.assert_allclose([found[f"survival_{t}"][0] for t in (1, 2, 3, 4, 99)], expected, rtol=1e-6)
    area = 2 * (1 - 0.75) / -np.log(0.75) + 2 * 0.75 * (1 - 0.5) / -np.log(0.5)
    assert found["risk"][0] == pytest.approx(-area, rel=1e-6)


def test_outputs_of_zero_are_the_survival_of_everybody():
    """Without censoring the life table is the share still there, but for the half that keeps the hazards off 0 and 1."""
    time = np.random.default_rng(0).exponential(10.0, 4000)
    task = DiscreteTimeSurvival(8, horizons=[2.0, 5.0, 10.0, 20.0])
    task.fit(np.stack([time, np.ones(4000)], axis=1).astype(np.float32))
    found = task.predict(torch.zeros(1, task.outputs))
    for t in (2.0, 5.0, 10.0, 20.0):
        assert found[f"survival_{t:g}"][0] == pytest.approx((time > t).mean(), abs=0.02)


def test_few_event_times_make_few_intervals():
    task = DiscreteTimeSurvival(10)
    task.fit(np.float32([[1, 1], [1, 1], [2, 1], [3, 0]]))
    assert task.outputs == 2 and task.breaks.tolist() == [0, 1, 2]


def test_strata_are_the_censored_and_fifths_of_the_events():
    strata = CoxProportionalHazards().strata(np.stack([np.arange(100.0), np.arange(100) % 2], axis=1))
    assert np.bincount(strata).tolist() == [50, 10, 10, 10, 10, 10]


def test_horizons_are_quantiles_of_the_events():
    assert default_horizons(np.array([10.0, 20, 30, 1000]), np.array([1, 1, 1, 0])) == [12.0, 15.0, 20.0, 25.0, 28.0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame({"target": [0, 1]}), "no columns time and event; a manifest names them by data.time"),
        (pd.DataFrame({"time": [1, -2], "event": [1, 1]}), "sample '1' has time -2, expected a number of at least 0"),
        (pd.DataFrame({"time": [1, np.inf], "event": [1, 1]}), "has time inf"),
        (pd.DataFrame({"time": [1, 2], "event": [1, 2]}), "has event 2, expected 1 where it happened"),
        (pd.DataFrame({"time": [1, 2], "event": [0, 1]}), "1 of 2 samples have event 1; at least two"),
    ],
)
def test_what_cannot_be_is_named(table, words):
    with pytest.raises(InputError, match=words):
        CoxProportionalHazards().encode(table)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: CoxProportionalHazards("exact"), "task.ties=exact: must be one of efron, breslow"),
        (lambda: CoxProportionalHazards(horizons=[0]), "task.horizons=\\[0\\]: must be times above 0"),
        (lambda: DiscreteTimeSurvival(1), "task.intervals=1: must be a whole number of at least 2"),
    ],
)
def test_settings_out_of_range_are_named(build, words):
    with pytest.raises(InputError, match=words):
        build()
