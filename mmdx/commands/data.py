"""``mmdx data COMMAND``: what is done with a data set before anything is trained on it; each command has a file of its own."""

from __future__ import annotations

import importlib
import sys

from mmdx.commands.choose import choose

COMMANDS = {
    "check": "read every file and find what is damaged, duplicated, on both sides of a split, or personal",
    "leakage": "can the target be had without the medicine: from the note, the site, the file, what is absent",
    "split": "draw a split once, and keep it with the cohort that it was drawn for",
    "fetch": "download a public data set, with licence, size and checksums",
    "card": "describe a data set for people and as Croissant JSON-LD, with counts from the data itself",
}


def main() -> None:
    """Run one sub-command, each in ``mmdx.commands.data_NAME``."""
    if chosen := choose("mmdx data", COMMANDS, sys.argv[1:]):
        sys.argv = [f"mmdx data {chosen}", *sys.argv[2:]]
        importlib.import_module(f"mmdx.commands.data_{chosen}").main()
