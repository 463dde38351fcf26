"""Unpacking an archive of a stranger: plain files and folders inside the target only, within bounds that are checked first."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from mmdx.data.fetch.catalogue import Remote, shown_size
from mmdx.data.fetch.download import check_space, disk_faults
from mmdx.errors import InputError

MOST_TIMES = 200
"""An archive that claims to unpack to more than this many times its own size is refused (and to more than ``ALWAYS`` bytes)."""
ALWAYS = 64 << 20
MOST_MEMBERS = 2_000_000
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, UnicodeError)


class ArchiveError(InputError):
    """An archive that is damaged or refused: the download is of no use and goes."""


@dataclass(frozen=True)
class Member:
    """One file of an archive: its path as given, its path below the target, its declared bytes, and how to open it."""

    name: str
    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, remote: Remote, target: Path, progress: Callable[[str, int, int], None]) -> int:
    """Unpack an archive below ``target``, which the caller puts in place once all is well.

    Every name and type is looked at before the first byte is written. Refused are absolute paths, ``..``, drive letters, backslashes
    and control characters; links, even those that stay inside (no data set here has any); devices, pipes and sockets; a name that is
    there twice; encrypted files; more than 200 times the archive's size, or more than the disk holds. Rights and owners are not taken.

    Args:
        archive: the file.
        remote: what it is: kind, folder, leading folders to leave off, what to take.
        target: folder of the data set in the making.
        progress: called with the archive's name, bytes written and bytes in all.

    Returns:
        Number of files.

    Raises:
        ArchiveError: where the archive is refused or damaged.
        InputError: where the disk is full, or RAR cannot be read here.
    """
    with _damage(remote.name), _reader(archive, remote) as listing:
        members = _chosen(listing, remote, archive.stat().st_size)
        total = sum(member.size for member in members)
        check_space(target, total, f"unpacking {remote.name}")
        done = 0
        with disk_faults(target, f"while {remote.name} was unpacked; the download is kept"):
            for member in members:
                done += _write(member, target / remote.folder / member.path, remote.name)
                progress(remote.name, done, total)
    return len(members)


def _chosen(listing: Iterable[tuple[str, int, str, Callable[[], IO[bytes]]]], remote: Remote, packed: int) -> list[Member]:
    """The members to write, once all of the archive has passed."""
    most = max(ALWAYS, MOST_TIMES * packed)
    seen: dict[PurePosixPath, str] = {}
    members: list[Member] = []
    total = 0
    for count, (name, size, kind, opener) in enumerate(listing, start=1):
        whole = safe_path(name, remote.name)
        total += size
        if total > most or count > MOST_MEMBERS:
            raise ArchiveError(
                f"{remote.name}: the archive of {shown_size(packed)} claims to unpack to more than {shown_size(most)} "
                f"or {MOST_MEMBERS:,} files; it is refused as a trap."
            )
        path = PurePosixPath(*whole.parts[remote.strip :])
        if not path.parts or (remote.only and path.parts[0] not in remote.only):
            continue
        if kind not in ("file", "folder"):
            raise ArchiveError(f"{remote.name}: '{name}' is a {kind}; only plain files and folders are unpacked, so the archive is refused.")
        if seen.get(path) == "file" or (kind == "file" and path in seen):
            raise ArchiveError(f"{remote.name}: '{name}' is in the archive twice, so the archive is refused.")
        for above in (p for p in path.parents if p.parts):
            if seen.setdefault(above, "folder") == "file":
                raise ArchiveError(f"{remote.name}: '{name}' lies below a file of the same archive, so the archive is refused.")
        seen[path] = kind
        if kind == "file":
            members.append(Member(name, path, size, opener))
    return members


def safe_path(name: str, archive: str) -> PurePosixPath:
    """A member's path, once it is sure to stay below the target.

    Raises:
        ArchiveError: for an absolute path, a drive letter, ``..``, a backslash, a control character or an overlong name.
    """
    path = PurePosixPath(name)
    bad = (
        "an absolute path" if path.is_absolute() or re.match(r"[A-Za-z]:", name)
        else "a path that leads out of the folder" if ".." in path.parts
        else "a path with a backslash" if "\\" in name
        else "a path with control characters" if any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
        else "an overlong path" if any(len(os.fsencode(part)) > 255 for part in path.parts) or len(path.parts) > 64
        else ""
    )  # fmt: skip
    if bad:
        raise ArchiveError(f"{archive}: {name[:100]!r} is {bad}, so the archive is refused.")
    return path


def _write(member: Member, path: Path, archive: str) -> int:
    """Write one file, never over another one, and no more than it declared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(member.open()) as source, path.open("xb") as sink:
            left = member.size
            while block := source.read(min(1 << 20, left + 1)):
                left -= len(block)
                if left < 0:
                    raise ArchiveError(f"{archive}: '{member.name}' is larger than the archive says, so the archive is refused.")
                sink.write(block)
    except FileExistsError:
        raise ArchiveError(f"{archive}: '{member.name}' would overwrite another file (names that differ in case only?).") from None
    if left:
        raise ArchiveError(f"{archive}: '{member.name}' is cut short, the archive is damaged. Run the same command again.")
    return member.size


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except DAMAGED as fault:
        raise ArchiveError(f"{name}: the archive is damaged ({fault or type(fault).__name__}). Run the same command again.") from None
    except RuntimeError as fault:  # zipfile: an unknown compression, a password
        raise ArchiveError(f"{name}: the archive cannot be unpacked ({fault}).") from None


