"""``mmdx runs``: what it lists, filters and sorts by; what a broken folder gets; and that it reads thousands without anything heavy."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_runs import make

from mmdx.commands import runs as command
from mmdx.runs.choose import in_order, matching
from mmdx.runs.read import find_runs, read_run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pytorch_lightning", "pandas", "numpy", "sklearn", "omegaconf", "hydra", "mlflow", "pyarrow", "scipy")


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "one", auroc=0.8, lr=0.001)
    make(tmp_path / "sweep" / "0", auroc=0.9, fusion="concat", lr=0.01)
    make(tmp_path / "sweep" / "1", state="running", fusion="concat")
    make(tmp_path / "sweep" / "2", state="failed", record={"fault": "ValueError"})
    return tmp_path


def listed(folder):
    return [read_run(path, folder) for path in find_runs(folder)]


def names(runs):
    return [run.name for run in runs]


def said(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["mmdx runs", *map(str, words)])
    code = 0
    try:
        command.main()
    except SystemExit as end:
        code = end.code
    out = capsys.readouterr()
    return code, out.out, out.err


def test_each_run_has_its_state(folder):
    assert {run.name: run.state for run in listed(folder)} == {"one": "finished", "sweep/0": "finished", "sweep/1": "unfinished", "sweep/2": "failed"}
    assert listed(folder)[3].problem == "ValueError"


def test_a_run_that_ended_before_its_record_and_one_of_an_older_version_are_known(folder):
    config = (folder / "one" / "config.yaml").read_text()
    for name in ("begun", "old"):
        (folder / name).mkdir()
        (folder / name / "config.yaml").write_text(config)
    for name in ("metrics.json", "predictions.parquet"):
        (folder / "old" / name).write_bytes((folder / "one" / name).read_bytes())
    (folder / "other").mkdir()
    (folder / "other" / "config.yaml").write_text("colour: red\n")
    found = {run.name: run for run in listed(folder)}
    assert found["begun"].state == "unfinished" and found["old"].state == "finished" and "other" not in found
    assert found["old"].value("fusion") == "gated" and found["old"].value("optimizer.lr") == 0.001 and found["old"].value("data") == "simulated"


def test_folders_of_a_runs_models_are_no_runs(folder):
    make(folder / "one" / "models" / "inner")
    assert "one/models/inner" not in names(listed(folder))


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["fusion=gated"], ["one", "sweep/2"]),
        (["fusion=concat", "state=finished"], ["sweep/0"]),
        (["fusion=gat*,concat"], ["one", "sweep/0", "sweep/1", "sweep/2"]),
        (["fusion!=gated"], ["sweep/0", "sweep/1"]),
        (["auroc>0.85"], ["sweep/0"]),
        (["left/auroc<=0.75"], ["one"]),
        (["test/left+right/brier<0.15"], ["sweep/0"]),
        (["optimizer.lr=1e-2"], ["sweep/0"]),
        (["auroc.low>=0.75", "seed=0"], ["one", "sweep/0"]),
        (["seeds=null", "data=simulated", "run=sweep/*"], ["sweep/0", "sweep/1", "sweep/2"]),
        (["packages.torch=2.9.0", "minutes=3", "fusion.hidden=8", "state=failed"], ["sweep/2"]),
    ],
)
def test_filters(folder, filters, left):
    assert names(matching(listed(folder), filters)) == left


def test_the_best_comes_first_whichever_way_the_metric_points_and_what_has_none_last(folder):
    runs = listed(folder)
    assert names(in_order(runs, "auroc"))[:2] == ["sweep/0", "one"] == names(in_order(runs, "brier"))[:2]
    assert names(in_order(runs, "auroc", reverse=True))[:2] == ["one", "sweep/0"]
    assert names(in_order(runs, "optimizer.lr"))[-1] == "sweep/0"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--filter", "fusoin=gated"], "fusoin: no run has that; near to it are fusion"),
        (["--filter", "gated"], "must be KEY=VALUE"),
        (["--filter", "auroc>high"], "'high' is not a number"),
        (["--sort", "auruc"], "auruc: no run has that; near to it are auroc"),
        (["--diff", "one", "two"], "two: no run of that name"),
        (["--export", "runs.csv"], "must end in .parquet"),
        (["nowhere"], "nowhere: no such folder"),
    ],
)
def test_a_wrong_word_gets_one_sentence(monkeypatch, capsys, folder, words, says):
    monkeypatch.chdir(folder)
    code, out, err = said(monkeypatch, capsys, *([] if words[0] == "nowhere" else ["."]), *words)
    assert code == 1 and says in err and err.count("\n") == 1 and not out


BROKEN = {
    "metrics that were cut off": ("metrics.json", '{"full": "left", "test": {"left": {"auroc"', "metrics.json is not whole"),
    "metrics that are a list": ("metrics.json", "[]", "metrics.json is not whole, or no JSON"),
    "record that is no JSON": ("provenance.json", "{", "provenance.json is no JSON"),
    "record that is a number": ("provenance.json", "3", "provenance.json is not an object"),
    "bytes": ("metrics.json", b"\xff\xfe\x00", "metrics.json is not whole"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_gets_one_sentence_and_the_others_are_listed(monkeypatch, capsys, folder, case):
    name, text, says = BROKEN[case]
    (folder / "one" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = said(monkeypatch, capsys, folder)
    assert code == 0 and not err and sum(line.startswith(f"one: {says}") for line in out.splitlines()) == 1
    assert "sweep/0" in out and "1 broken" in out


def test_values_stand_with_their_intervals_and_n(monkeypatch, capsys, folder):
    _, out, _ = said(monkeypatch, capsys, folder, "--sort", "auroc", "--filter", "state=finished")
    rows = [line.split() for line in out.splitlines() if "finished" in line]
    assert rows[0][:9] == ["sweep/0", "finished", "simulated", "concat", "0", "40", "0.900", "[0.850,", "0.950]"]
    _, out, _ = said(monkeypatch, capsys, folder, "--columns", "left/auroc", "optimizer.lr", "--filter", "run=one")
    assert "0.700 [0.650, 0.750]" in out and "0.001" in out


def test_json_and_parquet_hold_every_run(monkeypatch, capsys, folder):
    _, out, _ = said(monkeypatch, capsys, folder, "--json")
    found = {run["run"]: run for run in json.loads(out)}
    assert found["one"]["metrics"]["test/left+right/auroc"]["value"] == 0.8 and found["sweep/2"]["problem"] == "ValueError"
    said(monkeypatch, capsys, folder, "--export", folder / "runs.parquet")
    table = pq.read_table(folder / "runs.parquet").to_pydict()
    assert table["run"] == ["one", "sweep/0", "sweep/1", "sweep/2"] and table["config.optimizer.lr"] == [0.001, 0.01, 0.001, 0.001]
    assert table["metric.test/left+right/auroc"][:3] == [0.8, 0.9, None] and table["metric.test/left+right/auroc_n"][0] == 40
    assert table["choice.fusion"] == ["gated", "concat", "concat", "gated"] and table["config.fusion.hidden"] == [8] * 4


def test_a_column_of_several_types_is_exported_as_text(monkeypatch, capsys, tmp_path):
    make(tmp_path / "a", width=3)
    make(tmp_path / "b", width="wide")
    said(monkeypatch, capsys, tmp_path, "--export", tmp_path / "runs.parquet")
    assert pq.read_table(tmp_path / "runs.parquet")["config.width"].to_pylist() == ["3", '"wide"']


def test_two_runs_beside_each_other_show_what_differs(monkeypatch, capsys, folder):
    make(folder / "two", auroc=0.85, lr=0.002, seed=1, record={"packages": {"torch": "2.8.0"}, "data_fingerprint": "other"})
    _, out, _ = said(monkeypatch, capsys, folder, "--diff", "one", "two")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "test/left+right/auroc 0.800 [0.750, 0.850] 0.850 [0.800, 0.900] +0.050" in lines
    assert {"seed: seed 0 1", "config: optimizer.lr 0.001 0.002", "package: torch 2.9.0 2.8.0", "data fingerprint abc other"} <= set(lines)


def test_listing_imports_nothing_heavy(folder):
    code = (
        f"import sys; sys.argv = ['mmdx', 'runs', {str(folder)!r}]\n"
        "from mmdx.cli import main; main()\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("LOADED []"), done.stdout[-300:] + done.stderr[-500:]


def test_two_hundred_runs_with_long_metrics_are_read_in_seconds(tmp_path):
    for number in range(200):
        make(tmp_path / f"{number:03}", padding=10_000)
    started = time.process_time()
    assert len(listed(tmp_path)) == 200
    assert time.process_time() - started < 3
