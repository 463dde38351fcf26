"""Writing so that a kill at any moment leaves the old file or the new one, whole."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmdx.errors import InputError

UNFINISHED = ".unfinished"
"""How the names of files end, beside those that they are to replace, that a kill may leave behind."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in its place.

    Raises:
        OSError: where it cannot be written, naming ``path``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=UNFINISHED, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as fault:
        fault.filename = str(path)
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half written below a folder that nobody else writes to."""
    for path in folder.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def write_tensors(path: Path, value: Any) -> None:
    """Write what ``torch.load(..., weights_only=True)`` reads again.

    Raises:
        OSError: where it cannot be written.
    """
    import torch

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            try:
                torch.save(value, file)
            except RuntimeError as fault:
                if isinstance(fault.__context__, OSError):  # torch says of a full disk that a position was unexpected
                    raise fault.__context__ from None
                raise

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    """Write text."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON; NaN is an error."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, sort_keys=False) + "\n")


def make_cache(folder: Path, otherwise: str) -> None:
    """Make a folder of the cache where it isn't there.

    Args:
        folder: which.
        otherwise: the setting that goes without it, for the message.

    Raises:
        InputError: where it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("it cannot be written")
    except OSError as fault:
        why = fault.strerror or fault
        raise InputError(f"cache.root={folder}: {why}; name a folder that can be written, or set {otherwise}.") from None


def user_cache() -> Path:
    """The user's cache folder for mmdx."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mmdx"
