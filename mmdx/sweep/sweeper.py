"""A sweep from top to bottom: read its space, claim trials of the shared study, launch them, tell what came of them, and sum up."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mmdx.configuration import check_config, refuse_unknown, resolved
from mmdx.errors import InputError
from mmdx.hydra_faults import refused
from mmdx.sweep.folder import STUDY, keep_first_config, settled_folder
from mmdx.sweep.objectives import SCORE, check_metric, check_names, read_objectives
from mmdx.sweep.outcome import DiskFault, Outcome, lock_of, read_outcome
from mmdx.sweep.space import Choice, Space, read_space

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from hydra.types import HydraContext, TaskFunction

    from mmdx.sweep.shared import Claim, SharedStudy

SETTINGS = frozenset({"params", "sampler", "pruner", "direction", "objectives", "n_trials", "n_jobs", "storage", "attempts"})
TRIALS = 20
POLL = 0.5
"""Seconds between two looks at trials that other processes have."""
LONGEST = 240
"""Letters of a launcher's reason that are kept."""
PRUNING = "++callbacks.pruning._target_=mmdx.sweep.pruning.Pruning"


@dataclass
class Sweep:
    """A sweep that is about to start.

    Attributes:
        settings: the keys of ``conf/hydra/sweeper/optuna.yaml``.
        context, task, config: Hydra's, of the application.
        space: what is varied.
        objectives: directions by name, "maximize" or "minimize".
        given_sweep: ``hydra.sweep`` as it was given, with its interpolations.
        folder: takes the study, a folder for each trial by its number, and what the sweep ends in.
    """

    settings: dict[str, Any]
    context: HydraContext
    task: TaskFunction
    config: DictConfig
    space: Space
    objectives: dict[str, str]
    given_sweep: dict[str, Any]
    folder: Path = Path()

    @classmethod
    def of(cls, settings: Mapping[str, Any], context: HydraContext, task: TaskFunction, config: DictConfig, arguments: Sequence[str]) -> Sweep:
        """Read and check a sweep, before anything is trained.

        Raises:
            InputError: for whatever is wrong with it.
        """
        _check_installed()
        refuse_unknown(settings, SETTINGS, "hydra.sweeper")
        space = read_space(settings.get("params") or {}, arguments, context.config_loader)
        objectives = read_objectives(settings.get("objectives"), str(settings.get("direction")))
        given: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        sweep = cls(dict(settings), context, task, config, space, objectives, given)
        for key, least in (("n_jobs", 1), ("attempts", 1), *([("n_trials", 1)] if settings.get("n_trials") is not None else [])):
            if type(settings.get(key)) is not int or settings[key] < least:
                raise InputError(f"hydra.sweeper.{key}={settings.get(key)}: must be a whole number, {least} or more.")
        sweep._check_sampler()
        from mmdx.sweep.storage import check_storage

        check_storage(settings.get("storage"))
        first = sweep._check_jobs()
        sweep.folder = settled_folder(config, str(given["dir"]), sweep.described())
        if first is not None:
            keep_first_config(sweep.folder, first)
        return sweep

    def described(self) -> dict[str, Any]:
        """What makes this sweep another than one with other settings; how many trials there are and how they are launched may change."""
        named = {key: self.settings.get(key) for key in ("sampler", "pruner", "storage")}
        return {"config": self.config.hydra.job.config_name, **self.space.described(), **named, "objectives": self.objectives}

    def run(self) -> Any:
        """Run trials until there are as many as asked for, together with every other process on the same study; returns the best values.

        Raises:
            InputError: where every trial failed, or the folder was removed in the meantime.
        """
        try:
            return self._run()
        except FileNotFoundError:
            if (self.folder / STUDY).exists():
                raise
            told = "was removed while the sweep was at work; remove what was written there since, and begin again by the same command"
            raise InputError(f"{self.folder}: {told}.") from None

    def _run(self) -> Any:
        from mmdx.sweep.shared import ALIKE, SharedStudy, shared
        from mmdx.sweep.summary import sum_up

        launcher = self._launcher()
        storage, sampler, attempts, pruner = (self.settings[key] for key in ("storage", "sampler", "attempts", "pruner"))
        with shared(SharedStudy(self.folder, storage, self.space, sampler, self.objectives, self.trials, attempts, pruner)) as study:
            told = False
            while True:
                if claims := study.claim(self.settings["n_jobs"]):
                    self._launch(launcher, study, claims)
                    if reason := study.failing_alike():
                        raise InputError(f"{ALIKE} trials failed alike and none has ended well: {reason.rstrip('.')}. "
                                         "Mend that, and the same command goes on with the trials that are left.")
                elif others := study.running():
                    if not told:
                        print(f"waiting for {others} trials of other processes.", flush=True)
                    told = True
                    time.sleep(POLL)
                else:
                    return sum_up(self, study)

    @property
    def trials(self) -> int:
        """How many there are to be: the number asked for; of a grid no more than it has."""
        from mmdx.sweep.samplers import Grid, sampler_for

        asked, sampler = self.settings.get("n_trials"), sampler_for(self.settings["sampler"], self.space, 0)
        if isinstance(sampler, Grid):
            return min(asked or len(sampler.combinations), len(sampler.combinations))
        return asked or TRIALS

    def _check_sampler(self) -> None:
        from mmdx.sweep.samplers import check_sampler, pruner_of, sampler_for

        check_sampler(sampler_for(self.settings["sampler"], self.space, 0), self.space, len(self.objectives))
        pruner_of(self.settings["pruner"])
        if self._is_mmdx:
            check_names(self.objectives)
        if self.settings["pruner"] and list(self.objectives.items()) not in ([("val/score", "maximize")], [("val/auroc", "maximize")]):
            raise InputError("hydra.sweeper.pruner: prunes by val/score after each epoch, so that must be the one objective, to be maximized; "
                             "set hydra/sweeper/pruner=none.")

    @property
    def _is_mmdx(self) -> bool:
        return {"resume", "callbacks", "fusion", "task"} <= set(self.config)

    def _check_jobs(self) -> DictConfig | None:
        """Compose a job at either end of the space and with every choice, and look up every member of a config group, so that a misspelt name, or a
        value that is out of bounds, is found before any trial; of mmdx's own runs the first one's config.
        """
        if self._is_mmdx:
            from mmdx.parts import training_plan
        first = None
        loader, groups = self.context.config_loader, set()
        for key, parameter in self.space.parameters.items():
            if isinstance(parameter, Choice):
                group = key.lstrip("+").split("@")[0]
                known = loader.get_group_options(group) if "." not in group else []
                groups |= {key} if known else set()
                for option in parameter.options:
                    if known and option not in known:
                        raise InputError(f"{key}={option}: no such {group}; there are {', '.join(known)}.")
        numbers = [key for key, parameter in self.space.parameters.items() if not isinstance(parameter, Choice)]
        low, high = ({key: part.options[0] if isinstance(part, Choice) else getattr(part, end) for key, part in self.space.parameters.items()}
                     for end in ("low", "high"))  # fmt: skip
        single = {key: part for key, part in self.space.parameters.items() if isinstance(part, Choice) and key not in groups}
        tried = [low, *([high] if numbers else []), *(low | {key: option} for key, part in single.items() for option in part.options[1:])]
        for values in tried:
            cfg = self.composed(values)
            if self._is_mmdx:
                try:
                    cfg = resolved(cfg)
                    check_config(cfg)
                    training_plan(cfg)  # which knows bounds of its own
                except InputError as fault:
                    head, colon, rest = str(fault).partition(": ")
                    at = any(head.startswith(f"{key.lstrip('+')}=") for key in numbers)
                    raise InputError(f"{head}, an end of its range{colon}{rest}" if at else str(fault)) from None
                if cfg.get("seeds") and "seed" in self.space.parameters:
                    raise InputError(f"seed: is not read where seeds={cfg.seeds} is given; vary one of the two.")
                self._check_metrics(cfg)
                first = first or cfg
        return first

    def _check_metrics(self, cfg: DictConfig) -> None:
        """Refuse an objective that the config's task has not; a task that cannot be looked up is refused by the run itself."""
        try:
            kind = getattr(get_class(str(cfg.task._target_)), "kind", None)
        except Exception:
            return
        for name in self.objectives:
            if isinstance(kind, str) and name.startswith("val/") and name != SCORE:
                check_metric(name.rpartition("/")[2], kind)

    def composed(self, values: Mapping[str, Any]) -> DictConfig:
        """The config of a trial with some values, without Hydra's own part.

        Raises:
            InputError: where Hydra refuses it.
        """
        try:
            cfg = self.context.config_loader.load_sweep_config(self.config, self.space.overrides(values))
        except HydraException as fault:
            raise InputError(refused(fault)) from None
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        return cfg

    def _launcher(self) -> Launcher:
        from mmdx.sweep.trial import TrialJob

        pruning = {"storage": self.settings["storage"], "pruner": self.settings["pruner"]} if self.settings["pruner"] else None
        job = TrialJob(self.task, self.objectives, pruning)
        return Plugins.instance().instantiate_launcher(hydra_context=self.context, task_function=job, config=self.config)

    def _overrides(self, claim: Claim) -> list[str]:
        """Of one trial's run."""
        own = [*claim.overrides, f"hydra.sweep.subdir='{claim.number}'"]
        if self._is_mmdx:
            own += ["resume=auto"] if not any(word.lstrip("+").startswith("resume=") for word in claim.overrides) else []
            own += [PRUNING] if self.settings["pruner"] else []
        return own

    def _launch(self, launcher: Launcher, study: SharedStudy, claims: Sequence[Claim]) -> None:
        """Run some trials at once and tell what came of each; where a launcher gives up on all of them, each that has not ended is run alone."""
        try:
            returns: Sequence[JobReturn | Exception] = launcher.launch([self._overrides(claim) for claim in claims], claims[0].number)
        except Exception as fault:
            if len(claims) > 1:
                for claim in claims:
                    self._launch(launcher, study, [claim])
                return
            returns = [fault]
        for claim, returned in zip(claims, returns, strict=True):
            outcome = self._outcome(claim, returned)
            study.tell(claim.number, outcome)
            print(_line(claim, outcome), flush=True)

    def _outcome(self, claim: Claim, returned: JobReturn | Exception) -> Outcome:
        """How a trial ended, by its folder or else by what its launcher says."""
        while True:
            if outcome := read_outcome(self.folder / str(claim.number)):
                return outcome
            from mmdx.sweep.shared import is_held

            if not is_held(lock_of(self.folder, claim.number)):
                break
            time.sleep(POLL)  # the launcher has lost sight of a run that goes on
        if isinstance(returned, JobReturn) and returned.status == JobStatus.COMPLETED and isinstance(returned.return_value, dict):
            return Outcome(**returned.return_value)
        fault = returned._return_value if isinstance(returned, JobReturn) else returned
        if isinstance(fault, DiskFault):
            raise InputError(f"trial {claim.number}: {str(fault).removeprefix('error: ')} The same command goes on with the sweep.")
        return Outcome("FAIL", reason=textwrap.shorten(f"{type(fault).__name__}: {fault}", LONGEST, placeholder=" ..."))


def _line(claim: Claim, outcome: Outcome) -> str:
    values = ", ".join(f"{name} {value:.6g}" for name, value in outcome.values.items())
    state = {"COMPLETE": values, "PRUNED": "pruned", "FAIL": f"failed: {outcome.reason}"}[outcome.state]
    return f"trial {claim.number}: {state}  [{' '.join(claim.overrides)}]"


def _check_installed() -> None:
    try:
        import optuna
    except ImportError:
        raise InputError("hydra/sweeper=optuna needs Optuna: pip install 'mmdx[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
