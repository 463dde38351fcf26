"""Two processes train one model, also where a batch lacks a modality, and count every sample once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
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


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_two_processes_train_the_model_that_one_trains_on_batches_twice_as_large(tmp_path, task):
    """With class weights, unlabelled entries and losses of each modality, whose numbers differ between processes; a last batch that is not full."""
    for processes in (1, 2):
        words = [sys.executable, str(SCRIPT.parent / "ddp_equal_script.py"), str(tmp_path / str(processes)), task, str(processes)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    one, two = (
        pd.read_parquet(tmp_path / run / "predictions.parquet").sort_values(["split", "modalities", "sample_id"], ignore_index=True) for run in "12"
    )
    numbers = [column for column in one if column.startswith("prob")]
    assert one.drop(columns=numbers).equals(two.drop(columns=numbers))
    assert np.abs(one[numbers].to_numpy() - two[numbers].to_numpy()).max() < 1e-5
    assert np.ptp(one[numbers].to_numpy()) > 0.1, "something was learned"
