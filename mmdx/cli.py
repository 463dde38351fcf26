"""The console command ``mmdx``; imports only what its sub-command needs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

COMMANDS = {
    "train": "train, predict and score, like train.py: mmdx train +experiment=xray_text",
    "evaluate": "evaluate a finished run again, on the same or other data: mmdx evaluate run=FOLDER",
    "score": "turn predictions into metrics: mmdx score FOLDER...",
    "data": "check a data set before it is believed: mmdx data leakage SOURCE",
}


def main() -> None:
    """Run one sub-command."""
    from mmdx import __version__

    chosen = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if chosen in ("-h", "--help"):
        print("usage: mmdx COMMAND ...\n\n" + "\n".join(f"  {name:10}{words}" for name, words in COMMANDS.items()))
    elif chosen == "--version":
        print(f"mmdx {__version__}")
    elif chosen in COMMANDS:
        run(chosen, sys.argv[2:])
    else:
        print(f"error: {chosen}: no such command. All: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)


def run(command: str, arguments: list[str]) -> None:
    """Run a command as if its script had been called, so that distributed training can start that script again."""
    module = importlib.import_module(f"mmdx.commands.{command}")
    sys.argv = [str(Path(str(module.__file__))), *arguments]
    module.main()
