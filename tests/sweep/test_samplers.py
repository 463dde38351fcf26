"""Every sampler stays in its space, and what it tries is a function of (seed, number, trials before), whichever process asks."""

import itertools
import os
import pickle
import warnings

import numpy as np
import optuna
import pytest
from here import ROOT
from omegaconf import OmegaConf
from optuna.distributions import FloatDistribution
from optuna.samplers import CmaEsSampler
from toy_app import value

from mmdx.errors import InputError
from mmdx.sweep.outcome import Outcome
from mmdx.sweep.plots import importances
from mmdx.sweep.samplers import CmaEs, check_sampler, pruner_of, sampler_for
from mmdx.sweep.shared import SharedStudy, shared
from mmdx.sweep.space import read_space

NUMBERS = ("x=interval(0,1)", "y=range(0,5)")
MIXED = (*NUMBERS, "kind=a,b")
FINITE = ("x=range(0,1,0.25)", "y=range(0,3)", "kind=a,b")
SPACES = {"tpe": MIXED, "cmaes": NUMBERS, "gp": MIXED, "random": MIXED, "grid": FINITE, "nsgaii": MIXED}


def settings(name, **changes):
    return OmegaConf.to_container(OmegaConf.load(ROOT / "conf/hydra/sweeper/sampler" / f"{name}.yaml")) | changes


def tried(folder, name, trials, renew=False, batch=1, objectives=("val/score",), **changes):
    """What a sampler tries on the toy's values; ``renew`` opens the study anew for each batch, as another process would."""
    folder.mkdir(exist_ok=True)
    space = read_space({}, SPACES[name])
    directions = dict.fromkeys(objectives, "maximize")
    study = SharedStudy(folder, "journal", space, settings(name, **changes), directions, trials)
    while claims := study.claim(batch):
        for claim in claims:
            values = dict(word.split("=") for word in claim.overrides)
            score = value(float(values["x"]), float(values["y"]), values.get("kind", "a"))
            study.tell(claim.number, Outcome("COMPLETE", {"val/score": score, "size": float(values["y"])}))
        if renew:
            study.close()
            study = SharedStudy(folder, "journal", space, settings(name, **changes), directions, trials)
    with shared(study):
        return [(trial.params, trial.values) for trial in study.study.trials]


@pytest.mark.parametrize("name", SPACES)
def test_a_sampler_repeats_itself_in_one_process_or_in_many(tmp_path, name):
    changes = {"n_startup_trials": 4} if name in ("tpe", "gp") else {"population_size": 4} if name == "nsgaii" else {}
    once = tried(tmp_path / "once", name, 9, **changes)
    assert once == tried(tmp_path / "renewed", name, 9, renew=True, **changes)
    assert len(once) == 9 and all(0 <= params["x"] <= 1 and params["y"] in range(5) for params, _ in once)
    if name != "grid":
        assert len({str(params) for params, _ in once}) > 6
        assert once != tried(tmp_path / "other", name, 9, seed=1, **changes)


def test_samplers_that_learn_end_nearer_to_the_optimum_than_they_began(tmp_path):
    for name in ("tpe", "gp", "cmaes"):
        values = [found[0] for _, found in tried(tmp_path / name, name, 30)]
        assert sum(values[-10:]) > sum(values[:10]), name


@pytest.mark.parametrize("seed", [None, 3])
def test_a_grid_takes_every_combination_once(tmp_path, seed):
    found = [params for params, _ in tried(tmp_path / "grid", "grid", 24, batch=5, seed=seed)]
    whole = list(itertools.product((0.0, 0.25, 0.5, 0.75), range(3), "ab"))
    assert sorted((p["x"], p["y"], p["kind"]) for p in found) == whole
    assert ([(p["x"], p["y"], p["kind"]) for p in found] == whole) == (seed is None)


def test_nsgaii_finds_a_front_of_several_objectives(tmp_path):
    found = tried(tmp_path / "front", "nsgaii", 12, objectives=("val/score", "size"), population_size=4)
    assert all(len(values) == 2 for _, values in found)


