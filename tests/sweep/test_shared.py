"""A trial belongs to one process at a time; what a dead one left behind is taken up under its number, as often as is allowed."""

import pytest
from filelock import FileLock
from test_samplers import settings

from mmdx.sweep.outcome import Outcome, complete, lock_of
from mmdx.sweep.shared import SharedStudy
from mmdx.sweep.space import read_space

SPACE = read_space({}, ["+experiment=e", "x=interval(0,1)", "y=1,2"])


def opened(folder, trials=3, attempts=10, storage="journal"):
    return SharedStudy(folder, storage, SPACE, settings("tpe"), {"val/score": "maximize"}, trials, attempts)


def states(study):
    return [trial.state.name for trial in study.study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_a_live_process_keeps_its_trial_and_a_dead_ones_is_taken_up(tmp_path, storage):
    one, two = opened(tmp_path, storage=storage), opened(tmp_path, storage=storage)
    (first,) = one.claim(1)
    assert first.overrides[0] == "+experiment=e" and [claim.number for claim in two.claim(5)] == [1, 2]
    assert one.claim(5) == [] and one.running() == 3
    two.close()
    taken = one.claim(5)
    assert [(claim.number, claim.attempts) for claim in taken] == [(1, 2), (2, 2)]
    for claim in (first, *taken):
        one.tell(claim.number, Outcome("COMPLETE", {"val/score": 0.5}))
    assert states(one) == ["COMPLETE"] * 3 and opened(tmp_path, storage=storage).claim(5) == []


def test_a_trial_that_is_taken_up_keeps_its_settings(tmp_path):
    one = opened(tmp_path)
    (before,) = one.claim(1)
    one.close()
    (after,) = opened(tmp_path).claim(1)
    assert (before.number, before.overrides) == (after.number, after.overrides)


def test_a_run_that_outlives_its_process_keeps_its_trial(tmp_path):
    one = opened(tmp_path, trials=1)
    (claim,) = one.claim(1)
    with FileLock(str(lock_of(tmp_path, claim.number))):
        one.close()
        assert opened(tmp_path, trials=1).claim(1) == []
    assert len(opened(tmp_path, trials=1).claim(1)) == 1


def test_a_run_that_ended_before_it_could_be_told_is_taken_as_it_ended(tmp_path):
    one = opened(tmp_path, trials=2)
    for claim, outcome in zip(one.claim(2), (Outcome("COMPLETE", {"val/score": 0.25}, seconds=3.0), Outcome("FAIL", reason="no room")), strict=True):
        (tmp_path / str(claim.number)).mkdir()
        outcome.write(tmp_path / str(claim.number))
    one.close()
    two = opened(tmp_path, trials=2)
    assert two.claim(2) == [] and states(two) == ["COMPLETE", "FAIL"]
    assert two.study.trials[0].value == 0.25 and two.study.trials[1].user_attrs["reason"] == "no room"


def test_a_trial_that_takes_its_process_with_it_fails_when_it_was_begun_often_enough(tmp_path):
    for attempt in (1, 2):
        study = opened(tmp_path, trials=1, attempts=2)
        assert [claim.attempts for claim in study.claim(1)] == [attempt]
        study.close()
    study = opened(tmp_path, trials=1, attempts=2)
    assert study.claim(1) == [] and states(study) == ["FAIL"]
    assert study.study.trials[0].user_attrs["reason"].startswith("its process ended 2 times before it did")


@pytest.mark.parametrize(("values", "reason"), [
    ({}, "a was not measured"), ({"a": None}, "a is None"), ({"a": float("inf")}, "a is inf"), ({"a": "x"}, "a is x"),
])  # fmt: skip
def test_an_objective_that_is_no_number_fails_a_trial(values, reason):
    assert complete(values, {"a": "maximize"}).reason == f"{reason}; an objective must be a finite number"