@contextmanager
def _reader(archive: Path, remote: Remote) -> Iterator[Iterator[tuple[str, int, str, Callable[[], IO[bytes]]]]]:
    """The members as (name, bytes, "file" or "folder" or what else it is, how to open it)."""
    if remote.kind == "zip":
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(opened)
    elif remote.kind == "tar.gz":
        with tarfile.open(archive, "r:*") as tar:
            yield _tar_members(tar, archive.parent)
    elif remote.kind == "rar":
        with _open_rar(archive) as rar:
            yield _rar_members(rar)
    else:
        raise InputError(f"{remote.name}: cannot unpack the kind '{remote.kind}'; expected zip, tar.gz or rar.")


def _zip_members(opened: zipfile.ZipFile) -> Iterator[tuple[str, int, str, Callable[[], IO[bytes]]]]:
    for info in opened.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
        kind = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}.get(mode, "device or pipe")
        if info.is_dir() and kind == "file":
            kind = "folder"
        if info.flag_bits & 1:
            kind = "file with a password"
        name = info.orig_filename  # as stored: zipfile cuts the other name at a NUL
        yield name, info.file_size, kind, lambda info=info: opened.open(info)  # type: ignore[misc]


def _tar_members(tar: tarfile.TarFile, beside: Path) -> Iterator[tuple[str, int, str, Callable[[], IO[bytes]]]]:
    second = getattr(tarfile, "data_filter", None)  # the standard library's own opinion on top (from 3.11.4); raises a TarError
    for info in tar:
        kind = (
            "file" if info.isreg() and not info.issparse()
            else "folder" if info.isdir()
            else "link" if info.issym() or info.islnk()
            else "device or pipe" if info.ischr() or info.isblk() or info.isfifo()
            else "sparse or unknown member"
        )  # fmt: skip
        if kind in ("file", "folder"):
            safe_path(info.name, "the archive")
            if second is not None:
                second(info, str(beside))
        yield info.name, info.size if kind == "file" else 0, kind, lambda info=info: tar.extractfile(info)  # type: ignore


def _rar_members(rar: Any) -> Iterator[tuple[str, int, str, Callable[[], IO[bytes]]]]:
    for info in rar.infolist():
        kind = "folder" if info.is_dir() else "link" if info.is_symlink() else "file" if info.is_file() else "device or pipe"
        if info.needs_password():
            kind = "file with a password"
        yield info.filename, info.file_size, kind, lambda info=info: rar.open(info)  # type: ignore[misc]


@contextmanager
def _open_rar(archive: Path) -> Iterator[Any]:
    try:
        import rarfile
    except ImportError:
        raise InputError(f"{archive.name} is a RAR archive and needs rarfile: pip install rarfile, and unrar, bsdtar, unar or 7z.") from None
    try:
        with rarfile.RarFile(str(archive)) as rar:
            yield rar
    except rarfile.RarCannotExec:
        tools = "unrar, bsdtar (libarchive-tools), unar or 7z"
        raise InputError(f"{archive.name} is a RAR archive: install one of {tools} and run the same command again.") from None
    except rarfile.Error as fault:
        raise ArchiveError(f"{archive.name}: the archive is damaged ({fault}). Run the same command again.") from None


def remove(folder: Path) -> None:
    """Remove a folder and all in it; nothing where it is not there."""
    if folder.exists():
        shutil.rmtree(folder)
