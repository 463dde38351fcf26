"""Features of frozen encoders on disk: one folder an encoder, rows found by what they were made from, tokens read through memory maps."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmdx.files import make_cache

MOST_SEGMENTS = 8
ROWS, TOKENS = "rows.npz", "tokens.npy"


@dataclass(frozen=True)
class Segment:
    """Rows that were written together.

    Attributes:
        names: what each row was made from, [n].
        contents: hash of the raw input of each, [n]; empty where it has none.
        lengths: how many tokens each has, [n]; -1 where the row lacks the modality.
        tokens: one row's after another's, [sum of lengths, D].
    """

    names: np.ndarray
    contents: np.ndarray
    lengths: np.ndarray
    tokens: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Where each row's tokens begin, [n]."""
        there = np.maximum(self.lengths, 0)
        return np.cumsum(there) - there


@dataclass(frozen=True)
class Located:
    """Where the features of some rows are.

    Attributes:
        tokens: of each segment, [S, D].
        segment: of each row the number of its segment, [n].
        start: where its tokens begin there, [n].
        length: how many they are, [n]; -1 where the row lacks the modality or isn't known.
    """

    tokens: list[np.ndarray]
    segment: np.ndarray
    start: np.ndarray
    length: np.ndarray

    def tokens_of(self, row: int) -> np.ndarray | None:
        """The tokens [N, D] of a row; None where it has none."""
        length = int(self.length[row])
        return None if length < 0 else np.asarray(self.tokens[self.segment[row]][self.start[row] : self.start[row] + length])


@dataclass
class FeatureStore:
    """The features of one encoder.

    Any number of processes may use one folder at once: a segment appears whole or not at all, and one that is damaged or that another process has
    joined with others is as if it had never been there. A kill loses what was encoded since the last segment.

    Args:
        folder: made where it isn't there; None keeps everything in memory.
        width: D of the tokens.

    Raises:
        InputError: where the folder cannot be made or written.
    """

    folder: Path | None
    width: int
    segments: dict[str, Segment] = field(default_factory=dict, init=False)
    places: dict[str, tuple[str, int]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.folder is None:
            return
        make_cache(self.folder, "data.cache=none")
        os.utime(self.folder)
        for path in sorted(self.folder.glob("segment-*")):
            if (segment := _read(path)) is not None:
                self._take(path.name, segment)

    def _take(self, name: str, segment: Segment) -> None:
        self.segments[name] = segment
        for row, made_from in enumerate(segment.names.tolist()):
            self.places.setdefault(made_from.decode(), (name, row))

    def __contains__(self, made_from: str) -> bool:
        return made_from in self.places

    def put(self, names: Sequence[str], contents: Sequence[str], tokens: Sequence[np.ndarray | None]) -> None:
        """Keep the features of some rows.

        Args:
            names: what each row was made from.
            contents: hash of the raw input of each.
            tokens: [N, D] of each; None where the row lacks the modality.
        """
        lengths = np.array([-1 if own is None else len(own) for own in tokens], np.int64)
        flat = [own for own in tokens if own is not None]
        joined = np.concatenate([np.zeros((0, self.width), np.float32), *flat]).astype(np.float32, copy=False)
        segment = Segment(np.array(names, "S"), np.array(contents, "S"), lengths, joined)
        self._take(*self._write(segment))

    def _write(self, segment: Segment) -> tuple[str, Segment]:
        """Write a segment, and read it back through a memory map."""
        if self.folder is None:
            return f"segment-{len(self.segments)}", segment
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=self.folder))
        try:
            with (made / ROWS).open("wb") as file:
                np.savez(file, names=segment.names, contents=segment.contents, lengths=segment.lengths, checksum=_checksum(segment.tokens))
                _flush(file)
            with (made / TOKENS).open("wb") as file:
                np.save(file, segment.tokens, allow_pickle=False)
                _flush(file)
            made.chmod(0o755)
            kept = made.with_name(f"segment-{made.name.removeprefix('.making-')}")
            made.rename(kept)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return kept.name, _read(kept) or segment

    def join(self) -> None:
        """Join the segments to one where they are many."""
        if len(self.segments) <= MOST_SEGMENTS:
            return
        old = dict(self.segments)
        rows = [(*self.places[name], name) for name in sorted(self.places)]
        lengths = np.array([old[segment].lengths[row] for segment, row, _ in rows], np.int64)
        joined = np.empty((int(np.maximum(lengths, 0).sum()), self.width), np.float32)
        starts, place = {name: segment.starts for name, segment in old.items()}, 0
        for (segment, row, _), length in zip(rows, lengths.tolist(), strict=True):
            if length > 0:
                begin = int(starts[segment][row])
                joined[place : place + length] = old[segment].tokens[begin : begin + length]
                place += length
        contents = np.array([old[segment].contents[row] for segment, row, _ in rows], "S")
        name, whole = self._write(Segment(np.array([name for *_, name in rows], "S"), contents, lengths, joined))
        self.segments, self.places = {}, {}
        self._take(name, whole)
        if self.folder is not None:
            for gone in old:
                shutil.rmtree(self.folder / gone, ignore_errors=True)

    def content(self, made_from: str) -> str:
        """The hash of the raw input that a row was made from."""
        segment, row = self.places[made_from]
        return bytes(self.segments[segment].contents[row]).decode()

    def find(self, names: Iterable[str]) -> Located:
        """Where the features of some rows are, in their order."""
        order = {name: k for k, name in enumerate(self.segments)}
        starts = {name: segment.starts for name, segment in self.segments.items()}
        nowhere = (0, 0, -1)
        places = [
            nowhere if place is None else (order[place[0]], starts[place[0]][place[1]], self.segments[place[0]].lengths[place[1]])
            for place in map(self.places.get, names)
        ]
        segment, start, length = np.array(places, np.int64).reshape(-1, 3).T
        return Located([own.tokens for own in self.segments.values()], segment, start, length)


