"""``mmdx simulate COMMAND``: look at simulated patients, and ask what can be reached; each command has a file of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdx.commands.choose import choose
from mmdx.errors import InputError

if TYPE_CHECKING:
    from mmdx.simulate.cohort import SimulatedCohort

COMMANDS = {
    "show": "pictures, sounds and notes of some patients, with what is true of them, as a page",
    "optimum": "the best scores that any model can reach, and the information of every set of modalities",
}


def main() -> None:
    """Run one sub-command, each in ``mmdx.commands.simulate_NAME``."""
    if chosen := choose("mmdx simulate", COMMANDS, sys.argv[1:]):
        sys.argv = [f"mmdx simulate {chosen}", *sys.argv[2:]]
        importlib.import_module(f"mmdx.commands.simulate_{chosen}").main()


def cohort_from(overrides: Sequence[str]) -> SimulatedCohort:
    """The cohort that Hydra overrides make, such as ``data.samples=100 data.prevalence=0.2``.

    Raises:
        InputError: where they are wrong, or make a data set that isn't simulated.
    """
    from mmdx.commands.data_source import composed
    from mmdx.configuration import check_data, check_targets, check_values, resolved
    from mmdx.parts import dataset_from
    from mmdx.simulate.cohort import SimulatedCohort

    cfg = composed(overrides)
    check_values(cfg)
    check_targets(cfg)
    check_data(cfg)
    dataset = dataset_from(resolved(cfg))
    if not isinstance(dataset, SimulatedCohort):
        raise InputError(f"data={cfg.data.get('name')}: not simulated, so its best possible score is not known; use data=simulated.")
    return dataset
