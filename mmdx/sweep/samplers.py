"""From config to Optuna's samplers and pruners, and what each sampler cannot take."""

from __future__ import annotations

import inspect
import io
import itertools
import pickle
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import optuna
from hydra.utils import get_class
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, BruteForceSampler, CmaEsSampler

from mmdx.configuration import allowed_packages
from mmdx.errors import InputError
from mmdx.sweep.space import Choice, Interval, Parameter, Space

ALLOWED = ("optuna.samplers", "optuna.pruners")


class Grid(BaseSampler):
    """Every combination once: trial number k has the k-th, so that a sweep that is gone on with or shared leaves out none and repeats none.

    Args:
        space: of choices and ranges.
        seed: shuffles the combinations; None keeps the order of a nested loop, whose last parameter changes fastest.

    Raises:
        InputError: where a parameter is an interval.
    """

    def __init__(self, space: Space, seed: int | None = None) -> None:
        options = []
        for key, parameter in space.parameters.items():
            if isinstance(parameter, Interval):
                raise InputError(f"{key}: a grid takes choices and ranges, not an interval; use range(low,high,step), or hydra/sweeper/sampler=tpe.")
            options.append([_value(parameter, text) for text in parameter.options])
        self.combinations = list(itertools.product(*options))
        if seed is not None:
            self.combinations = [self.combinations[k] for k in np.random.default_rng(seed).permutation(len(self.combinations))]
        self.place = {key: k for k, key in enumerate(space.parameters)}

    def infer_relative_search_space(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, BaseDistribution]:
        """None: each parameter is looked up."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter's value in the trial's combination."""
        return self.combinations[trial.number][self.place[param_name]]


STATE = {("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM"), ("numpy", "ndarray"), ("numpy", "dtype"),
         *((f"numpy.{core}.multiarray", name) for core in ("_core", "core") for name in ("scalar", "_reconstruct"))}  # fmt: skip
"""What the state of CMA-ES is made of, by module and name."""


class CmaEs(CmaEsSampler):
    """Optuna's CMA-ES. It keeps its state in the study as a pickle, of which here nothing is made but what such a state consists of: a study may be a
    stranger's.
    """

    def _restore_optimizer(self, completed_trials: list[optuna.trial.FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            if parts := {key: value for key, value in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)}:
                try:
                    return _StateOnly(io.BytesIO(bytes.fromhex(self._concat_optimizer_attrs(parts)))).load()
                except InputError:
                    raise
                except Exception as fault:  # whatever a damaged one makes of it
                    raise InputError(f"trial {trial.number}: its state of CMA-ES is damaged ({type(fault).__name__}); name another folder.") from None
        return None


class _StateOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STATE:
            raise InputError(f"the study's state of CMA-ES names {module}.{name}: refused; nothing of it was run. Name another folder.")
        return super().find_class(module, name)


def _value(parameter: Parameter, text: str) -> Any:
    if isinstance(parameter, Choice):
        return text
    return float(text) if "." in text or "E" in text.upper() else int(text)


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter as Optuna knows it."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.options)
    if isinstance(parameter, Interval):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=int(parameter.step))
    return FloatDistribution(float(parameter.low), float(parameter.high), step=float(parameter.step))


