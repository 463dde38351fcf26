"""Where a study is kept: a journal file or SQLite, either whole after a kill at any moment."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from mmdx.errors import InputError

NAME = "sweep"
"""What the one study of a storage is called."""
WAIT = 120.0
"""Seconds that a process waits for another's writing."""


class Journal(JournalFileBackend):
    """Optuna's journal file, one JSON a line; what a kill left of a line is cut off before the next is written.

    Its lock is one that the system lets go when the process that holds it ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path, self._held = path, FileLock(str(path.with_name(f".{path.name}.lock")))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write some lines; they are on disk when it returns."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self._held, self._path.open("r+b") as file:
            file.seek(_end_of_lines(file))
            file.truncate()
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def _end_of_lines(file: Any, block: int = 4096) -> int:
    """Where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        end = start
    return 0


STORAGES = ("journal", "sqlite")


def check_storage(kind: Any) -> None:
    """Refuse a storage that there isn't.

    Raises:
        InputError: naming those that there are.
    """
    if kind not in STORAGES:
        raise InputError(f"hydra.sweeper.storage={kind}: must be journal (a file, the default) or sqlite.")


def open_storage(folder: Path, kind: str) -> BaseStorage:
    """The storage in a sweep's folder, made where it isn't there.

    Args:
        folder: the sweep's.
        kind: "journal" (``study.journal``) or "sqlite" (``study.db``).

    Raises:
        InputError: for another kind.
    """
    check_storage(kind)
    if kind == "journal":
        return JournalStorage(Journal(folder / "study.journal"))
    return RDBStorage(f"sqlite:///{folder / 'study.db'}", engine_kwargs={"connect_args": {"timeout": WAIT}})


def open_study(storage: BaseStorage, directions: Sequence[Any] | None = None) -> optuna.Study:
    """The storage's study; made where ``directions`` are given and it isn't there."""
    if directions is None:
        return optuna.load_study(study_name=NAME, storage=storage)
    return optuna.create_study(storage=storage, study_name=NAME, directions=directions, load_if_exists=True)
