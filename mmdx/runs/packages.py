"""What is installed, told so that a later run can say what has changed: versions, and a hash over the files of each package."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

NOT_CONTENT = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"})
"""Files beside a package's metadata that tell how it was installed, not what it is."""


@dataclass(frozen=True)
class Installed:
    """One installed package.

    Attributes:
        name, version: as its metadata give them.
        files: sha256 over the names and hashes of its files; None where the package keeps no list of them, or is installed editable.
        line: what installs it again, as a line of a requirements file; a comment where nothing does.
    """

    name: str
    version: str
    files: str | None
    line: str


@cache
def installed() -> tuple[Installed, ...]:
    """Every installed package, by name; looked up once a process."""
    found: dict[str, Installed] = {}
    for package in distributions():
        said = package.metadata
        name = said["Name"]
        if name and normal(name) not in found:  # the first on the path is the one that is imported
            found[normal(name)] = _installed(package, name, str(said["Version"]))
    return tuple(found[name] for name in sorted(found))


def lock(packages: Iterable[Installed]) -> str:
    """A requirements file that pip installs from, with the hash over each package's files as a comment.

    Pip keeps no hash of the archive that a package came from, but for packages that were installed from an address, so that there is no ``--hash`` to
    give; the hash over the installed files tells two builds of one version apart.
    """
    head = [
        f"# Packages of a run on Python {platform.python_version()}, {platform.system()} {platform.machine()}.",
        "# files sha256: over the names and hashes of the files that a package installed, by its RECORD; mmdx rerun compares it, pip does not.",
    ]
    return "\n".join([*head, *(f"{p.line}{f'  # files sha256:{p.files}' if p.files else ''}" for p in packages)]) + "\n"


def read_lock(text: str) -> dict[str, str]:
    """The hash over the files of each package, by its name in lower case, as a lock file gives it."""
    lines = (re.match(r"(?:# )?([A-Za-z0-9._-]+) ?(?:==|@).*# files sha256:([0-9a-f]{64})\s*$", line) for line in text.splitlines())
    return {normal(found[1]): found[2] for found in lines if found}


def normal(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(name: str) -> dict[str, int]:
    """The packages that one needs, directly (1) or through others (2 and more), by name; its extras too, as far as they are installed."""
    depth, todo = {normal(name): 0}, [normal(name)]
    while todo:
        asked = todo.pop(0)
        try:
            requirements = distribution(asked).requires or []
        except PackageNotFoundError:
            continue
        for requirement in requirements:
            needed = normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
            if needed not in depth and ("extra ==" not in requirement or depth[asked] == 0):
                depth[needed] = depth[asked] + 1
                todo.append(needed)
    return depth


def _installed(package: Distribution, name: str, version: str) -> Installed:
    origin = _origin(package)
    editable = bool(origin.get("dir_info", {}).get("editable"))
    return Installed(name, version, None if editable else digest(package), _line(name, version, origin))


def _origin(package: Distribution) -> Mapping[str, Any]:
    """What pip wrote of a package that it did not take from an index."""
    try:
        found = json.loads(package.read_text("direct_url.json") or "{}")
    except (ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(name: str, version: str, origin: Mapping[str, Any]) -> str:
    """The requirement; no folder of this machine is in it."""
    parts = urlsplit(str(origin.get("url", "")))
    remote = parts.scheme in ("http", "https", "ssh")
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    source = origin.get("vcs_info") or {}
    if remote and source.get("commit_id"):
        return f"{name} @ {source.get('vcs', 'git')}+{url}@{source['commit_id']}"
    known = (origin.get("archive_info") or {}).get("hashes") or {}
    if remote and known.get("sha256"):
        return f"{name} @ {url}#sha256={known['sha256']}"
    if "dir_info" in origin:
        return f"# {name}=={version} from a folder{', editable' if origin['dir_info'].get('editable') else ''}"
    if known.get("sha256"):
        return f"# {name}=={version} from an archive, sha256:{known['sha256']}"
    return f"{name}=={version}"


def digest(package: Distribution) -> str | None:
    """sha256 over the names and hashes of a package's files; None where it has no list of them.

    The hashes are those of the package's RECORD, so that every machine that installed one wheel gets the same; a file that was changed since, as its
    size or its time tells, is read. Scripts outside the package are left out, since they name the interpreter.
    """
    text = package.read_text("RECORD")
    if not text:
        return None
    said, info = [], ""
    for line in text.splitlines():
        name, _, rest = line.rpartition(",")[0].rpartition(",")
        name = name.strip('"')
        if name.endswith(".dist-info/RECORD"):
            info = name
        if rest.startswith("sha256=") and not name.startswith((".", "/")) and not (".dist-info/" in name and name.rpartition("/")[2] in NOT_CONTENT):
            said.append((name, rest, line.rpartition(",")[2]))
    root = str(package.locate_file(""))
    try:
        written = os.stat(os.path.join(root, info)).st_mtime
    except OSError:
        written = 0.0
    lines = sorted(f"{name},{_now(os.path.join(root, name), kept, size, written)}" for name, kept, size in said)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _now(path: str, kept: str, size: str, written: float) -> str:
    """A file's hash as it was installed, or as it is now where it isn't the same file any more."""
    try:
        found = os.stat(path)
        if str(found.st_size) == size and found.st_mtime <= written + 2:
            return kept
        content = hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return "missing"
    return f"sha256={base64.urlsafe_b64encode(content).rstrip(b'=').decode()}"
