"""Which predictions a result is of: the fingerprint of their file, kept in what is made from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

STRESS = Path("stress") / "stress.json"
KEY = "predictions_sha256"


def fingerprint(file: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


PARTS = ("missingness", "noise", "uncertainty", "cases")


def stale(folder: Path | None, predictions: str | None) -> list[str]:
    """The parts of a folder's ``stress`` that are of other predictions than those with this fingerprint."""
    return [part for part in PARTS if not is_of(folder, part, predictions)] if folder is not None and predictions is not None else []


def is_of(folder: Path, part: str, predictions: str) -> bool:
    """Whether what ``mmdx stress`` left in a folder for a part, such as "noise", is of the predictions with this fingerprint.

    Also where nothing says of which it is, as with tables that were written by hand.
    """
    try:
        told = json.loads((folder / STRESS).read_text(encoding="utf-8"))[part][KEY]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return bool(told == predictions)
