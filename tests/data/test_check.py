"""Facts about ``mmdx data check``: what is told and how, what is remembered, and what the fingerprints can tell apart."""

import json
import os
import re
import shutil
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_files import good_rows, good_table, note, picture, sound, write_png, write_table, write_wav
from scipy.signal import resample_poly

from mmdx.commands import data_check
from mmdx.commands.data_source import open_source
from mmdx.data import readers
from mmdx.data.checks import read
from mmdx.data.checks.cache import Cache
from mmdx.data.checks.check import check
from mmdx.data.checks.cohort import cohort_of_dataset
from mmdx.data.checks.dicom_profile import REMOVED, REPLACED
from mmdx.data.checks.facts import Facts, codes_of, hexadecimal
from mmdx.data.checks.findings import KINDS, kind_of_fault
from mmdx.data.checks.fingerprints import image_code, sound_codes
from mmdx.data.checks.near import IMAGE_BITS, close_codes, near_pairs
from mmdx.data.checks.personal import PATTERNS, patterns_in
from mmdx.data.raw import Recording
from mmdx.data.tables import build_table
from mmdx.errors import InputError, SampleError
from mmdx.types import Sample

pytest.importorskip("imagehash")
pytest.importorskip("datasketch")


@pytest.fixture
def sounds(tmp_path):
    """Six good sounds, one that is silent, one that is not there; two rows of one patient in both splits."""
    rows = good_rows("wav")
    for seed, row in enumerate(rows):
        write_wav(tmp_path / row["file"], seed)
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000), 2000)
    rows += [
        {"sample_id": "a", "patient_id": "pa", "split": "train", "file": "silent.wav", "label": "1"},
        {"sample_id": "b", "patient_id": "p1", "split": "test", "file": "gone.wav", "label": "0"},
    ]
    return write_table(tmp_path / "m.csv", rows)


def command(monkeypatch, capsys, *words):
    """Exit code, output and error output of the command."""
    monkeypatch.setattr(sys, "argv", ["mmdx data check", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        data_check.main()
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_json_is_the_list_and_nothing_else(sounds, tmp_path, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, sounds, "--json", "--cache", tmp_path / "cache")
    found = json.loads(out)
    assert code == 1 and [(f["file"], f["row"], f["kind"], f["severity"]) for f in found] == [
        ("silent.wav", 7, "silent", "error"),
        ("gone.wav", 8, "missing", "error"),
        ("m.csv", 8, "patient_in_two_splits", "error"),
    ]
    assert all(set(f) == {"file", "row", "kind", "severity", "message"} and f["kind"] in KINDS for f in found)
    assert "patient 'p1' is in train (row 2) and test (row 8)" in found[2]["message"]
    assert "column file: file (audio)" in err and "[" not in err


def test_the_table_counts_kinds_and_shows_as_many_as_asked(sounds, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, sounds, "--no-cache", "--show", "2")
    assert code == 1 and "8 rows: 3 errors, 0 warnings." in out and "... and 1 more" in out
    assert "m.csv, row 7: audio file 'silent.wav' is silent: every sample is 0." in out and "gone.wav" in out


def test_warnings_leave_the_exit_code_at_0(tmp_path, monkeypatch, capsys):
    rows = good_table()
    rows[2]["age"] = "130"
    code, out, _ = command(monkeypatch, capsys, write_table(tmp_path / "m.csv", rows), "--json", "--no-cache")
    assert code == 0 and [f["severity"] for f in json.loads(out)] == ["warning"]


def test_overrides_take_the_place_of_what_is_inferred(sounds, monkeypatch, capsys):
    sounds.write_text(sounds.read_text().replace("label", "diagnosis"))
    code, out, _ = command(monkeypatch, capsys, sounds, "--json", "--no-cache")
    assert code == 1 and [f["kind"] for f in json.loads(out)] == ["table"]
    spec = "data.modalities={audio: {column: file, kind: audio, expected_rate: 4000}}"
    code, out, _ = command(monkeypatch, capsys, sounds, "data.target=diagnosis", spec, "--json", "--no-cache")
    assert code == 1 and Counter(f["kind"] for f in json.loads(out)) == {"rate": 7, "missing": 1, "patient_in_two_splits": 1}
    code, out, _ = command(monkeypatch, capsys, "data=manifest", f"data.path={sounds}", "data.target=diagnosis", "data.split=null", "--no-cache")
    assert code == 1 and "2 errors" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no.csv"], "error: SOURCE=no.csv: no such file. Give a CSV or Parquet manifest, or overrides"),
        (["data=covid_cxr"], "error: data."),
        (["data=covid_cxr", "data.root=/nowhere"], "error: data.root=/nowhere: no such folder"),
        (["data=nosuch"], "error: SOURCE: "),
        (["data=physionet2016", "data.rood=x"], "error: SOURCE: "),
    ],
)
def test_what_is_typed_wrong_is_one_sentence_and_no_finding(monkeypatch, capsys, words, sentence):
    code, out, err = command(monkeypatch, capsys, *words)
    assert code == 1 and out == "" and err.startswith(sentence) and err.count("\n") == 1


