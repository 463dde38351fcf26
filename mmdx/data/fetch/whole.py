"""A data set's folder, whole or absent: everything is made ready beside it and appears by one rename."""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmdx import __version__
from mmdx.data.fetch.catalogue import Entry, Remote
from mmdx.data.fetch.download import Progress, Received, check_space, disk_faults, download
from mmdx.data.fetch.finish import STEPS, check_sums
from mmdx.data.fetch.http import check_url, shown
from mmdx.data.fetch.unpack import ArchiveError, remove, safe_path, unpack
from mmdx.errors import InputError

SOURCE = "SOURCE.json"


def _no_progress(name: str, done: int, total: int | None) -> None:
    return None


def fetch(
    entry: Entry, to: str | Path, tell: Callable[[str], None] = print, progress: Progress = _no_progress, wait: float = -1
) -> Path:
    """Fetch a data set into ``to/NAME``, or go on where an earlier command was cut off.

    Downloads and the unpacked tree are made in ``to/.NAME.fetch``; the finished tree, with its ``SOURCE.json``, becomes ``to/NAME`` by
    one rename. A kill at any moment leaves ``to/NAME`` whole or absent. A second process waits until the first is done, and finds
    the folder there; the lock is the operating system's and goes with its process, so there is no stale one.

    Args:
        entry: the data set.
        to: folder in which its folder is made; created where it is missing.
        tell: called with each sentence for the user.
        progress: called after every piece of a download or of unpacking.
        wait: seconds to wait for another process that fetches the same; negative waits for ever.

    Returns:
        The data set's folder.

    Raises:
        InputError: where it cannot be fetched; says why, and ``to/NAME`` is absent.
    """
    to = Path(to).expanduser()
    target = _inside(to, entry)
    for remote in entry.remotes:
        check_url(remote.url)
    try:
        to.mkdir(parents=True, exist_ok=True)
        lock = FileLock(to / f".{entry.name}.lock")
        with _held(lock, entry.name, tell, wait):
            if is_there(entry, to):
                tell(f"{target} is there already.")
                remove(to / f".{entry.name}.fetch")
            else:
                with disk_faults(to, "while the data set was made ready; what was downloaded is kept"):
                    _make(entry, target, to / f".{entry.name}.fetch", tell, progress)
    except OSError as fault:
        raise InputError(f"{fault.filename or to}: {fault.strerror or fault}, so {entry.name} was not fetched.") from None
    return target


def _inside(to: Path, entry: Entry) -> Path:
    name = safe_path(entry.name, "data set")
    if len(name.parts) != 1 or entry.name.startswith("."):
        raise InputError(f"{entry.name}: the name of a data set must be that of a folder directly in --to.")
    return to / entry.name


class _held:
    """Hold the lock, telling once where another process has it."""

    def __init__(self, lock: FileLock, name: str, tell: Callable[[str], None], wait: float) -> None:
        self.lock, self.name, self.tell, self.wait = lock, name, tell, wait

    def __enter__(self) -> None:
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            self.tell(f"Another process is fetching {self.name} into the same folder; waiting for it.")
            try:
                self.lock.acquire(timeout=self.wait, poll_interval=0.2)
            except Timeout:
                raise InputError(
                    f"{self.name}: another process has been fetching it into the same folder for {self.wait:.0f} seconds. "
                    "Wait until it is done, or give another folder with --to."
                ) from None

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def is_there(entry: Entry, to: str | Path) -> bool:
    """Whether the data set is in the folder, whole.

    Raises:
        InputError: where something else has its name; that is never touched.
    """
    target = _inside(Path(to).expanduser(), entry)
    if not os.path.lexists(target):
        return False
    try:
        source = json.loads((target / SOURCE).read_text(encoding="utf-8"))
        if source["name"] == entry.name:
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{target}: there is something else already (no {SOURCE} of {entry.name} in it). Move it away, or give another --to.")


def _make(entry: Entry, target: Path, work: Path, tell: Callable[[str], None], progress: Progress) -> None:
    if work.is_symlink():
        raise InputError(f"{work}: a link stands where the download goes. Remove it.")
    work.mkdir(exist_ok=True)
    tree = work / "tree"
    remove(tree)
    tree.mkdir()
    records: list[dict[str, Any]] = []
    for number, remote in enumerate(entry.remotes):
        file = work / f"{number:02}-{remote.name}"
        received = download(remote, file, progress, tell)
        if remote.checksum is None:
            tell(f"{remote.name}: no checksum is published; the SHA-256 of what came is {received.sha256}.")
        records.append(_record(remote, received))
    for number, remote in enumerate(entry.remotes):
        file = work / f"{number:02}-{remote.name}"
        if remote.kind == "plain":
            _keep(file, _place(tree, remote))
            continue
        try:
            unpack(file, remote, tree, progress)
        except ArchiveError:
            file.unlink()
            raise
    checked = _ready(entry, tree, work, tell)
    _write_source(entry, tree, records, checked)
    os.replace(tree, target)
    remove(work)


def _place(tree: Path, remote: Remote) -> Path:
    path = tree / remote.folder / safe_path(remote.name, "data set")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _keep(file: Path, place: Path) -> None:
    """Put a plain file into the tree and keep the download, so that a kill before the end costs no second one."""
    try:
        os.link(file, place)
    except OSError:  # a file system without hard links
        check_space(place.parent, file.stat().st_size, file.name)
        shutil.copyfile(file, place)


def _ready(entry: Entry, tree: Path, work: Path, tell: Callable[[str], None]) -> int:
    """Check what was unpacked and ready it for the loader; the downloads go where they are not what they should be."""
    try:
        for path in entry.expects:
            if not (tree / path).exists():
                raise ArchiveError(f"{entry.name}: '{path}' is not in what was downloaded; the layout has changed upstream.")
        checked = check_sums(tree, entry.sums) if entry.sums else 0
        if checked:
            tell(f"{checked} files agree with {entry.sums}.")
        if entry.finish:
            STEPS[entry.finish](tree)
    except ArchiveError:
        remove(work)
        raise
    return checked


def _record(remote: Remote, received: Received) -> dict[str, Any]:
    return {"url": shown(remote.url), "sha256": received.sha256, "bytes": received.size, "checked_against": remote.checksum}


def _write_source(entry: Entry, tree: Path, records: list[dict[str, Any]], checked: int) -> None:
    source = {
        "name": entry.name,
        "title": entry.title,
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "source": entry.source,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "mmdx": __version__,
        "files": records,
        "files_checked_by_sums": checked,
        "notes": list(entry.notes),
    }
    with (tree / SOURCE).open("x", encoding="utf-8") as handle:
        json.dump(source, handle, indent=1, ensure_ascii=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
