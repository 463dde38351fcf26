"""``python train.py`` and ``mmdx train``: train, predict and score."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from mmdx.commands.help import help_in_place_of_hydras
from mmdx.commands.hydra_app import config_folder, hydra_command, hydra_job
from mmdx.commands.hydra_section import guard
from mmdx.commands.launchers import check_launcher

guard()  # here, since launchers' processes import this module


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="train")
def _job(cfg: DictConfig) -> float | None:
    """One run; returns the validation score that a sweep steers by."""

    def job() -> float | None:
        from mmdx.run import run

        return run(cfg)

    return hydra_job(job)


def main() -> None:
    """The command."""
    help_in_place_of_hydras("train.py: train, predict and score, as in python train.py +experiment=xray_text", config_folder())
    check_launcher()
    hydra_command(_job)


if __name__ == "__main__":
    main()
