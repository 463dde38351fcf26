"""The console command ``mmdx``; imports only what its sub-command needs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from mmdx import __version__
from mmdx.commands.choose import choose

COMMANDS = {
    "train": "train, predict and score, like train.py: mmdx train +experiment=xray_text",
    "evaluate": "evaluate a finished run again, on the same or other data: mmdx evaluate run=FOLDER",
    "rerun": "repeat a finished run and say whether it is the same, and what isn't: mmdx rerun FOLDER",
    "runs": "list, filter, sort and compare the runs under a folder: mmdx runs [FOLDER]",
    "stress": "missing and noisy modalities, uncertainty, explained cases of a finished run: mmdx stress RUN",
    "score": "turn predictions into metrics: mmdx score FOLDER...",
    "simulate": "look at simulated patients, and ask what can be reached: mmdx simulate show",
    "report": "a scored run as one page that works offline: mmdx report FOLDER",
    "compare": "compare runs on common rows, with tests and a table for a paper: mmdx compare FOLDER FOLDER...",
    "methods": "the fusions that there are, with paper, size and cost: mmdx methods",
    "data": "check, audit or fetch a data set before it is believed: mmdx data check SOURCE",
}


def main() -> None:
    """Run one sub-command."""
    if sys.argv[1:2] == ["--version"]:
        print(f"mmdx {__version__}")
    elif chosen := choose("mmdx", COMMANDS, sys.argv[1:]):
        run(chosen, sys.argv[2:])


def run(command: str, arguments: list[str]) -> None:
    """Run a command as if its script had been called, so that distributed training can start that script again."""
    module = importlib.import_module(f"mmdx.commands.{command}")
    sys.argv = [str(Path(str(module.__file__))), *arguments]
    module.main()


if __name__ == "__main__":
    main()
