"""A split is drawn once: its file gives the same folds again, and refuses a cohort that is not the one it was drawn for."""

import sys

import numpy as np
import pandas as pd
import pytest

from mmdx.commands import data_split
from mmdx.data.splits import ByTime, KFold, Nested, Saved
from mmdx.data.splits.split_file import SplitFile, cohort_of, fingerprint
from mmdx.errors import InputError

PARTS = ("train", "val", "test")


def cohort(n=80, patients=40, seed=0):
    rng = np.random.default_rng(seed)
    owners = [f"p{i}" if i else None for i in rng.integers(0, patients, n)]
    table = {"sample_id": [f"s{i:03d}" for i in range(n)], "patient_id": pd.Series(owners, dtype=object), "site": rng.choice(["A", "B"], n)}
    return pd.DataFrame({**table, "target": np.arange(n) % 2, "meta_time": range(n)})


def drawn(split, table, path):
    SplitFile.of(split, table, {"seed": 0}).write(path)
    return Saved(path)


def as_ids(table, folds):
    return [(fold.name, *(frozenset(table["sample_id"].iloc[getattr(fold, part)]) for part in PARTS)) for fold in folds]


@pytest.mark.parametrize("name", ["split.parquet", "split.csv"])
@pytest.mark.parametrize("split", [KFold(3), ByTime(folds=2), Nested(2, 3)], ids=lambda split: type(split).__name__)
def test_the_file_gives_the_folds_that_were_drawn_in_any_order_of_rows(split, name, tmp_path):
    table = cohort()
    saved, shuffled = drawn(split, table, tmp_path / name), table.sample(frac=1, random_state=1)
    expected = split.folds(table)
    assert as_ids(shuffled, saved.folds(shuffled)) == as_ids(table, expected)
    assert all((getattr(a, part) == getattr(b, part)).all() for a, b in zip(saved.folds(table), expected, strict=True) for part in PARTS)
    if isinstance(split, Nested):
        inner = [as_ids(table, one.inner_folds(expected[1], table)) for one in (saved, split)]
        assert inner[0] == inner[1] and len(inner[0]) == 3
    else:
        with pytest.raises(InputError, match="has no inner folds; draw it with split=nested"):
            saved.inner_folds(expected[0], table)


def test_the_fingerprint_is_of_ids_patients_sites_and_targets_alone():
    table = cohort()
    whole = fingerprint(cohort_of(table))
    same = [table.sample(frac=1, random_state=1), table.astype({"target": float}), table.astype({"target": str}), table.drop(columns="meta_time")]
    assert {fingerprint(cohort_of(t)) for t in same} == {whole}
    for name in ("sample_id", "patient_id", "site", "target"):
        other = table.astype({name: object})
        other.loc[3, name] = "another"
        assert fingerprint(cohort_of(other)) != whole
    assert fingerprint(cohort_of(table.iloc[1:])) != whole


def changed(name, *rows, to="other"):
    table = cohort().astype({name: object})
    table.loc[list(rows), name] = to
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.concat([cohort(), cohort().iloc[:2].assign(sample_id=["s081", "s080"])]), r"samples: 2 new \(first 's080'\)"),
        (cohort().drop(index=[5, 9, 11]), r"samples: 3 gone \(first 's005'\); .* set split.subset=true"),
        (changed("patient_id", 4, 7), r"samples: 2 with another patient \(first 's004'\)"),
        (changed("patient_id", 4, to=None), r"samples: 1 with another patient \(first 's004'\)"),
        (changed("target", 6), r"samples: 1 with another label \(first 's006'\)"),
        (changed("site", 2), r"samples: 1 at another site \(first 's002'\)"),
        (cohort().rename(columns={"target": "target_a"}), "was drawn for the labels target, and the data now has target_a"),
    ],
)
def test_a_cohort_that_changed_is_refused(table, words, tmp_path):
    saved = drawn(KFold(3), cohort(), tmp_path / "split.csv")
    with pytest.raises(InputError, match=words):
        saved.folds(table)


