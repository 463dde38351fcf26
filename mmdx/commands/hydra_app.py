"""What the Hydra commands share: where the config tree is, and how a fault of the input is told."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mmdx.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig, ListConfig

    from mmdx.stopping import Stopped

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EFBIG)
"""Faults of the disk, and not of a program."""


def config_folder() -> str:
    """The config tree: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return str(inside if inside.is_dir() else package.parent / "conf")


def composed(overrides: list[str], check: bool = True, fusion: DictConfig | ListConfig | None = None) -> DictConfig:
    """A config as the command line of train.py would make it.

    Args:
        overrides: of its command line.
        check: whether every key and value is checked.
        fusion: takes the place of the config's own where it is given.

    Raises:
        InputError: where Hydra refuses the overrides, or a check does.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import open_dict

    from mmdx.configuration import check_config, resolved
    from mmdx.hydra_faults import refused

    try:
        with initialize_config_dir(config_folder(), version_base="1.3"):
            cfg = compose("train", overrides=overrides)
    except HydraException as fault:
        raise InputError(refused(fault).removeprefix("error: ")) from None
    if fusion is not None:
        with open_dict(cfg):
            cfg.fusion = fusion
    cfg = resolved(cfg)
    if check:
        check_config(cfg)
    return cfg


def hydra_command(job: Callable[[], Any]) -> None:
    """Run what ``hydra.main`` made; what Hydra or Slurm refuses ends it with one sentence and exit code 1, and not as Hydra tells it. A signal that
    comes while others do the work, as the processes of a sweep, ends them too.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from mmdx.hydra_faults import refused
    from mmdx.stopping import Stopped, stopping_on_signals

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # leaves the telling to those who call it
    try:
        with stopping_on_signals():
            job()
    except Stopped as stopped:
        _end(stopped, "the same command with resume=auto goes on with the runs that were begun, from their last checkpoints")
    except HydraException as fault:
        told = refused(fault)
    except OmegaConfBaseException as fault:  # of Hydra's own part, which is resolved as it is needed
        told = f"{fault.full_key or 'config'}: {str(fault).splitlines()[0]}."
    except Exception as fault:
        if not type(fault).__module__.startswith("submitit."):
            raise
        lines = str(fault).strip().splitlines() or [type(fault).__name__]
        said = lines[-1] if "Traceback" in str(fault) else " ".join(" ".join(lines).split())
        told = f"hydra/launcher: {said}; what jobs printed is in SWEEP/.submitit; where none was begun, try sinfo and sbatch by themselves."
    else:
        return
    print(told if told.startswith("error: ") else f"error: {told}", file=sys.stderr)
    sys.exit(1)


def telling(job: Callable[[], Any], going_on: str = "resume= goes on with what was trained") -> Any:
    """Run a job; a fault of the input or of the disk ends it with one sentence and exit code 1, a signal with one, which says how it goes on, and
    128 + its number, as shells count.
    """
    from mmdx.stopping import Stopped, stopping_on_signals

    try:
        with stopping_on_signals():
            return job()
    except Stopped as stopped:
        _end(stopped, going_on)
    except (InputError, OSError) as fault:
        print(f"error: {sentence(fault)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        sys.exit(130)


def _end(stopped: Stopped, going_on: str) -> NoReturn:
    """End a process that was told to, its job put into the queue again where that was announced."""
    from mmdx.stopping import requeue

    told = requeue(stopped.signum)
    print(f"{stopped}; {going_on}{f'; {told}' if told else ''}.", file=sys.stderr)
    sys.exit(128 + stopped.signum)


def sentence(fault: InputError | OSError) -> str:
    """What to tell of a fault of the input or the disk; another fault of the system is a program's, and raised again."""
    if isinstance(fault, InputError):
        return str(fault)
    if fault.errno not in DISK:
        raise fault
    why = (fault.strerror or str(fault)).lower()
    return f"{fault.filename or 'the disk'}: {why}; what was written before is whole, and resume= goes on with a run."


def hydra_job(job: Callable[[], Any]) -> Any:
    """``telling``; but a fault of one job of a sweep goes back to the sweep, which ends with it when the others have ended. The job's process may be
    on another machine, and one that just ended would tell Ray or Slurm nothing.

    Raises:
        CompactHydraException: in a sweep; Hydra prints it in one sentence.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import CompactHydraException
    from omegaconf import OmegaConf

    from mmdx.sweep.outcome import DiskFault

    if not HydraConfig.initialized() or OmegaConf.is_missing(HydraConfig.get().job, "num"):
        return telling(job)

    def raising() -> Any:
        try:
            return job()
        except InputError as fault:
            raise CompactHydraException(f"error: {fault}") from None
        except OSError as fault:
            raise DiskFault(f"error: {sentence(fault)}") from None

    if "optuna" in str(HydraConfig.get().sweeper._target_):
        return telling(raising, "the same command goes on with the sweep")
    return telling(raising)
