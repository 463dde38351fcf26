"""``mmdx data COMMAND``: what is done with a data set before anything is trained on it; each command has a file of its own."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "check": "read every file and find what is damaged, duplicated, on both sides of a split, or personal",
    "leakage": "can the target be had without the medicine: from the note, the site, the file, what is absent",
    "fetch": "download a public data set, with licence, size and checksums",
}


def main() -> None:
    """Run one sub-command, each in ``mmdx.commands.data_NAME``."""
    chosen = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if chosen in ("-h", "--help"):
        print("usage: mmdx data COMMAND ...\n\n" + "\n".join(f"  {name:10}{words}" for name, words in COMMANDS.items()))
    elif chosen in COMMANDS:
        sys.argv = [f"mmdx data {chosen}", *sys.argv[2:]]
        importlib.import_module(f"mmdx.commands.data_{chosen}").main()
    else:
        print(f"error: data {chosen}: no such command. All: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
