"""What one case's modalities look and sound like, ready for the page: files as data URIs, notes in marked pieces."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdx.errors import InputError

LIMIT = 13_000_000
"""Characters of data URIs in one page; with figures and words of 300 cases it stays below 15 MB."""
TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac",
}  # fmt: skip
LEVELS = 4


@dataclass
class Files:
    """The files of the cases folder, each read once, until the page is full.

    Attributes:
        folder: nothing outside it is read.
        left: how many characters may still be embedded.
        refused: whether anything was left out for want of room.
    """

    folder: Path
    left: int = LIMIT
    refused: bool = False

    def uri(self, name: Any) -> str:
        """A file as a data URI; "" where it isn't there, is of an unknown kind, or there is no room.

        Raises:
            InputError: where it lies outside the folder.
        """
        if not isinstance(name, str) or not name:
            return ""
        file = (self.folder / name).resolve()
        if not file.is_relative_to(self.folder.resolve()):
            raise InputError(f"{self.folder / 'cases.json'}: file {name!r} lies outside {self.folder}; files of cases must lie in it.")
        kind = TYPES.get(file.suffix.lower())
        if kind is None or not file.is_file():
            return ""
        size = -(-file.stat().st_size // 3) * 4
        if size > self.left:
            self.refused = True
            return ""
        self.left -= size
        return f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


@dataclass(frozen=True)
class Item:
    """A picture or a sound.

    Attributes:
        picture, overlay, sound: data URIs, "" where there is none.
        width, height: of the picture, 0 where not known.
        seconds: of the sound.
    """

    picture: str = ""
    overlay: str = ""
    sound: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Piece:
    """Some words of a note; ``level`` from 0 (not marked) to 4, ``against`` where they speak against the class."""

    text: str
    level: int = 0
    against: bool = False


@dataclass(frozen=True)
class Input:
    """One modality of one case.

    Attributes:
        modality: its name.
        kind: "image", "text", "audio", "table" or "other".
        items: of pictures and sounds.
        pieces: of a note.
        cells: of a table: name, value, weight in -1 to 1 or None.
        note: what is said in the place of what cannot be shown.
        gone: files that could not be shown.
    """

    modality: str
    kind: str
    items: list[Item] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    cells: list[tuple[str, str, float | None]] = field(default_factory=list)
    note: str = ""
    gone: int = 0

    @property
    def with_overlay(self) -> bool:
        """Whether there is an attribution to show or hide."""
        return any(item.overlay for item in self.items) or any(piece.level for piece in self.pieces)


def input_of(modality: str, given: Any, files: Files) -> Input:
    """One modality as ``cases.json`` describes it.

    Raises:
        InputError: where a file lies outside the folder.
    """
    given = given if isinstance(given, dict) else {}
    kind = str(given.get("kind", "other"))
    if kind in ("image", "audio"):
        items = [_item(kind, own, files) for own in given.get("items") or [] if isinstance(own, dict)]
        shown = [item for item in items if item.picture or item.sound]
        return Input(modality, kind, items=shown, gone=len(items) - len(shown))
    if kind == "text":
        if given.get("withheld") or not isinstance(given.get("text"), str):
            return Input(modality, kind, note=f"The text ({_number(given.get('characters'))} characters) is withheld.")
        return Input(modality, kind, pieces=pieces(given["text"], given.get("spans") or []))
    if kind == "table":
        cells = [c for c in given.get("cells") or [] if isinstance(c, dict)]
        return Input(modality, kind, cells=[(str(c.get("name", "")), _cell(c.get("value", "")), _weight(c.get("weight"))) for c in cells])
    return Input(modality, "other", note=str(given.get("note", "not shown")))


def _item(kind: str, own: dict[str, Any], files: Files) -> Item:
    if kind == "audio":
        sound, picture = files.uri(own.get("file")), files.uri(own.get("spectrogram"))
        seconds = own.get("seconds")
        return Item(picture, files.uri(own.get("overlay")), sound, seconds=float(seconds) if isinstance(seconds, (int, float)) else 0.0)
    sizes = [own.get(name) for name in ("width", "height")]
    width, height = (int(s) if isinstance(s, (int, float)) and s > 0 else 0 for s in sizes)
    return Item(files.uri(own.get("file")), files.uri(own.get("overlay")), width=width, height=height)


def pieces(text: str, spans: Sequence[Any]) -> list[Piece]:
    """A note cut at its spans (start, end, weight); one that is no span, lies outside the note, or overlaps an earlier one is left out."""
    found = []
    for span in spans:
        if isinstance(span, (list, tuple)) and len(span) == 3 and all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in span):
            start, end, weight = max(0, int(span[0])), min(len(text), int(span[1])), float(span[2])
            if start < end and weight == weight and weight:
                found.append((start, end, weight))
    most = max((abs(weight) for *_, weight in found), default=1.0)
    out: list[Piece] = []
    at = 0
    for start, end, weight in sorted(found):
        if start < at:
            continue
        out += [Piece(text[at:start])] if start > at else []
        out.append(Piece(text[start:end], min(LEVELS, 1 + int(LEVELS * abs(weight) / most * 0.999)), weight < 0))
        at = end
    return out + ([Piece(text[at:])] if at < len(text) or not out else [])


def _cell(value: Any) -> str:
    return "missing" if value is None else str(value)


def _weight(weight: Any) -> float | None:
    return max(-1.0, min(1.0, float(weight))) if isinstance(weight, (int, float)) and weight == weight else None


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "of unknown length"
