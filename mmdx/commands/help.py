"""``--help``: what the command does, which parts there are to choose from, and the config that the given overrides make.

Hydra's own help asks its search path anew for each of some seventy groups, which takes longer than composing the config.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

FLAGS = """\
Flags: --help; --cfg job (the config alone); --info defaults (where each part comes from); -m (sweep over a,b,c); --hydra-help (Hydra's own).
Set any key below as KEY=VALUE, add one as +KEY=VALUE, place an encoder as +encoder/image@encoders.NAME=small_cnn."""


def help_in_place_of_hydras(usage: str, folder: str) -> None:
    """Where the arguments ask for help, print ours and leave Hydra to print the config."""
    if not {"--help", "-h"} & set(sys.argv[1:]):
        return
    print(f"{usage}\n\nParts, as GROUP=NAME:")
    for group, names in sorted(groups(Path(folder))):
        print(f"  {group}: {', '.join(names)}")
    print(f"\n{FLAGS}\n\nThe config:", flush=True)
    kept = [word for word in sys.argv[1:] if word not in ("--help", "-h")]
    sys.argv[1:] = kept if "--cfg" in kept else [*kept, "--cfg", "job"]


def groups(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each group of the config tree with the names of its parts."""
    for place, _, files in os.walk(folder):
        names = sorted(Path(f).stem for f in files if f.endswith(".yaml") and not f.startswith("_"))
        if names and Path(place) != folder:
            yield Path(place).relative_to(folder).as_posix(), names
