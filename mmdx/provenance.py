"""What it takes to repeat a run and to audit it: code, packages, machine, command, config, seeds, data and split, times and memory.

``provenance.json`` is written when a run starts, so that one which is killed has it too, and completed at its end. Beside it stand
``requirements.lock`` and, where the code was changed since its commit, ``changes.diff``. None of them holds the name of the machine or of its user,
nor anything from the data but a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmdx import __version__
from mmdx.data.kept_folds import FOLDS, KeptFolds
from mmdx.errors import InputError
from mmdx.files import write_json, write_text
from mmdx.runs.hardware import PeakMemory, hardware
from mmdx.runs.packages import installed, lock
from mmdx.runs.revision import changes, code_hash, plugins, revision
from mmdx.sweep.outcome import Pruned
from mmdx.timings import start_clock, timings

RECORD, LOCK, DIFF = "provenance.json", "requirements.lock", "changes.diff"
RUNNING, FINISHED, FAILED, STOPPED, PRUNED = "running", "finished", "failed", "stopped", "pruned"
SEEDS = ("seed", "seeds", "split.seed", "data.seed")


class Provenance:
    """The record of one run.

    Args:
        folder: the run's.
        cfg: its config, resolved.
        choices: the chosen part of each group of the config, as far as it is known.
        source: the run that is evaluated, where this is an evaluation.
    """

    def __init__(self, folder: Path, cfg: DictConfig, choices: Mapping[str, str] | None = None, source: Path | None = None) -> None:
        self.folder, self.memory = folder, PeakMemory()
        start_clock()
        before = _earlier_sessions(folder / RECORD)
        self.record: dict[str, Any] = {
            "mmdx": __version__,
            "state": RUNNING,
            "begun": now(),
            "revision": revision(),
            "code": code_hash(),
            **({"plugins": found} if (found := plugins()) else {}),
            "command": [without_home(word) for word in (Path(sys.argv[0]).name, *sys.argv[1:])],
            "python": platform.python_version(),
            "platform": platform.platform(),
            "hardware": hardware(),
            "packages": {package.name: package.version for package in installed()},
            **({"source": without_home(str(source))} if source else {}),
            **({"before": before} if before else {}),
            "data": cfg.data.get("name"),
            "seeds": {key: value for key in SEEDS if (value := OmegaConf.select(cfg, key)) is not None},
            "choices": dict(choices or {}),
            "config": OmegaConf.to_container(cfg, resolve=True),
        }
        self.record["seeds"] = json.loads(json.dumps(self.record["seeds"], default=list))

    def begin(self) -> None:
        """Write what is known when a run starts."""
        write_text(self.folder / LOCK, lock(installed()))
        if (text := changes()) is not None:
            write_text(self.folder / DIFF, text)
        else:
            (self.folder / DIFF).unlink(missing_ok=True)
        self._write()

    def complete(self, fingerprint: str, earlier: Mapping[str, Any] | None = None) -> None:
        """Write what is known once the predictions are there.

        Args:
            fingerprint: of the data.
            earlier: the runs that this one takes something from.
        """
        self.record |= {"earlier": dict(earlier)} if earlier else {}
        self.record["data_fingerprint"] = fingerprint
        if (self.folder / FOLDS).exists():
            self.record["split"] = {"file": FOLDS, "fingerprint": split_fingerprint(self.folder)}
        self._measure()

    def finish(self) -> None:
        """Write that all is done."""
        self.record |= {"state": FINISHED, "ended": now()}
        self._measure()

    def fail(self, state: str, fault: BaseException) -> None:
        """Write that a run ended before its end; of the fault only its kind, since what it says may quote the data."""
        self.record |= {"state": state, "ended": now(), "fault": type(fault).__name__}
        self._measure()

    def _measure(self) -> None:
        self.record |= {"timings": timings(), "peak_memory_gib": self.memory.gib()}
        self._write()

    def _write(self) -> None:
        write_json(self.folder / RECORD, self.record)


@contextmanager
def recorded(folder: Path, cfg: DictConfig, choices: Mapping[str, str] | None = None) -> Iterator[Provenance | None]:
    """Keep the record of a run while a block does it; in the first of several processes, the others get None."""
    from mmdx.training.distributed import is_first

    if not is_first():
        yield None
        return
    record = Provenance(folder, cfg, choices)
    record.begin()
    try:
        yield record
    except Exception as fault:
        record.fail(PRUNED if isinstance(fault, Pruned) else FAILED, fault)
        raise
    except BaseException as fault:
        record.fail(STOPPED, fault)
        raise
    record.finish()


def write_provenance(
    folder: Path, cfg: DictConfig, fingerprint: str, source: Path | None = None, earlier: Mapping[str, Any] | None = None
) -> None:
    """Write the whole record at once.

    An evaluation names the run it evaluates as its source, a run the ``earlier`` ones that it takes something from. Times and memory are left out,
    since they are not of one run.
    """
    record = Provenance(folder, cfg, source=source)
    record.begin()
    record.complete(fingerprint, earlier)
    record.finish()
    for name in ("begun", "timings", "peak_memory_gib"):
        record.record.pop(name)
    write_json(folder / RECORD, record.record)


def split_fingerprint(folder: Path) -> str:
    """A hash of which sample is in which part of which fold, whatever the order of the rows and the version of the file's format."""
    frame = KeptFolds.read(folder).frame
    said = sorted(f"{fold}|{part}|{sample}" for fold, part, sample in zip(frame["fold"], frame["part"], frame["sample_id"], strict=True))
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def chosen_parts() -> dict[str, str]:
    """The part that was chosen of each group of Hydra's config, {} where Hydra isn't running."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return {}
    choices = HydraConfig.get().runtime.choices
    return {str(group): str(part) for group, part in choices.items() if part is not None and not str(group).startswith("hydra/")}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run.

    Raises:
        InputError: where it has none that can be read.
    """
    path = folder / RECORD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    nested = ("hardware", "seeds", "choices", "packages", "revision", "timings", "config")
    if not isinstance(found, dict) or any(not isinstance(found.get(key) or {}, dict) for key in nested):
        raise InputError(f"{path}: cannot be read, so it isn't known what the run was done with.")
    return found


def now() -> str:
    """The time, in UTC to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_home(text: str) -> str:
    """A text with ``~`` for the user's home folder."""
    home = str(Path.home()).rstrip("/\\")
    return text.replace(home, "~") if len(home) > 1 else text


def _earlier_sessions(path: Path) -> list[dict[str, Any]]:
    """What is kept of the records that a run which is gone on with has already: when, with which command, code and machine."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = ("state", "begun", "ended", "fault", "command", "revision", "code", "python", "hardware", "timings", "peak_memory_gib")
        return [*found.get("before", []), {key: found[key] for key in kept if key in found}]
    except (OSError, ValueError, AttributeError, TypeError):
        return []
