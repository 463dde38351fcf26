"""A sweep that is killed goes on with the same command, and processes share one: as many trials as asked for, none lost, none run twice."""

import random
import subprocess
import time
from pathlib import Path

import pytest
from commands import ended, only_sweep, table, toy, toy_command

KILLED = [(8, 2, 1, "journal"), pytest.param(40, 5, 1, "journal", marks=pytest.mark.slow), pytest.param(40, 5, 1, "sqlite", marks=pytest.mark.slow),
          pytest.param(40, 5, 2, "journal", marks=pytest.mark.slow), pytest.param(40, 5, 2, "sqlite", marks=pytest.mark.slow)]  # fmt: skip


def started(log):
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@pytest.mark.parametrize(("trials", "kills", "processes", "storage"), KILLED)
def test_a_sweep_killed_at_any_moment_ends_with_all_its_trials_and_repeats_no_finished_one(tmp_path, trials, kills, processes, storage):
    log, rng, finished_before = tmp_path / "log", random.Random(0), []
    command = toy_command(f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.storage={storage}", "seconds=0.1", f"log={log}")
    for k in range(kills):
        running = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(processes)]
        wanted, deadline = len(started(log)) + max(1, trials // (2 * kills)), time.monotonic() + 120
        while len(started(log)) < wanted and time.monotonic() < deadline and any(p.poll() is None for p in running):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.6))
        assert all(process.poll() is None for process in running), f"ended before kill {k}"
        for process in running:
            process.kill()
            process.wait()
        finished_before.append((len(started(log)), ended(only_sweep(tmp_path))))
    last = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    assert [process.wait(timeout=300) for process in last] == [0] * processes
    found = table(only_sweep(tmp_path))
    assert list(found["number"]) == list(range(trials)) and set(found["state"]) == {"COMPLETE"}
    assert ended(only_sweep(tmp_path)) == set(range(trials))
    for place, finished in finished_before:
        assert not finished & set(started(log)[place:]), "a finished trial was run again"
    assert len(started(log)) <= trials + kills * processes


def test_a_sweep_that_was_killed_tries_what_an_unbroken_one_tries(tmp_path):
    (tmp_path / "killed").mkdir()
    (tmp_path / "unbroken").mkdir()
    log = tmp_path / "killed" / "log"
    overrides = ("hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.n_startup_trials=2", "seconds=0.05")
    running = subprocess.Popen(toy_command(*overrides, f"log={log}"), cwd=tmp_path / "killed", stdout=subprocess.DEVNULL)
    while len(started(log)) < 3 and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert toy(tmp_path / "killed", *overrides, f"log={log}")[0] == 0
    assert toy(tmp_path / "unbroken", *overrides)[0] == 0
    killed, unbroken = (table(only_sweep(tmp_path / name)).drop(columns="seconds") for name in ("killed", "unbroken"))
    assert killed.equals(unbroken)


def test_two_processes_on_one_study_share_its_trials(tmp_path):
    log = tmp_path / "log"
    command = toy_command("hydra.sweeper.n_trials=10", "seconds=0.4", f"log={log}")
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    found = table(only_sweep(tmp_path))
    assert list(found["number"]) == list(range(10)) and set(found["state"]) == {"COMPLETE"}
    assert sorted(started(log)) == list(range(10))
    assert all("trial " in own for own in said)


def test_what_a_kill_left_of_a_line_of_the_journal_is_cut_off(tmp_path):
    assert toy(tmp_path, "hydra.sweeper.n_trials=2")[0] == 0
    journal = only_sweep(tmp_path) / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"ab')
    code, _, err = toy(tmp_path, "hydra.sweeper.n_trials=3")
    assert code == 0, err[-2000:]
    assert list(table(only_sweep(tmp_path))["state"]) == ["COMPLETE"] * 3
    assert b'ab{' not in journal.read_bytes()


def test_more_trials_are_added_to_the_same_study_and_a_finished_sweep_runs_nothing(tmp_path):
    log = tmp_path / "log"
    for trials in (2, 4, 4):
        assert toy(tmp_path, f"hydra.sweeper.n_trials={trials}", f"log={log}")[0] == 0
    assert started(log) == [0, 1, 2, 3]


def test_another_sweep_is_refused_in_the_folder_of_one(tmp_path):
    folder = Path(tmp_path) / "mine"
    assert toy(tmp_path, "hydra.sweeper.n_trials=1", f"hydra.sweep.dir={folder}")[0] == 0
    code, _, err = toy(tmp_path, "hydra.sweeper.n_trials=1", f"hydra.sweep.dir={folder}", "hydra/sweeper/sampler=random")
    assert code == 1 and err.startswith(f"error: hydra.sweep.dir={folder}: holds a sweep whose sampler._target_ is") and err.count("\n") == 1