def suggest(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    """A trial's value of a parameter; the one it has already where it was given one before."""
    known = distribution(parameter)
    if isinstance(known, CategoricalDistribution):
        return trial.suggest_categorical(key, known.choices)
    if isinstance(known, IntDistribution):
        return trial.suggest_int(key, known.low, known.high, step=known.step, log=known.log)
    assert isinstance(known, FloatDistribution)
    return trial.suggest_float(key, known.low, known.high, step=known.step, log=known.log)


def sampler_for(settings: Mapping[str, Any], space: Space, number: int) -> BaseSampler:
    """The sampler that chooses one trial.

    It is made anew for each, with a seed that is a function of (``seed``, number): what a trial gets depends on the trials before it alone, and not
    on which process asks or how often the sweep was stopped.

    Args:
        settings: ``hydra.sweeper.sampler``: ``_target_`` and arguments.
        space: what is varied.
        number: the trial's.

    Raises:
        InputError: where the sampler does not exist, refuses an argument, or cannot take the space.
    """
    made: BaseSampler = _made(settings, "hydra.sweeper.sampler", BaseSampler, space=space, number=number)
    return made


def pruner_of(settings: Mapping[str, Any] | None) -> BasePruner:
    """The pruner of ``hydra.sweeper.pruner``; None prunes nothing.

    Raises:
        InputError: where it does not exist or refuses an argument.
    """
    if not settings:
        return optuna.pruners.NopPruner()
    made: BasePruner = _made(settings, "hydra.sweeper.pruner", BasePruner)
    return made


def _made(settings: Mapping[str, Any], key: str, base: type, space: Space | None = None, number: int = 0) -> Any:
    if not isinstance(settings, Mapping):
        part = key.replace(".", "/")
        raise InputError(f"{key}={settings}: must be a mapping with _target_; a part is chosen with slashes, as in {part}={settings or 'tpe'}.")
    arguments = dict(settings)
    target = str(arguments.pop("_target_", ""))
    kind = _class(target, key, base)
    known = [name for name in inspect.signature(kind).parameters if name != "space"]
    for name in arguments:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise InputError(f"{key}.{name}: {kind.__name__} has no such argument{f'; did you mean {near[0]}?' if near else '.'}")
        value = arguments[name]
        if (name.startswith("n_") or (name == "seed" and value is not None)) and (type(value) is not int or value < 0):
            raise InputError(f"{key}.{name}={value}: must be a whole number, 0 or more{', or null' if name == 'seed' else ''}.")
    if "space" in inspect.signature(kind).parameters:
        arguments["space"] = space
    elif arguments.get("seed") is not None:
        arguments["seed"] = int(np.random.SeedSequence([int(arguments["seed"]), number]).generate_state(1)[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an argument is experimental
            return kind(**arguments)
    except (TypeError, ValueError) as fault:
        raise InputError(f"{key} ({target}): {str(fault).splitlines()[0]}") from None


def _class(target: str, key: str, base: type) -> type:
    packages = (*ALLOWED, *allowed_packages())
    if not any(target.startswith(f"{package}.") for package in packages):
        raise InputError(f"{key}._target_={target}: refused; it may name a class of {', '.join(packages)}.")
    try:
        kind = get_class(target)
    except Exception as fault:
        raise InputError(f"{key}._target_={target}: no such class ({str(fault).splitlines()[0]}).") from None
    if not issubclass(kind, base):
        raise InputError(f"{key}._target_={target}: is no {base.__name__} of Optuna's.")
    if issubclass(kind, BruteForceSampler):  # it ends Optuna's own loop, which isn't run here
        raise InputError(f"{key}._target_={target}: use hydra/sweeper/sampler=grid, which tries every combination once.")
    return CmaEs if kind is CmaEsSampler else kind


def check_sampler(sampler: BaseSampler, space: Space, objectives: int) -> None:
    """Refuse a space that a sampler would quietly leave to another.

    Raises:
        InputError: saying what it takes.
    """
    if not isinstance(sampler, CmaEsSampler):
        return
    if objectives > 1:
        raise InputError(f"hydra.sweeper.objectives: CMA-ES takes one, not {objectives}; use hydra/sweeper/sampler=nsgaii, tpe or gp.")
    for key, parameter in space.parameters.items():
        if isinstance(parameter, Choice):
            raise InputError(f"{key}: CMA-ES takes intervals and ranges, not choices; use interval(low,high), or hydra/sweeper/sampler=tpe.")
    if len(space.parameters) < 2:
        raise InputError("hydra/sweeper/sampler=cmaes: CMA-ES needs two parameters or more; use hydra/sweeper/sampler=tpe or gp for one.")
