"""Downloading one file so that it can be cut off anywhere and gone on with: ranges, retries, checksums, a full disk.

pooch, which SciPy fetches with, was looked at (1.9.0): it begins again after every interruption, and its ``Unzip`` writes straight
into the final folder, so that a kill leaves half a data set. Its checking of hashes alone does not carry the dependency.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdx.data.fetch.catalogue import Remote, shown_size
from mmdx.data.fetch.http import open_url, shown, validator
from mmdx.errors import InputError

CHUNK = 1 << 18
RETRIES = 5
"""Failures in a row, without a new byte between them, after which a download is given up."""
BACKOFF = 1.0
"""Seconds before the first retry; doubled for each further one, at most 30."""
RESERVE = 16 << 20
"""Bytes of disk that are left free."""

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are there and the bytes in all, None where the server doesn't say."""


@dataclass(frozen=True)
class Received:
    """A file that came whole: its SHA-256 and its number of bytes."""

    sha256: str
    size: int


class _Dropped(Exception):
    """The connection ended early or the server is busy: worth another try."""


DROPS = (_Dropped, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


def download(remote: Remote, path: Path, progress: Progress, tell: Callable[[str], None]) -> Received:
    """Download a file to ``path``, going on with ``path.part`` where one is there.

    ``path`` appears by a rename once all bytes are there and the checksum is right; until then there is only ``path.part``, with
    what is known of it in ``path.part.json``. A server without ranges, or a file that changed, begins again from the first byte.

    Args:
        remote: the file.
        path: where it goes, in a folder that exists.
        progress: called after every piece.
        tell: called with a sentence where something is retried or begun again.

    Returns:
        Its SHA-256 and size.

    Raises:
        InputError: for a wrong checksum (the part is removed), a refusal of the server, a full disk, or too many drops.
    """
    part = _Part(path)
    if path.exists():
        return _again(remote, path, part)
    failures, most = 0, part.size
    while True:
        try:
            with disk_faults(path.parent, f"while {remote.name} came in; the part is kept"):
                part.go_on(remote, progress, tell)
            break
        except DROPS as fault:
            failures, most = (1, part.size) if part.size > most else (failures + 1, most)
            if isinstance(getattr(fault, "reason", None), ssl.SSLCertVerificationError):
                raise InputError(f"{shown(remote.url)}: the server's certificate is not valid ({_reason(fault)}).") from None
            if failures > RETRIES:
                raise InputError(
                    f"{shown(remote.url)}: given up after {RETRIES} retries ({_reason(fault)}); {shown_size(part.size)} are kept, "
                    "and the same command goes on from there."
                ) from None
            tell(f"{remote.name}: {_reason(fault)}, trying again with {shown_size(part.size)} there")
            time.sleep(min(30.0, BACKOFF * 2 ** (failures - 1)))
    return part.finish(remote)


def _reason(fault: BaseException) -> str:
    inner = fault.reason if isinstance(fault, urllib.error.URLError) else fault
    if isinstance(inner, TimeoutError):
        return "the server stopped answering"
    return str(inner) or type(inner).__name__


class disk_faults:
    """Turn "no space left" and the like of the disk into one sentence.

    Args:
        folder: where was written.
        when: the words behind "the disk is full".
    """

    def __init__(self, folder: Path, when: str) -> None:
        self.folder, self.when = folder, when

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{self.folder}: the disk is full {self.when}. Free space and run the same command again.") from None


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        InputError: where fewer than ``needed`` bytes and a small reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if needed + RESERVE > free:
        raise InputError(
            f"{folder}: {what} needs {shown_size(needed)} and the disk has {shown_size(free)} left. "
            "Free space, or give another folder with --to."
        )


class _Part:
    """A file on its way: ``path.part``, its running SHA-256, and what the server said of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.with_name(path.name + ".part")
        self.record = path.with_name(path.name + ".part.json")
        self.known: dict[str, Any] = {}
        self.hash = hashlib.sha256()
        self.hashed = 0
        if self.file.exists() and self.record.exists():
            try:
                self.known = json.loads(self.record.read_text(encoding="utf-8"))
            except ValueError:
                self.known = {}

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def remember(self, **known: Any) -> None:
        """Write down what the server says of the file, at once whole."""
        self.known = known
        new = self.record.with_name(self.record.name + ".new")
        new.write_text(json.dumps(known), encoding="utf-8")
        os.replace(new, self.record)

    def drop(self) -> None:
        """Begin again from nothing."""
        self.file.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)
        self.known, self.hash, self.hashed = {}, hashlib.sha256(), 0

    def catch_up(self) -> None:
        """Hash what is on disk and not hashed yet."""
        with self.file.open("rb") as handle:
            handle.seek(self.hashed)
            while block := handle.read(CHUNK):
                self.hash.update(block)
                self.hashed += len(block)

    def go_on(self, remote: Remote, progress: Progress, tell: Callable[[str], None]) -> None:
        """One connection: from what is there to the end, or until it drops."""
        headers = self._range(remote)
        if headers is None:
            return
        try:
            answer = open_url(remote.url, headers)
        except urllib.error.HTTPError as fault:
            self._refused(remote, fault)
            return
        with answer:
            length = answer.headers.get("Content-Length")
            if answer.status == 206:
                total = self._continued(answer.headers, remote, tell)
            else:
                if self.size:
                    tell(f"{remote.name}: the server cannot go on, or the file changed: beginning again")
                self.drop()
                total = int(length) if length and length.isdigit() else None
                self.remember(url=remote.url, total=total, validator=validator(answer.headers))
            check_space(self.path.parent, max(0, (total or remote.size or 0) - self.size), remote.name)
            self._receive(answer, remote, total, progress)

    def _range(self, remote: Remote) -> dict[str, str] | None:
        """Headers that ask for the rest; None where all is there."""
        there, total, mark = self.size, self.known.get("total"), self.known.get("validator")
        if self.known.get("url") != remote.url or (total is not None and there > total) or not (mark or remote.checksum):
            self.drop()  # nothing would tell that the two halves are of one file
            return {}
        if total is not None and there == total:
            return None
        if not there:
            return {}
        return {"Range": f"bytes={there}-", **({"If-Range": mark} if mark else {})}

    def _continued(self, headers: http.client.HTTPMessage, remote: Remote, tell: Callable[[str], None]) -> int | None:
        """Check that a partial answer fits what is there."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", "").strip())
        total = int(found[3]) if found and found[3] != "*" else None
        mark = validator(headers)
        known = self.known
        if not found or int(found[1]) != self.size or (total != known["total"]) or (mark and mark != known["validator"]):
            self.drop()
            raise _Dropped("the file changed on the server")
        return total

    def _refused(self, remote: Remote, fault: urllib.error.HTTPError) -> None:
        fault.close()
        if fault.code == 416:
            self.drop()
            raise _Dropped("the server does not have the rest") from None
        if fault.code in (408, 425, 429) or fault.code >= 500:
            raise _Dropped(f"the server answered {fault.code} {fault.reason}") from None
        raise InputError(
            f"{shown(remote.url)}: the server answered {fault.code} {fault.reason}. See the data set's page, the file may have moved."
        ) from None

    def _receive(self, answer: http.client.HTTPResponse, remote: Remote, total: int | None, progress: Progress) -> None:
        with self.file.open("ab") as handle:
            if self.hashed < self.size:
                self.catch_up()
            while block := answer.read(CHUNK):
                handle.write(block)
                handle.flush()
                self.hash.update(block)
                self.hashed += len(block)
                progress(remote.name, self.hashed, total)
        if total is not None and self.size < total:
            raise _Dropped("the connection dropped")

    def finish(self, remote: Remote) -> Received:
        """Check the checksum and give the file its name."""
        self.catch_up()
        received = Received(self.hash.hexdigest(), self.hashed)
        _check(remote, self.file, received, self.drop)
        os.replace(self.file, self.path)
        self.record.unlink(missing_ok=True)
        return received


def _again(remote: Remote, path: Path, part: _Part) -> Received:
    """A file that an earlier, cut-off command downloaded whole."""
    part.file = path
    part.catch_up()
    received = Received(part.hash.hexdigest(), part.hashed)
    _check(remote, path, received, part.drop)
    return received


def _check(remote: Remote, file: Path, received: Received, drop: Callable[[], None]) -> None:
    if remote.checksum is None:
        return
    kind, wanted = remote.checksum.split(":")
    found = received.sha256 if kind == "sha256" else _digest(kind, file, received.size)
    if found != wanted.lower():
        drop()
        raise InputError(
            f"{shown(remote.url)}: the {kind} of what came is {found}, expected {wanted}: the file is damaged or another one. "
            "It was removed; run the same command again, and if it stays so the publisher changed the file."
        )


def _digest(kind: str, file: Path, size: int) -> str:
    digest = hashlib.md5(usedforsecurity=False) if kind == "md5" else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    with file.open("rb") as handle:
        while block := handle.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
