import os
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from toy import Numbers, model_plan, training_plan

from mmdx.data.splits import HoldOut
from mmdx.errors import InputError
from mmdx.files import write_atomically
from mmdx.run import alone_in
from mmdx.stopping import Stopped, stopping_on_signals
from mmdx.study import Study
from mmdx.training.module import MultimodalModule
from mmdx.training.saving import Saving

KEPT = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "epoch", "global_step")


class Crash(BaseException):
    """The end of a process, which nothing catches."""


def study(folder, resume=False, logs=False, **changes):
    from mmdx.training.logs import CSVLogger

    own = {"batch_size": 8, "save_steps": 1, **changes}
    if logs:
        own["loggers"] = lambda place: [CSVLogger(place, name="logs", version="")]
    return Study(Numbers(), model_plan(), training_plan(**own), HoldOut(), folder, resume=resume)


def crash_at(monkeypatch, hook, wanted):
    """Let the process end where a hook of the module is called for the ``wanted``-th time."""
    before, calls = getattr(MultimodalModule, hook), []

    def ends(self, *arguments):
        calls.append(1)
        if len(calls) == wanted:
            raise Crash
        return before(self, *arguments)

    monkeypatch.setattr(MultimodalModule, hook, ends)


def same(one, other):
    """Nested values of a checkpoint, to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def assert_same_run(one, other):
    assert pd.read_parquet(one / "predictions.parquet").equals(pd.read_parquet(other / "predictions.parquet"))
    for name in ("best.ckpt", "last.ckpt"):
        first, second = (torch.load(run / "models" / "model" / "checkpoints" / name, weights_only=True) for run in (one, other))
        for key in KEPT:
            assert same(first[key], second[key]), f"{name}: {key}"


SETTINGS = {
    "plain": {},
    "two workers": {"num_workers": 2},
    "gradients accumulated": {"trainer": {"accumulate_grad_batches": 2}},
    "stops early": {"patience": 1, "monitor": "train/loss", "mode": "max", "trainer": {"max_epochs": 5}},
    "average of weights": {"callbacks": lambda: [EMAWeightAveraging(decay=0.9)]},
    "drawn evenly, last": {"order": "balanced", "checkpoint": "last"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_anywhere_ends_in_the_same_bits(name, tmp_path, monkeypatch):
    """In the middle of an epoch, in its first and last step, in validation, and between epochs."""
    settings = SETTINGS[name]
    study(tmp_path / "whole", **settings).run()
    steps = -(-len(study(tmp_path / "x").dataset) * 8 // 10 // 8)
    moments = [("training_step", n) for n in (1, 2, steps // 2 + 1, steps, steps + 2, 2 * steps - 1)]
    moments += [("validation_step", n) for n in (1, 2, 3)] + [("on_train_epoch_start", n) for n in (2,)]
    if name != "plain":
        moments = moments[2::2]
    for hook, wanted in moments:
        with monkeypatch.context() as patch, pytest.raises(Crash):
            crash_at(patch, hook, wanted)
            study(tmp_path / "cut", **settings).run()
        study(tmp_path / "cut", resume=True, **settings).run()
        assert_same_run(tmp_path / "whole", tmp_path / "cut")
        shutil.rmtree(tmp_path / "cut")


def test_a_run_that_had_stopped_early_is_not_trained_further(tmp_path, monkeypatch):
    settings = SETTINGS["stops early"]
    study(tmp_path / "whole", **settings).run()
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Study, "predict", lambda *arguments: (_ for _ in ()).throw(Crash))
        study(tmp_path / "cut", **settings).run()
    with monkeypatch.context() as patch:
        patch.setattr(MultimodalModule, "training_step", lambda *arguments: pytest.fail("trained further"))
        study(tmp_path / "cut", resume=True, **settings).run()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_folder_that_was_moved_goes_on_as_well(tmp_path, monkeypatch):
    study(tmp_path / "whole").run()
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, "training_step", 20)
        study(tmp_path / "cut").run()
    (tmp_path / "cut").rename(tmp_path / "moved")
    study(tmp_path / "moved", resume=True).run()
    assert_same_run(tmp_path / "whole", tmp_path / "moved")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_answered_by_a_checkpoint_after_the_step(tmp_path, monkeypatch, signum):
    """Without any other checkpoint within an epoch, the run goes on after the very step in which the signal came."""
    settings = {"save_steps": None, "save_minutes": None}
    study(tmp_path / "whole", **settings).run()
    before, calls = MultimodalModule.training_step, []

    def told(self, batch, batch_idx):
        calls.append(batch_idx)
        if len(calls) == 4:
            os.kill(os.getpid(), signum)
        return before(self, batch, batch_idx)

    with monkeypatch.context() as patch, stopping_on_signals(), pytest.raises(Stopped) as stopped:
        patch.setattr(MultimodalModule, "training_step", told)
        study(tmp_path / "cut", **settings).run()
    assert stopped.value.signum == signum and len(calls) == 4
    with monkeypatch.context() as patch:
        patch.setattr(MultimodalModule, "training_step", told)
        study(tmp_path / "cut", resume=True, **settings).run()
    assert calls[4] == 4, "the steps before are not taken again"
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_outside_training_a_signal_ends_the_run_at_once_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on_signals(), pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)  # another thread may take it from the system, and the main one hears of it a moment later
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_command_within_a_command_leaves_signals_as_they_were():
    before = signal.getsignal(signal.SIGTERM)
    with stopping_on_signals():
        with stopping_on_signals():
            pass
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(20)
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_who_listened_before_has_the_last_word():
    """As submitit does, which puts the job into the queue again from its own handler."""
    heard, before = [], signal.getsignal(signal.SIGUSR2)
    signal.signal(signal.SIGUSR2, lambda signum, frame: heard.append(signum))
    try:
        with stopping_on_signals(), pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(20)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert heard == [signal.SIGUSR2]


def test_a_checkpoint_that_was_being_written_leaves_the_old_one(tmp_path, monkeypatch):
    study(tmp_path / "whole").run()
    before, calls = torch.save, []

    def half(value, file):
        calls.append(1)
        if len(calls) == 7:
            file.write(b"half a checkpoint")
            raise Crash
        before(value, file)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(torch, "save", half)
        study(tmp_path / "cut").run()
    torch.load(tmp_path / "cut" / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    study(tmp_path / "cut", resume=True).run()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("damage", ["cut", "pickled"])
def test_a_damaged_checkpoint_is_named_and_without_it_the_model_is_trained_anew(tmp_path, monkeypatch, damage):
    study(tmp_path / "whole").run()
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, "training_step", 5)
        study(tmp_path / "cut").run()
    last = tmp_path / "cut" / "models" / "model" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:2000] if damage == "cut" else pickle.dumps(Crash))
    with pytest.raises(InputError, match=r"last\.ckpt: not a checkpoint of tensors, or damaged; .*remove it, and this model is trained anew\.$"):
        study(tmp_path / "cut", resume=True).run()
    last.unlink()
    study(tmp_path / "cut", resume=True).run()
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_damaged_predictions_of_a_finished_model_are_named(tmp_path):
    whole = study(tmp_path).run()
    path = tmp_path / "models" / "model" / "predictions.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"models/model/predictions\.parquet: damaged; remove it, and resume="):
        study(tmp_path, resume=True).run()
    path.unlink()
    assert study(tmp_path, resume=True).run().equals(whole)


def test_a_kill_after_the_last_model_leaves_the_bytes_of_the_predictions_as_they_would_have_been(tmp_path):
    """Their hash stands in metrics.json, and Parquet keeps more of a table than its values: what held the text in memory, too."""

    def run(resume):
        own = study(tmp_path, resume)
        own.dataset.table["sample_id"] = own.dataset.table["sample_id"].astype(object)
        own.run()
        return (tmp_path / "predictions.parquet").read_bytes()

    whole = run(resume=False)
    (tmp_path / "predictions.parquet").unlink()
    assert run(resume=True) == whole


def test_the_training_curve_of_a_resumed_run_is_whole(tmp_path, monkeypatch):
    study(tmp_path / "whole", logs=True).run()
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at(patch, "training_step", 30)
        study(tmp_path / "cut", logs=True).run()
    study(tmp_path / "cut", resume=True, logs=True).run()
    one, other = (pd.read_csv(tmp_path / run / "models" / "model" / "logs" / "metrics.csv") for run in ("whole", "cut"))
    assert np.array_equal(one["val/score"].dropna(), other["val/score"].dropna())
    assert np.array_equal(one["train/loss"].dropna(), other["train/loss"].dropna())


def test_a_metric_that_is_not_measured_is_named(tmp_path):
    with pytest.raises(InputError, match=r"training.monitor=val/f1: not measured; there are .*val/score"):
        study(tmp_path, monitor="val/f1").run()


def test_minutes_count_from_the_last_checkpoint(tmp_path, monkeypatch):
    saved, now = [], [0.0]
    monkeypatch.setattr("mmdx.training.saving.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Saving, "_save", lambda self, trainer, name: (saved.append((name, trainer.global_step)), setattr(self, "saved", now[0])))
    before = MultimodalModule.training_step

    def minute(self, batch, batch_idx):
        now[0] += 60
        return before(self, batch, batch_idx)

    monkeypatch.setattr(MultimodalModule, "training_step", minute)
    with pytest.raises(InputError, match="no such file"):  # nothing was written
        study(tmp_path, save_steps=None, save_minutes=3, trainer={"max_epochs": 1}).run()
    assert [step for name, step in saved if name == "last.ckpt"] == [3, 6, 9, 12] or [step for name, step in saved][:3] == [3, 6, 9]


def test_what_a_kill_left_half_written_is_cleared_by_the_next_run(tmp_path):
    (tmp_path / "models").mkdir()
    child = "import os, pathlib, sys, mmdx.files; mmdx.files.write_atomically(pathlib.Path(sys.argv[1]), lambda path: os._exit(9))"
    subprocess.run([sys.executable, "-c", child, str(tmp_path / "models" / "last.ckpt")], check=False)
    assert [path.name.startswith(".last.ckpt.") for path in (tmp_path / "models").iterdir()] == [True]
    with alone_in(tmp_path):
        assert not list((tmp_path / "models").iterdir())


def test_whole_files(tmp_path):
    write_atomically(tmp_path / "file", lambda path: path.write_text("old"))
    with pytest.raises(Crash):
        write_atomically(tmp_path / "file", lambda path: (path.write_text("new"), (_ for _ in ()).throw(Crash)))
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
