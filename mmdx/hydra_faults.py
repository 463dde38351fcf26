"""What Hydra refuses, in one sentence."""

from __future__ import annotations

import re
from difflib import get_close_matches

from hydra.errors import HydraException, MissingConfigException, OverrideParseException


def refused(fault: HydraException) -> str:
    """What Hydra's own fault says, in one sentence."""
    said = str(fault.__cause__ or fault).partition("\nConfig search path")[0].splitlines()
    lines = [line for line in said if not line.startswith(("See https:", "Error parsing"))] or [type(fault).__name__]
    if isinstance(fault, MissingConfigException) and fault.options:
        group, _, name = str(fault.missing_cfg_file).rpartition("/")
        near = get_close_matches(name, fault.options, 1)
        return f"{group}={name}: no such config{f'; did you mean {near[0]}?' if near else ';'} {group} has {', '.join(fault.options)}."
    if isinstance(fault, OverrideParseException):
        grammar = "https://hydra.cc/docs/advanced/override_grammar/basic"
        return f"{fault.override}: Hydra can't read it ({lines[0]}); see {grammar}, and quote it for the shell."
    if found := re.match(r"Could not override '(.+)'", str(fault)):
        return f"{found[1]}: no such key; look at --help for those that there are, and write +{found[1]}=VALUE to add one."
    return " ".join(" ".join(lines).split())