@pytest.mark.parametrize(("name", "space", "objectives", "says"), [
    ("grid", ("x=interval(0,1)",), 1, "x: a grid takes choices and ranges, not an interval"),
    ("cmaes", MIXED, 1, "kind: CMA-ES takes intervals and ranges, not choices"),
    ("cmaes", ("x=interval(0,1)",), 1, "CMA-ES needs two parameters or more"),
    ("cmaes", NUMBERS, 2, "CMA-ES takes one, not 2"),
])  # fmt: skip
def test_a_space_that_a_sampler_cannot_take_is_refused(name, space, objectives, says):
    space = read_space({}, space)
    with pytest.raises(InputError, match=says):
        check_sampler(sampler_for(settings(name), space, 0), space, objectives)


@pytest.mark.parametrize(("given", "says"), [
    ({"_target_": "os.system"}, "refused"),
    ({"_target_": "optuna.samplers.NoSuch"}, "no such class"),
    ({"_target_": "optuna.pruners.MedianPruner"}, "is no BaseSampler"),
    ({"_target_": "optuna.samplers.TPESampler", "n_startup": 3}, "no such argument; did you mean n_startup_trials"),
    ({"_target_": "optuna.samplers.NSGAIISampler", "population_size": 1}, "population_size"),
])  # fmt: skip
def test_a_wrong_sampler_gets_one_sentence(given, says):
    with pytest.raises(InputError, match=says) as fault:
        sampler_for(given, read_space({}, NUMBERS), 0)
    assert "\n" not in str(fault.value)


def test_a_wrong_pruner_gets_one_sentence():
    with pytest.raises(InputError, match=r"hydra\.sweeper\.pruner\.warmup: MedianPruner has no such argument"):
        pruner_of({"_target_": "optuna.pruners.MedianPruner", "warmup": 1})


class Evil:
    def __reduce__(self):
        return (os.mkdir, (os.environ["EVIL_FOLDER"],))


@pytest.mark.parametrize("target", ["mmdx.sweep.samplers.CmaEs", "optuna.samplers.CmaEsSampler"])
def test_the_state_of_cmaes_in_a_strangers_study_makes_nothing_else(tmp_path, monkeypatch, target):
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "ran"))
    space = read_space({}, NUMBERS)
    own = settings("cmaes", n_startup_trials=1, _target_=target)
    study = SharedStudy(tmp_path, "journal", space, own, {"val/score": "maximize"}, 6)
    for number in range(4):
        (claim,) = study.claim(1)
        if number == 3:
            trial = study.study.get_trials(deepcopy=False)[3]
            study.storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", pickle.dumps(Evil()).hex())
        study.tell(claim.number, Outcome("COMPLETE", {"val/score": float(number)}))
    with pytest.raises(InputError, match=r"the study's state of CMA-ES names \w+.mkdir: refused; nothing of it was run"):
        study.claim(1)
    assert not (tmp_path / "ran").exists()
    study.close()


@pytest.mark.parametrize("variant", [{}, {"use_separable_cma": True}, {"with_margin": True}])
def test_cmaes_tries_what_optunas_tries(variant):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own, optunas = (optuna.create_study(sampler=kind(seed=1, n_startup_trials=1, **variant)) for kind in (CmaEs, CmaEsSampler))
        for study in (own, optunas):
            study.optimize(lambda trial: (trial.suggest_float("x", -1, 1) - 0.3) ** 2 + trial.suggest_int("y", 0, 5), n_trials=20)
    assert [trial.params for trial in own.trials] == [trial.params for trial in optunas.trials]


def test_importances_are_those_of_the_end_that_is_looked_for():
    rng = np.random.default_rng(0)
    studies = [optuna.create_study(directions=ways) for ways in (["maximize"], ["maximize", "minimize"])]
    for _ in range(60):
        x, y = rng.uniform(size=2)
        score = 10 * x if x > 0.9 else y  # what is high is x's doing, what is low y's
        for study, values in zip(studies, ([score], [score, 0.0]), strict=True):
            known = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
            study.add_trial(optuna.trial.create_trial(params={"x": x, "y": y}, distributions=known, values=values))
    one, several = (importances(study) for study in studies)
    assert one == pytest.approx(several) and one["x"] > one["y"]
