"""Which code a run was done with: the commit, what was changed since, and a hash of the source files whether there is a git or not."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import mmdx

PLUGINS = "mmdx.configs"
CODE = ("*.py", "pyproject.toml", "conf/*.yaml", "*/conf/*.yaml")
"""What is shown of a change: code and configs. Of other changed files, which may hold anything, only how many there are is told."""
LIMIT = 2**20
"""The most of a diff that is kept, in bytes."""


def revision(package: Path | None = None) -> dict[str, Any] | None:
    """Commit of a package's code and whether it was changed since; None where the package is not tracked in a git checkout.

    Args:
        package: its folder; None takes mmdx.
    """
    folder = package or home()
    try:
        if not _git(folder, "ls-files", "__init__.py"):
            return None  # a package that was installed below some other checkout
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = bool(_git(folder, "status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def changes(package: Path | None = None, limit: int = LIMIT) -> str | None:
    """The changes of tracked code and configs since the commit, as ``git diff`` prints them; None where there are none.

    Args:
        package: its folder; None takes mmdx.
        limit: the most that is given, in bytes; a longer diff ends with a line that says so.
    """
    folder = package or home()
    if not (revision(package) or {}).get("changed"):
        return None
    try:
        top = Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))
        text = _git(top, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--", *CODE)
        names = [set(_git(top, "diff", "HEAD", "--name-only", "-z", *only).split("\0")) - {""} for only in ([], ["--", *CODE])]
    except (OSError, subprocess.SubprocessError):
        return None
    kept = text.encode()
    if len(kept) > limit:
        text = kept[:limit].decode(errors="ignore").rpartition("\n")[0] + f"\n# cut here: the diff has {len(kept)} bytes, {limit} are kept\n"
    other = len(names[0] - names[1])
    return text + (f"# changed too, and not shown: {other} files that are neither code nor config\n" if other else "")


def code_hash(package: Path | None = None) -> str:
    """sha256 over the names and contents of a package's Python and YAML files; of mmdx also its config tree's, wherever it is."""
    folder = package or home()
    content = hashlib.sha256()
    for name, path in sorted(_sources(folder, beside=package is None)):
        content.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()


def plugins() -> dict[str, dict[str, Any]]:
    """Of each package that is installed as a plug-in its revision and the hash of its code; nothing of it is imported."""
    found = {}
    for name in sorted({point.value.split(":")[0].split(".")[0] for point in entry_points(group=PLUGINS)}):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations)))
            found[name] = {"revision": revision(folder), "code": code_hash(folder)}
    return found


def home() -> Path:
    """The folder of mmdx."""
    return Path(str(mmdx.__file__)).resolve().parent


def _sources(folder: Path, beside: bool) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".yaml") and path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path
    tree = folder.parent / "conf"
    if beside and not (folder / "conf").is_dir() and tree.is_dir():
        yield from ((f"conf/{path.relative_to(tree).as_posix()}", path) for path in tree.rglob("*.yaml"))


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, timeout=20)
    return done.stdout.decode(errors="replace")
