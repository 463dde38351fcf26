"""What it takes to repeat a run: code revision, versions, command, seeds, and what the data was."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmdx import __version__
from mmdx.files import write_json


def write_provenance(
    folder: Path, cfg: DictConfig, fingerprint: str, source: Path | None = None, earlier: Mapping[str, Any] | None = None
) -> None:
    """Write ``provenance.json``; an evaluation names the run it evaluates as its source, a run the ``earlier`` ones that it takes something from."""
    write_json(
        folder / "provenance.json",
        {
            "mmdx": __version__,
            "revision": revision(),
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": packages(),
            **({"source": str(source)} if source else {}),
            **({"earlier": dict(earlier)} if earlier else {}),
            "data": cfg.data.get("name"),
            "data_fingerprint": fingerprint,
            "seeds": {key: value for key, value in _seeds(cfg).items() if value is not None},
        },
    )


def _seeds(cfg: DictConfig) -> dict[str, Any]:
    from mmdx.configuration import select

    return {key: select(cfg, key, None) for key in ("seed", "seeds", "split.seed", "data.seed")}


def revision() -> dict[str, Any] | None:
    """Commit of the code and whether it was changed since; None where the code is not in a git checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def packages() -> dict[str, str]:
    """Name and version of every installed package."""
    return dict(sorted({d.metadata["Name"]: d.version for d in distributions() if d.metadata["Name"]}.items()))
