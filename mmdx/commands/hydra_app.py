"""What the Hydra commands share: where the config tree is, and how a fault of the input is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmdx.errors import InputError


def config_folder() -> str:
    """The config tree: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return str(inside if inside.is_dir() else package.parent / "conf")


def telling(job: Callable[[], Any]) -> Any:
    """Run a job; a fault of the input ends it with one sentence and exit code 1."""
    try:
        return job()
    except InputError as fault:
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        sys.exit(130)
