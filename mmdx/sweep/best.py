"""The config of a sweep's best trial, as a file that ``train.py`` takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from mmdx.files import write_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from mmdx.sweep.sweeper import Sweep

OUTSIDE = ("resume",)
"""Keys that say how a run is gone on with, and not what it is."""


def write_best(sweep: Sweep, trial: FrozenTrial, only: bool) -> Path:
    """Write a trial's config into the sweep's folder, whole, as ``best.yaml``, or ``best_NUMBER.yaml`` where there is a front of several;
    returns the file.

    ``python train.py --config-dir SWEEP --config-name best`` trains it again, in a run folder of its own; further overrides set single keys.
    """
    stem = "best" if only else f"best_{trial.number}"
    config = OmegaConf.to_container(sweep.composed(trial.params), resolve=True)
    assert isinstance(config, dict)
    config |= {key: None for key in OUTSIDE if key in config}
    values = ", ".join(f"{name} {value:.6g}" for name, value in zip(sweep.objectives, trial.values, strict=True))
    command = f"python train.py --config-dir {shlex.quote(str(sweep.folder))} --config-name {stem}"
    head = f"# Trial {trial.number} of a sweep: {values} on the validation rows.\n#\n#   {command}\n"
    path: Path = sweep.folder / f"{stem}.yaml"
    write_text(path, head + OmegaConf.to_yaml(OmegaConf.create(config | {"hydra": _hydra(sweep)})))
    return path


def _hydra(sweep: Sweep) -> dict[str, Any]:
    """What the first config of a command says of Hydra's own part: where runs go, as those of the application do, and how much is logged."""
    own = OmegaConf.to_container(sweep.config.hydra, resolve=False)
    assert isinstance(own, dict)
    found: dict[str, Any] = {"run": {"dir": own["run"]["dir"]}, "sweep": sweep.given_sweep}
    if level := ((own.get("job_logging") or {}).get("root") or {}).get("level"):
        found["job_logging"] = {"root": {"level": level}}
    return found | ({"callbacks": own["callbacks"]} if own.get("callbacks") else {})