def _read(path: Path) -> Segment | None:
    """A segment; None where it is gone or damaged."""
    try:
        with np.load(path / ROWS, allow_pickle=False) as rows:
            names, contents, lengths, checksum = rows["names"], rows["contents"], rows["lengths"], int(rows["checksum"])
        tokens = np.load(path / TOKENS, mmap_mode="c", allow_pickle=False)  # opened once: another process may remove it
        if not (len(names) == len(contents) == len(lengths) and tokens.ndim == 2 and len(tokens) == np.maximum(lengths, 0).sum()):
            raise ValueError("its parts do not fit")
        if _checksum(tokens) != checksum:
            raise ValueError("its tokens are not those that were written")
        return Segment(names, contents, lengths.astype(np.int64), tokens)
    except FileNotFoundError:
        return None
    except Exception:  # damaged, whatever way: its rows are encoded anew
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
        return None


def _checksum(tokens: np.ndarray) -> int:
    """CRC-32 of tokens, which finds what a disk or a hand has damaged."""
    return zlib.crc32(np.ascontiguousarray(tokens).data)


def _flush(file: object) -> None:
    file.flush()  # type: ignore[attr-defined]
    os.fsync(file.fileno())  # type: ignore[attr-defined]


def remove_old(root: Path, bound: int, used: Set[Path]) -> None:
    """Remove whole encoders from the folder of stores, those not used longest first and none in use, until at most ``bound`` bytes are left."""
    sizes = {folder: _bytes(folder) for folder in root.iterdir() if folder.is_dir()}
    for folder in sorted(set(sizes) - used, key=_last_used):
        if sum(sizes.values()) <= bound:
            return
        shutil.rmtree(folder, ignore_errors=True)
        sizes.pop(folder)


def _bytes(folder: Path) -> int:
    """How much a folder holds, while other processes may take files away."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _last_used(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
