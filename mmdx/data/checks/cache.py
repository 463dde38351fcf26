"""Facts of files that did not change are remembered, so that a second check reads only what is new."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

import numpy
import PIL
import soundfile

from mmdx.data import readers
from mmdx.data.checks.files import Task
from mmdx.data.readers import READERS, files_of, is_record

RACY = 2_000_000_000
"""Nanoseconds: a file that was written so shortly before it was read may have changed since under the same time, and is hashed again."""
KEPT = 180 * 86400 * 1_000_000_000
"""Nanoseconds after which what nobody asked for is forgotten."""
TABLE = "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, seen INTEGER, digest TEXT, facts TEXT)"
CHUNK = 500
PACKAGES = ("pydicom", "python-gdcm", "pylibjpeg", "nibabel", "scipy", "wfdb", "ImageHash", "datasketch", "presidio-analyzer")
"""What reads, resamples and compares, beside what is always there."""

Results = list[tuple[str, dict[str, Any]]]
"""Of each modality of a task its facts as plain values; the modality is empty for a single file or text."""


class Known(NamedTuple):
    """What is remembered of a task: the digest of the file's bytes, the results, and whether its size and time are as they were."""

    digest: str
    results: Results
    same: bool


@lru_cache
def rules() -> str:
    """Hash of what decides on the facts: the code that reads and checks a file, and the decoders' versions."""
    modules = ["files", "facts", "findings", "sounds", "signals", "images", "texts", "personal", "dicom_profile", "fingerprints"]
    sources = [Path(str(importlib.import_module(f"mmdx.data.checks.{name}").__file__)) for name in modules]
    sources += [Path(str(importlib.import_module(f"mmdx.data.{name}").__file__)) for name in ("raw", "tables")]
    sources += sorted(Path(str(readers.__file__)).parent.glob("*.py"))
    code = b"".join(path.read_bytes() for path in sources)
    versions = f"{numpy.__version__} {PIL.__version__} {soundfile.__version__} {soundfile.__libsndfile_version__} {sys.version}"
    versions += repr([_version(name) for name in PACKAGES])
    return hashlib.blake2b(code + versions.encode(), digest_size=8).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def key_of(task: Task) -> str:
    """What a task is remembered under; empty for one that isn't: a sample of unknown files, a kind whose reader is the user's own."""
    if task.path and task.position < 0 and task.kind not in READERS:
        return ""
    if task.path:
        return json.dumps([rules(), task.kind, os.path.abspath(task.path), list(task.options)])
    return f"{rules()} {hashlib.blake2b(task.text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}" if task.text else ""


class Cache:
    """A SQLite file in a folder; several checks may use it at once, and a kill at any moment leaves it whole.

    Args:
        folder: made where it isn't there.

    Attributes:
        trouble: why something could not be remembered or recalled since; a check goes on without.

    Raises:
        OSError: where the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "checks.sqlite"
        self.trouble = ""
        try:
            self._prepare()
        except sqlite3.OperationalError as fault:
            raise OSError(str(fault)) from None
        except sqlite3.DatabaseError:  # damaged: nothing is lost but time
            self.path.unlink(missing_ok=True)
            self._prepare()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as fault:
            self.trouble = str(fault)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def _prepare(self) -> None:
        with self._open() as connection:
            connection.execute(TABLE)
            connection.execute("DELETE FROM facts WHERE seen < ?", (time.time_ns() - KEPT,))

    def recall(self, tasks: Iterable[Task]) -> dict[Task, Known]:
        """What is remembered of tasks; what isn't is not in the result."""
        keys = {key: task for task in tasks if (key := key_of(task))}
        known: dict[Task, Known] = {}
        wanted = list(keys)
        with self._forgiving(), self._open() as connection:
            for start in range(0, len(wanted), CHUNK):
                part = wanted[start : start + CHUNK]
                query = f"SELECT key, size, mtime, seen, digest, facts FROM facts WHERE key IN ({','.join('?' * len(part))})"
                for key, size, mtime, seen, digest, facts in connection.execute(query, part):
                    task = keys[key]
                    same = not task.path or (stamp_of(task) == (size, mtime) and seen - mtime > RACY)
                    known[task] = Known(digest, [(str(m), f) for m, f in json.loads(facts)], same)
        return known

    def keep(self, results: Iterable[tuple[Task, tuple[int, int], Results]]) -> None:
        """Remember results, with the size and time that the file had before it was read."""
        now = time.time_ns()
        rows = [
            (key, *stamp, now, found[0][1]["digest"] if found else "", json.dumps(found)) for task, stamp, found in results if (key := key_of(task))
        ]
        with self._forgiving(), self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?)", rows)


def stamp_of(task: Task) -> tuple[int, int]:
    """Size and time of last change of a task's file, in bytes and nanoseconds; -1 where there is none.

    Of several files that are read as one (a WFDB record, a DICOM series) a number that stands for all sizes and times, and the latest time.
    """
    if not task.path:
        return -1, -1
    try:
        status = os.stat(task.path)
        if not S_ISDIR(status.st_mode) and not is_record(Path(task.path)):
            return status.st_size, status.st_mtime_ns
        states = [(str(part), status.st_size, status.st_mtime_ns) for part in files_of(Path(task.path)) for status in [os.stat(part)]]
    except OSError:
        return -1, -1
    if not states:
        return -1, -1
    return int.from_bytes(hashlib.blake2b(repr(states).encode(), digest_size=7).digest()), max(time for *_, time in states)
