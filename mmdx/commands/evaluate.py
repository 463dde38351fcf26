"""``python evaluate.py`` and ``mmdx evaluate``: predict and score with a finished run's models."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from mmdx.commands.hydra_app import config_folder, telling


@hydra.main(version_base="1.3", config_path=config_folder(), config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """One evaluation."""

    def job() -> None:
        from mmdx.evaluate import evaluate

        evaluate(cfg)

    telling(job)


if __name__ == "__main__":
    main()
