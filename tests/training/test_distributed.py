"""Two processes train one model, also where a batch lacks a modality, and count every sample once."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "ddp_script.py"


@pytest.mark.slow
def test_two_processes_count_every_sample_once(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("model 1 of 2") == 1, "each line is printed by one process"
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    test = frame[(frame["split"] == "test") & (frame["modalities"] == "left+right")]
    assert len(test) == 120 and test["sample_id"].is_unique
    assert not frame.duplicated(["sample_id", "modalities", "fold", "split"]).any()