def test_everything_wrong_with_a_row_is_told_at_once(tmp_path):
    write_png(tmp_path / "x.png", 0)
    (tmp_path / "empty.png").write_bytes(b"")
    rows = ["1,a,train,x.png,1", "2,b,train,empty.png;gone.png;../out.png,0", "2,c,tst,gone.png,"]
    (tmp_path / "m.csv").write_text("\n".join(["sample_id,patient_id,split,image,label", *rows]) + "\n")
    found = check(open_source([str(tmp_path / "m.csv")]), 1)
    assert Counter((f.row, f.kind) for f in found) == Counter(
        [(2, "empty"), (2, "missing"), (2, "outside"), (3, "duplicate_id"), (3, "missing"), (3, "label")]
    )


def test_one_image_where_a_volume_is_asked_for(tmp_path):
    rows = good_rows("png")
    for seed, row in enumerate(rows):
        write_png(tmp_path / row["file"], seed)
    words = [str(write_table(tmp_path / "m.csv", rows)), "data.modalities={scan: {column: file, kind: volume}}"]
    assert Counter(f.kind for f in check(open_source(words), 1)) == {"shape": 6}


def test_two_processes_find_what_one_finds(sounds):
    cohort = open_source([str(sounds)])
    assert check(cohort, 2) == check(cohort, 1)


def crashing(path, place):
    if path.name == "g3.wav":
        os._exit(1)
    return Recording(sound(1), 2000)


def test_a_decoder_that_crashes_takes_no_other_file_with_it(sounds):
    cohort = open_source([str(sounds)])
    cohort.readers = {"audio": crashing}
    found = check(cohort, 2)
    assert [(f.file, f.kind) for f in found if "crash" in f.message] == [("g3.wav", "unreadable")]
    assert not any(f.kind == "unreadable" for f in found if f.file != "g3.wav")


