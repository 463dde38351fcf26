"""Prepared inputs on disk, so that the next run need not decode and transform them again."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmdx.files import make_cache, write_atomically

RESCAN = 0.05
"""Share of the bound after whose growth a process looks at the whole folder again."""
KEPT = 0.9
"""Share of the bound that is left when old entries were removed."""


class PreparedStore:
    """Entries by name, one file each, at most so many bytes in all; those that were not asked for longest go first.

    Any number of processes may use one folder at once: an entry appears whole or not at all, and one that another process has removed
    or that is damaged is as if it had never been there. Each process looks at the folder's size after writing a twentieth of the bound,
    so that several may pass it by that much each for a while.

    Args:
        folder: made where it isn't there.
        gigabytes: the bound, in GiB.

    Raises:
        InputError: where the folder cannot be made or written.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.bound = Path(folder), int(gigabytes * 2**30)
        self.grown, self.full = 0, False
        make_cache(self.folder, "data.cache=memory")
        self._remove_old()

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.npz"

    def get(self, name: str) -> Any:
        """What is kept under a name, else None."""
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                value = _grown(json.loads(bytes(arrays["tree"])), arrays)
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            return None
        except Exception:  # damaged, whatever way: it is made anew
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # another user's, or just removed
            os.utime(path)
        return value

    def put(self, name: str, value: Any) -> None:
        """Keep a value of dicts, lists, tuples, named tuples, arrays, strings and numbers; anything else is not kept."""
        arrays: dict[str, np.ndarray] = {}
        try:
            tree = _flat(value, arrays)
        except TypeError:
            return
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda temporary: _write(temporary, json.dumps(tree), arrays))
            self.grown += sum(array.nbytes for array in arrays.values())
        except OSError as fault:
            if not self.full:
                print(f"cache {self.folder}: {fault.strerror or fault}; going on without it.", file=sys.stderr)
            self.full = True
        if self.grown > RESCAN * self.bound:
            self._remove_old()

    def _remove_old(self) -> None:
        entries = []
        for folder in _listed(self.folder):
            for entry in _listed(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    entries.append((status.st_mtime_ns, status.st_size, entry.path))
        self.grown, size = 0, sum(entry[1] for entry in entries)
        if size <= self.bound:
            return
        for _, bytes_, path in sorted(entries):
            with contextlib.suppress(OSError):
                os.unlink(path)
            size -= bytes_
            if size <= KEPT * self.bound:
                return


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, nothing where it is gone or not ours to read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _write(path: Path, tree: str, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, tree=np.frombuffer(tree.encode(), np.uint8), **arrays)  # type: ignore[arg-type]


def _flat(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """A value as JSON, its arrays set aside and named in it."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name := f"a{len(arrays)}"] = value
        return {"array": name}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _flat(part, arrays) for key, part in value.items()}}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": [type(value).__module__, type(value).__qualname__, [_flat(part, arrays) for part in value]]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_flat(part, arrays) for part in value]}
    raise TypeError(type(value).__name__)


def _grown(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(tree, dict):
        return tree
    [(kind, content)] = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _grown(part, arrays) for key, part in content.items()}
    if kind == "named":
        module, name, parts = content
        made = getattr(sys.modules[module], name)  # of what is loaded anyway: a file in the cache imports nothing
        if not (isinstance(made, type) and issubclass(made, tuple) and hasattr(made, "_fields")):
            raise TypeError(name)
        return made(*[_grown(part, arrays) for part in parts])
    return {"list": list, "tuple": tuple}[kind](_grown(part, arrays) for part in content)
