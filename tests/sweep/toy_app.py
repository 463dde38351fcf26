"""A Hydra application whose value is known, to sweep over in no time."""

import os
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from mmdx.commands.hydra_app import hydra_job
from mmdx.errors import InputError


def value(x, y, kind):
    return -((x - 0.3) ** 2) - (y - 2) ** 2 - (kind == "b")


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parent / "toy_conf"), config_name="toy")
def main(cfg):
    if cfg.log:
        handle = os.open(cfg.log, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(handle, f"{Path(HydraConfig.get().runtime.output_dir).name}\n".encode())
        os.close(handle)
    time.sleep(cfg.seconds)

    def job():
        if cfg.fail == "always" or (cfg.fail == "crash" and cfg.kind == "b"):
            raise MemoryError("no room\nfor more")
        if cfg.fail == "input" and cfg.kind == "b":
            raise InputError("kind=b: not to be had here.")
        if cfg.fail == "exit" and cfg.kind == "b":
            os._exit(9)
        return {"val/score": value(cfg.x, cfg.y, cfg.kind), "size": float(cfg.y)}

    return hydra_job(job)


if __name__ == "__main__":
    main()