def aged(path, seconds=100):
    """Set a file's time back, so that it is long written."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_did_not_change_is_not_read_again(sounds, tmp_path, monkeypatch):
    for path in tmp_path.glob("*.wav"):
        aged(path)
    cache = Cache(tmp_path / "cache")
    first = check(open_source([str(sounds)]), 1, cache)
    examined = []
    whole = read.examine
    monkeypatch.setattr(read, "examine", lambda task, kinds: examined.append(Path(task.path).name) or whole(task, kinds))
    monkeypatch.setattr(read, "digest_of", lambda path: examined.append("hashed") or "")
    assert check(open_source([str(sounds)]), 1, cache) == first and examined == []
    monkeypatch.undo()
    monkeypatch.setattr(read, "examine", lambda task, kinds: examined.append(Path(task.path).name) or whole(task, kinds))
    (tmp_path / "g0.wav").touch()  # another time and the same bytes: hashed, and not examined
    soundfile.write(tmp_path / "g1.wav", np.zeros(12000), 2000)
    examined.clear()
    again = check(open_source([str(sounds)]), 1, cache)
    assert examined == ["g1.wav"] and {*again} - {*first} == {f for f in again if f.file == "g1.wav"}


def test_a_file_that_changed_within_the_same_tick_of_the_clock_is_noticed(sounds, tmp_path):
    cache = Cache(tmp_path / "cache")
    check(open_source([str(sounds)]), 1, cache)
    stamp = (tmp_path / "g1.wav").stat()
    soundfile.write(tmp_path / "g1.wav", np.zeros(12000), 2000)
    os.utime(tmp_path / "g1.wav", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert (tmp_path / "g1.wav").stat().st_size == stamp.st_size
    assert ("g1.wav", "silent") in {(f.file, f.kind) for f in check(open_source([str(sounds)]), 1, cache)}


def test_a_damaged_cache_is_made_anew_and_one_that_cannot_be_written_is_left_aside(sounds, tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "checks.sqlite").write_bytes(b"no database" * 100)
    command(monkeypatch, capsys, sounds, "--json", "--cache", tmp_path / "cache")
    with sqlite3.connect(tmp_path / "cache" / "checks.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM facts").fetchone()[0] >= 7
    (tmp_path / "file").write_text("")
    code, out, err = command(monkeypatch, capsys, sounds, "--json", "--cache", tmp_path / "file" / "cache")
    assert code == 1 and len(json.loads(out)) == 3 and "cannot be used" in err and "every file is read anew" in err


class Visits:
    """A data set of another program: only what the contract asks for."""

    modalities = ("image", "text")

    def __init__(self):
        self.faults = [SampleError("list, row 9: label is empty.", sample_id="v9", file="list", row=9)]
        splits = ["train", "train", "test", "test"]
        self.table = build_table({"sample_id": list("abcd"), "patient_id": list("PQRR"), "site": [None] * 4, "target": [0, 1, 0, 1], "split": splits})

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1:
            raise SampleError("the picture of 'b' is constant: every pixel is 0.", sample_id="b")
        image = (picture(0 if index == 2 else index) * 255).astype(np.uint8)
        return Sample({"image": image, "text": f"{note(index)} jane.doe@example.org"}, index % 2)


def test_any_data_set_can_be_checked_and_is_named_by_its_samples():
    found = check(cohort_of_dataset(Visits(), "visits", ""), 1)
    assert {(f.file, f.row, f.kind) for f in found} == {
        ("list", 9, "label"),
        ("b", None, "constant"),
        ("c", None, "duplicate_across_splits"),
        ("a", None, "personal"),
        ("c", None, "personal"),
        ("d", None, "personal"),
    }


def test_a_template_is_told_once(tmp_path):
    rows = good_table()
    for row in rows[2:6]:
        row["note"] = note(0)
    [found] = check(open_source([str(write_table(tmp_path / "m.csv", rows))]), 1)
    assert found.kind == "duplicate_across_splits" and found.severity == "warning"
    assert "the same text for 5 patients: row 1, row 3, row 4, row 5, row 6" in found.message


def test_a_patients_own_note_and_short_ones_may_repeat(tmp_path):
    rows = good_table(5)
    for row in rows:
        row["patient_id"] = "p"
        row["note"] = note(0)
    assert check(open_source([str(write_table(tmp_path / "m.csv", rows))]), 1) == []
    rows = good_table()
    for row in rows:
        row["note"] = "Cough and fever since Monday."
    assert check(open_source([str(write_table(tmp_path / "m.csv", rows))]), 1) == []


def test_what_is_personal_is_never_repeated(tmp_path, monkeypatch, capsys):
    rows = good_table()
    rows[3]["note"] += " Mail jane.doe@example.org, call +49 30 1234567, MRN 00482913, born 3 May 1950."
    path = write_table(tmp_path / "m.csv", rows)
    for words in (["--json"], []):
        _, out, err = command(monkeypatch, capsys, path, "--cache", tmp_path / "cache", *words)
        for secret in ("jane", "1234567", "00482913", "1950"):
            assert secret not in out + err
        assert "e-mail address, phone number, record number, date" in out
    assert b"jane" not in (tmp_path / "cache" / "checks.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("reach me at a.b-c@uni-x.ac.uk", ["e-mail address"]),
        ("tel. 030/1234567", ["phone number"]),
        ("+1 555 010 4477", ["phone number"]),
        ("555-010-4477", ["phone number"]),
        ("hospital number: AB-104477", ["record number"]),
        ("SSN 078-05-1120", ["social security number"]),
        ("on 03/14/2019 and 14.3.2019", ["date"]),
        ("14 March 2019", ["date"]),
        ("on the 2nd of Feb.", ["date"]),
        ("January 25, 2020", ["date"]),
        ("in March 2020, aged 61 years, day 12 of illness", []),
        ("BP 120/80, SpO2 88-92 %, T 38.5, pH 7.35, 12/15 points, C3-4, L4/5", []),
        ("decreased 10 mm, marked 2 cm, septal 5, august 60 of them, may 2 or 3", []),
        ("WBC 4500-11000/uL, 1.2 x 10.5 cm, ratio 100-200-300", []),
        ("case 12 of 20, patient 4, record 3, accession", []),
    ],
)
def test_patterns_of_personal_data(text, names):
    assert [name for name, pattern in PATTERNS.items() if pattern.search(text)] == names and set(names) <= set(patterns_in(text))


def test_the_profile_names_attributes_that_dicom_has():
    datadict = pytest.importorskip("pydicom.datadict")
    assert all(datadict.tag_for_keyword(keyword) for keyword in REMOVED | REPLACED)
    assert not REMOVED & REPLACED and {"PatientName", "PatientID", "StudyDate"} <= REPLACED and {"PatientAddress", "InstitutionName"} <= REMOVED


def test_each_sentence_of_the_readers_has_its_kind():
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(readers.__file__).parent.glob("*.py"))]
    found = [text for source in sources for text in re.findall(r'fault\(f?"([^\n]*?)"[),]', source)]
    sentences = [re.sub(r"\{[^{}]*\}", "x", text) for text in found]
    assert len(sentences) >= 60
    for sentence in sentences:
        if sentence not in ("x x", "is x"):  # any problem behind a name; its states are told apart below
            assert kind_of_fault(f"image file 'x' {sentence}") != "row", sentence


def errors(a, b):
    count = min(len(a), len(b))
    return float(np.bitwise_count(a[:count] ^ b[:count]).mean() / 32)


def test_a_sounds_codes_do_not_depend_on_gain_and_rate_and_differ_between_sounds():
    one = sound(0)
    codes = sound_codes(one, 2000)
    assert len(codes) == (len(one) - 800) // 40 + 1 - 5 and codes.dtype == np.uint32
    assert errors(codes, sound_codes(0.1 * one, 2000)) < 0.001
    assert errors(codes, sound_codes(resample_poly(one, 4, 1), 8000)) < 0.02
    assert abs(errors(codes, sound_codes(sound(1), 2000)) - 0.5) < 0.06
    assert errors(codes[5:], sound_codes(one[200:], 2000)) == 0  # 5 frames of 40 samples later


def test_the_search_for_like_images_misses_none_that_a_comparison_of_all_finds():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 256), dtype=np.uint8)
    for place in range(1, 300, 2):  # every second one is its forerunner with 0 to 40 bits turned
        bits[place] = bits[place - 1]
        bits[place, rng.choice(256, rng.integers(0, 41), replace=False)] ^= 1
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(int(a), int(b)) for a, b in np.argwhere(np.triu(distance <= IMAGE_BITS, 1))}
    assert close_codes(np.packbits(bits, axis=1).view(np.uint64)) == expected and len(expected) > 80


def test_images_of_one_layout_are_no_near_duplicates():
    common, noise = 200 * picture(99, (120, 120)), np.random.default_rng(0).normal(size=(120, 120))
    facts = []
    for seed in range(40):
        facts.append(Facts(kind="image", fingerprint=hexadecimal(image_code(common + 15 * picture(seed, (120, 120))))))
    codes = np.stack([codes_of(one.fingerprint, np.uint8)[:32] for one in facts])
    assert len(close_codes(np.ascontiguousarray(codes).view(np.uint64))) > 10  # their hashes alone would say so
    assert list(near_pairs(facts)) == []
    facts.append(Facts(kind="image", fingerprint=hexadecimal(image_code(0.8 * (common + 15 * picture(3, (120, 120))) + noise))))
    assert list(near_pairs(facts)) == [(3, 40)]


def test_codes_are_written_and_read_the_same():
    codes = np.random.default_rng(0).integers(0, 2**32, 50, dtype=np.uint32)
    np.testing.assert_array_equal(codes_of(hexadecimal(codes), np.uint32), codes)


def test_a_missing_package_is_named_with_how_to_get_it(sounds, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InputError, match=r"checking text for near duplicates needs datasketch: pip install 'mmdx\[checks\]'"):
        check(open_source([str(write_table(tmp_path / "t.csv", good_table()))]), 1)
    assert len(check(open_source([str(sounds)]), 1)) == 3  # and is not asked for where there is no text


SETS = {
    "physionet2016": ("physionet2016", {"near_duplicate": 2, "clipped": 1}),
    "covid_cxr": ("covid-cxr", {"duplicate": 5, "personal": 3}),
    "openi_reports": ("openi-reports", {}),
}


@pytest.mark.parametrize(("name", "folder", "kinds"), [(name, *rest) for name, rest in SETS.items()])
def test_the_public_sets_have_no_error_and_only_true_warnings(tmp_path, name, folder, kinds):
    if not os.environ.get("MMDX_DATA"):
        pytest.skip("MMDX_DATA is not set: the folder with physionet2016, covid-cxr and openi-reports")
    found = check(open_source([f"data={name}", f"data.root={Path(os.environ['MMDX_DATA']) / folder}"]))
    assert Counter(f.kind for f in found) == kinds and {f.severity for f in found} <= {"warning"}


def test_the_real_recordings_that_are_one_are_found_when_one_is_cut(tmp_path):
    if not os.environ.get("MMDX_DATA"):
        pytest.skip("MMDX_DATA is not set: the folder with physionet2016")
    real = sorted((Path(os.environ["MMDX_DATA"]) / "physionet2016" / "training-f").glob("*.wav"))[:12]
    rows = []
    for number, path in enumerate(real):
        shutil.copy(path, tmp_path)
        rows.append({"sample_id": path.stem, "patient_id": path.stem, "file": path.name, "label": str(number % 2)})
    data, rate = soundfile.read(real[5])
    soundfile.write(tmp_path / "part.ogg", 0.7 * data[3 * rate + 117 : 11 * rate], rate)
    rows.append({"sample_id": "part", "patient_id": "part", "file": "part.ogg", "label": "1"})
    found = check(open_source([str(write_table(tmp_path / "m.csv", rows))]), 1)
    assert [(f.file, f.kind) for f in found] == [("part.ogg", "near_duplicate_across_patients")] and real[5].name in found[0].message
