"""Which of several commands the first word names; help and a wrong word are answered here, for ``mmdx`` and for ``mmdx data`` alike."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def choose(program: str, commands: Mapping[str, str], words: list[str]) -> str | None:
    """The command that the first of some words names; None where help was asked for and printed.

    Args:
        program: what is typed before the words.
        commands: what each command does, by name.
        words: the words that were typed; none asks for help.

    A word that is no command ends the program with one sentence and exit code 2.
    """
    chosen = words[0] if words else "--help"
    if chosen in ("-h", "--help"):
        print(f"usage: {program} COMMAND ...\n\n" + "\n".join(f"  {name:10}{does}" for name, does in commands.items()))
        return None
    if chosen not in commands:
        print(f"error: {program} {chosen}: no such command. All: {', '.join(commands)}.", file=sys.stderr)
        sys.exit(2)
    return chosen
