"""Hydra's ``hydra/sweeper=optuna``; the work is in ``mmdx.sweep``, which is imported when a sweep starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Asks Optuna which settings to try next, and lets Hydra's launcher run them.

    Args:
        settings: the keys of ``conf/hydra/sweeper/optuna.yaml``, which says what each is.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what a sweep needs."""
        self.context, self.task, self.job = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run trials until there are as many as asked for; returns the best trial's values by objective, or those of the Pareto front by trial."""
        from mmdx.commands.hydra_app import telling
        from mmdx.sweep.sweeper import Sweep

        return telling(lambda: Sweep.of(self.settings, self.context, self.task, self.job, arguments).run())
