"""One file or text, read once: whatever can be told without the rest of the cohort."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdx.data.checks.facts import Facts
from mmdx.data.checks.findings import ERROR, kind_of_fault
from mmdx.data.checks.images import examine_image
from mmdx.data.checks.signals import examine_signal
from mmdx.data.checks.sounds import examine_sound, ogg_without_end
from mmdx.data.checks.texts import examine_text, examine_text_file
from mmdx.data.raw import Recording, Signal
from mmdx.data.readers import READERS, check_file, files_of
from mmdx.data.tables import Place
from mmdx.errors import SampleError


class Task(NamedTuple):
    """What is read once, however many rows name it.

    Attributes:
        kind: the reader's name: image, volume, audio, signal, text, or one of the user's own.
        path: the file; empty for an inline text.
        text: an inline text; empty for a file.
        options: the reader's options, as sorted pairs.
        position: of a sample that its data set reads; -1 for a file or text.
    """

    kind: str
    path: str = ""
    text: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    position: int = -1


def digest_of(path: str) -> str:
    """Hash of a file's bytes, or of all files that are read for it; empty where one cannot be opened."""
    digests = []
    try:
        for part in files_of(Path(path)):
            with part.open("rb") as file:
                digests.append(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest())
    except OSError:
        return ""
    return digests[0] if len(digests) == 1 else hashlib.blake2b(" ".join(digests).encode(), digest_size=16).hexdigest()


def examine(task: Task, readers: Mapping[str, Callable[..., Any]] = READERS) -> Facts:
    """Read a file or text and note what is wrong with it and what it is like.

    Raises:
        InputError: where a package that the format needs is not installed.
    """
    if not task.path:
        facts = Facts()
        examine_text(task.text, "the text", facts)
        return facts
    path = Path(task.path)
    facts = Facts(digest=digest_of(task.path))
    try:
        check_file(path, task.kind, Place(folder=str(path.parent)))
        raw = readers[task.kind](path, Place(folder=str(path.parent)), **dict(task.options))
    except SampleError as fault:
        kind = kind_of_fault(str(fault))
        cut = kind == "empty" and task.kind == "audio" and ogg_without_end(path)
        facts.faults.append(["truncated" if cut else kind, ERROR, str(fault)])
        return facts
    examine_raw(raw, path, facts)
    if task.kind == "text":
        examine_text_file(path, dict(task.options).get("encoding", "utf-8"), facts)
    return facts


def examine_raw(raw: Any, path: Path | None, facts: Facts) -> None:
    """Note what a raw input is like; the path, where it is known, tells more. A kind of the user's own is only read."""
    name = f"file '{path.name}'" if path else "input"
    if isinstance(raw, Signal):
        examine_signal(raw, f"signal {name}", facts)
    elif isinstance(raw, Recording):
        examine_sound(raw, path, f"audio {name}", facts)
    elif isinstance(raw, np.ndarray):
        examine_image(raw, path, f"image {name}", facts)
    elif isinstance(raw, str):
        examine_text(raw, f"text {name}", facts)
