"""``mmdx data fetch NAME``: download a public data set, after showing its licence and size and asking once."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmdx.commands.hydra_app import config_folder, telling
from mmdx.errors import InputError

if TYPE_CHECKING:
    from mmdx.data.fetch.catalogue import Entry


def main() -> None:
    """List what can be fetched, or fetch one data set."""
    parser = argparse.ArgumentParser("mmdx data fetch", description="Download a public data set; without NAME list what there is.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the data set")
    parser.add_argument("--to", default="data", metavar="FOLDER", help="folder in which the folder NAME is made (default: data)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args()
    telling(lambda: _list() if options.name is None else _fetch(options.name, Path(options.to), options.yes))


def _list() -> None:
    from mmdx.data.fetch.catalogue import ENTRIES, shown_size

    for entry in ENTRIES.values():
        print(f"{entry.name:15} {shown_size(entry.size):>22}  {entry.licence}\n{'':15} {entry.title}")


def _fetch(name: str, to: Path, yes: bool) -> None:
    from mmdx.data.fetch.catalogue import find
    from mmdx.data.fetch.whole import fetch, is_there

    entry = find(name)
    _show(entry, to)
    if not is_there(entry, to) and not yes and not _agreed(name):
        print("Nothing was fetched.")
        sys.exit(1)
    bar = _Bar()
    try:
        folder = fetch(entry, to, tell=bar.tell, progress=bar.update)
    except KeyboardInterrupt:
        bar.tell("Stopped; the same command goes on from here.")
        raise
    finally:
        bar.clear()
    if has_loader(entry.use):
        print(f"Use it with:\n  {entry.use} data.root={shlex.quote(str(folder))}")
    else:
        print(f"It is in {folder}. mmdx has no loader for it yet; write a manifest of its files (docs/data.md).")


def has_loader(use: str) -> bool:
    """Whether the data set of a line ``data=NAME ...`` has a config."""
    return (Path(config_folder()) / "data" / f"{use.split()[0].removeprefix('data=')}.yaml").is_file()


def _show(entry: Entry, to: Path) -> None:
    from mmdx.data.fetch.catalogue import shown_size
    from mmdx.data.fetch.http import shown

    print(f"{entry.title}\n  licence  {entry.licence}\n           {entry.licence_url}\n  page     {entry.source}")
    print(f"  size     {shown_size(entry.size)}\n  into     {to / entry.name}")
    for remote in entry.remotes:
        kind = remote.checksum.split(":")[0] if remote.checksum else "none published"
        print(f"  file     {shown(remote.url)}  (checksum: {kind})")
    for note in entry.notes:
        print(f"  note     {note}")


def _agreed(name: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"mmdx data fetch {name}: there is no terminal to ask on; add --yes once you agree with the licence.")
    try:
        return input("Download it under this licence? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


class _Bar:
    """One line on the terminal that says how far it is; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self.shows = sys.stderr.isatty()
        self.last = 0.0

    def update(self, name: str, done: int, total: int | None) -> None:
        from mmdx.data.fetch.catalogue import shown_size

        now = time.monotonic()
        if self.shows and (now - self.last > 0.2 or done == total):
            self.last = now
            share = f"{100 * done / total:5.1f} % of {shown_size(total)}" if total else shown_size(done)
            print(f"\r\x1b[K{name}: {share}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def tell(self, sentence: str) -> None:
        self.clear()
        print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