def test_a_subset_goes_on_only_where_that_is_said_and_nothing_else_changed(tmp_path):
    table = cohort()
    drawn(Nested(2, 2), table, tmp_path / "split.csv")
    saved, fewer = Saved(tmp_path / "split.csv", subset=True), table.drop(index=[5, 9, 11])
    gone = {"s005", "s009", "s011"}
    for whole, left in zip(as_ids(table, saved.folds(table)), as_ids(fewer, saved.folds(fewer)), strict=True):
        assert [part - gone for part in whole[1:]] == [*left[1:]]
    outer = saved.folds(fewer)[0]
    for fold in saved.inner_folds(outer, fewer):
        assert {*fold.train, *fold.val, *fold.test} == {*outer.train, *outer.val}
    with pytest.raises(InputError, match=r"3 gone \(first 's005'\), 1 with another label \(first 's006'\)"):
        saved.folds(changed("target", 6).drop(index=[5, 9, 11]))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("test,s003", "tset,s003", "does not give each of 80 samples one part"),
        ("test,s003,p", "test,s004,p", "was changed after it was drawn|does not give each of 80 samples one part"),
        ("# mmdx split", "# my split", "is not a file that mmdx data split wrote"),
        ("fold,inner,part", "fold,inner,side", "is not a file that mmdx data split wrote"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused(old, new, words, tmp_path):
    path = tmp_path / "split.csv"
    drawn(KFold(3), cohort(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words):
        Saved(path).folds(cohort())


def test_a_patient_moved_to_two_parts_by_hand_is_refused(tmp_path):
    table, path = cohort(), tmp_path / "split.csv"
    drawn(KFold(3), table, path)
    twice = table["sample_id"][table["patient_id"].duplicated()].iloc[0]
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("fold0,") and f",{twice}," in line)
    part = lines[at].split(",")[2]
    lines[at] = lines[at].replace(f",{part},", ",test," if part != "test" else ",train,")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="split fold0: patient 'p.*' is in .* Put all its rows into one part"):
        Saved(path).folds(table)


@pytest.mark.parametrize(("given", "words"), [(None, "needs split.path=FILE"), ("nowhere.csv", "no such file; draw one with mmdx data split")])
def test_no_file(given, words):
    with pytest.raises(InputError, match=words):
        Saved(given)


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["mmdx data split", *map(str, words)])
    data_split.main()


@pytest.fixture
def manifest(tmp_path):
    table = cohort().assign(note="some words", label=lambda t: t["target"]).drop(columns="target")
    table.to_csv(tmp_path / "cohort.csv", index=False)
    return tmp_path / "cohort.csv"


def test_the_command_writes_the_file_and_tells_rows_patients_sites_and_positives(manifest, tmp_path, monkeypatch, capsys):
    out = tmp_path / "folds.csv"
    command(monkeypatch, manifest, "--out", out, "split=kfold", "split.folds=4", "split.val=0.2")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["fold", "part", "rows", "patients", "sites", "positive"]
    assert [line.split()[:3] for line in lines[1:4]] == [["fold0", "train", "48"], ["fold0", "val", "12"], ["fold0", "test", "20"]]
    assert len(lines) == 1 + 12 + 2 and lines[-1] == f"Use it with split=file split.path={out}"
    assert as_ids(cohort(), Saved(out).folds(cohort())) == as_ids(cohort(), KFold(4, val=0.2).folds(cohort()))
    assert Saved(out).kept.settings["_target_"] == "mmdx.data.splits.KFold" and Saved(out).kept.settings["folds"] == 4


def test_the_command_tells_what_is_in_no_part(manifest, tmp_path, monkeypatch, capsys):
    command(monkeypatch, manifest, "--out", tmp_path / "folds.parquet", "split=by_time")
    assert "by_time left_out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "cohort.csv", "split=kfold"], "--out cohort.csv: is there already, and a split is drawn once"),
        (["--out", "folds.txt"], "--out folds.txt: must end in .parquet or .csv"),
        (["--out", "folds.csv", "split=file", "split.path=folds.csv"], "split.path=folds.csv: no such file"),
        (["--out", "folds.csv", "split=kfold", "split.folds=99"], "split.folds=99: the data has"),
    ],
)
def test_what_the_command_refuses_in_one_sentence(words, told, manifest, monkeypatch, capsys):
    monkeypatch.chdir(manifest.parent)
    with pytest.raises(SystemExit):
        command(monkeypatch, manifest, *words)
    said = capsys.readouterr().err
    assert said.startswith(f"error: {told}") and said.count("\n") == 1 and not (manifest.parent / "folds.csv").exists()
