"""``python evaluate.py`` and ``mmdx evaluate``: predict and score with a finished run's models."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from mmdx.commands.help import help_in_place_of_hydras
from mmdx.commands.hydra_app import config_folder, hydra_command, hydra_job
from mmdx.commands.hydra_section import guard

guard()  # here, since launchers' processes import this module


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="evaluate")
def _job(cfg: DictConfig) -> None:
    """One evaluation."""

    def job() -> None:
        from mmdx.evaluate import evaluate

        evaluate(cfg)

    hydra_job(job)


def main() -> None:
    """The command."""
    help_in_place_of_hydras("evaluate.py: a finished run's models again, as in python evaluate.py run=FOLDER", config_folder())
    hydra_command(_job)


if __name__ == "__main__":
    main()
