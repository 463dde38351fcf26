"""Faults planted one at a time in good files and tables: each is found and named with file and kind, and the good ones raise nothing."""

import shutil

import numpy as np
import pytest
import soundfile
from made_files import WRITERS, good_rows, good_table, grainy, holed, note, picture, sound, without_pixels, write_dicom, write_nifti, write_table
from PIL import Image

from mmdx.commands.data_source import open_source
from mmdx.data.checks.check import check
from mmdx.data.checks.findings import KINDS

pytest.importorskip("imagehash")
pytest.importorskip("datasketch")


@pytest.fixture(scope="session")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for suffix, write in WRITERS.items():
        for row, seed in zip(good_rows(suffix), range(6), strict=True):
            write(folder / row["file"], seed)
    return folder


def findings(path):
    return check(open_source([str(path)]), workers=1)


def bad_row(suffix, **cells):
    return {"sample_id": "bad", "patient_id": "pbad", "split": "train", "file": f"bad.{suffix}", "label": "1"} | cells


@pytest.mark.parametrize("suffix", [*WRITERS])
def test_good_files_raise_nothing(good_files, suffix):
    assert findings(write_table(good_files / f"{suffix}.csv", good_rows(suffix))) == []


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_good_table_raises_nothing(tmp_path, name):
    assert findings(write_table(tmp_path / name, good_table())) == []


def cut(share):
    def damage(bad, good):
        data = good.read_bytes()
        bad.write_bytes(data[: int(len(data) * share)])

    return damage


def other_type(bad, good):
    bad.write_bytes(b"this is neither sound nor image, whatever its name may say")


def no_bytes(bad, good):
    bad.write_bytes(b"")


def gone(bad, good):
    pass


def a_folder(bad, good):
    bad.mkdir()


def copy(bad, good):
    shutil.copy(good, bad)


def flipped_bytes(bad, good):
    data = bytearray(good.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(255 - byte for byte in data[middle : middle + 400])
    bad.write_bytes(data)


def pixels(values, **options):
    return lambda bad, good: Image.fromarray(values()).save(bad, **options)


def samples(make, rate=2000, **options):
    return lambda bad, good: soundfile.write(bad, make(), rate, **options)


def grey(seed):
    return (picture(seed) * 250).astype(np.uint8)


def burnt():
    return np.clip(picture(9) * 900 - 200, 0, 255).astype(np.uint8)


def colour():
    return np.stack([grey(9), grey(10), grey(11)], axis=2)


def again(size=None, gain=1.0):
    """A good file's pattern, smaller, larger or darker."""

    def damage(bad, good):
        with Image.open(good) as image:
            changed = image.resize(size) if size else image
            Image.fromarray((np.asarray(changed) * gain).astype(np.uint8)).save(bad)

    return damage


def turned(bad, good):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey(9)).save(bad, exif=exif)


def located(bad, good):
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    Image.fromarray(grey(9)).save(bad, exif=exif)


def two_channels(second):
    return lambda: np.stack([sound(9), second(sound(10))], axis=1)


def listened_again(start=0, stop=None, gain=1.0, rate=None, noise=0.0):
    """A good sound cut at either end, louder, at another rate, or with noise."""

    def damage(bad, good):
        data, old = soundfile.read(good)
        data = data[start:stop] * gain + noise * np.random.default_rng(0).normal(size=len(data[start:stop]))
        if rate:
            from scipy.signal import resample_poly

            data = resample_poly(data, rate, old)
        soundfile.write(bad, data, rate or old)

    return damage


def words(text, encoding="utf-8"):
    return lambda bad, good: bad.write_bytes(text.encode(encoding))


def said(addition):
    return words(f"{note(9)} {addition} {note(10)}")


def nearly_said(bad, good):
    bad.write_text(good.read_text().replace(".", " indeed."))


def tagged(**attributes):
    return lambda bad, good: write_dicom(bad, 9, **attributes)


def nested(bad, good):
    from pydicom.dataset import Dataset

    inner = Dataset()
    inner.ScheduledPerformingPhysicianName = "Doe^Jane"
    write_dicom(bad, 9, RequestAttributesSequence=[inner])


def declared(bad, good):
    write_dicom(bad, 9, PatientIdentityRemoved="YES", PatientID="case-1", InstitutionName="St. Elsewhere")


def volume(**changes):
    return lambda bad, good: write_nifti(bad, 9, **changes)


PICTURES = {
    "cut in half": (cut(0.5), "truncated"),
    "another type": (other_type, "unreadable"),
    "no bytes": (no_bytes, "empty"),
    "not there": (gone, "missing"),
    "one value": (pixels(lambda: np.full((96, 80), 90, np.uint8)), "constant"),
    "saturated": (pixels(burnt), "clipped"),
    "tiny": (pixels(lambda: (picture(9, (12, 10)) * 250).astype(np.uint8)), "size"),
    "huge": (pixels(lambda: (picture(9, (600, 500)) * 250).astype(np.uint8)), "size"),
    "in colour": (pixels(colour), "mode"),
    "turned": (turned, "orientation"),
    "a copy": (copy, "duplicate_across_patients"),
    "a smaller copy": (again((60, 72)), "near_duplicate_across_patients"),
    "a darker copy": (again(gain=0.7), "near_duplicate_across_patients"),
}
FILES = [(suffix, name, *fault) for suffix in ("png", "jpg", "tif") for name, fault in PICTURES.items()]
FILES += [
    *((suffix, "cut in the header", cut(0.01), "truncated") for suffix in ("png", "jpg")),
    ("tif", "cut in the header", cut(0.01), "unreadable"),
    ("png", "16 bit", pixels(lambda: (picture(9) * 60000).astype(np.uint16)), "mode"),
    ("png", "a folder", a_folder, "unreadable"),
    ("jpg", "where it was taken", located, "personal"),
    ("tif", "not a number", pixels(lambda: np.where(picture(9) > 0.99, np.nan, picture(9)).astype(np.float32)), "not_finite"),
    ("dcm", "cut in half", cut(0.5), "truncated"),
    ("dcm", "cut in the header", cut(0.01), "unreadable"),
    ("dcm", "another type", other_type, "unreadable"),
    ("dcm", "no bytes", no_bytes, "empty"),
    ("dcm", "not there", gone, "missing"),
    ("dcm", "without pixels", without_pixels, "unreadable"),
    ("dcm", "one value", tagged(pixels=np.full((96, 80), 7, np.uint16)), "constant"),
    ("dcm", "inverted", tagged(PhotometricInterpretation="MONOCHROME1"), "mode"),
    ("dcm", "a name", tagged(PatientName="Doe^Jane"), "personal"),
    ("dcm", "a day of birth", tagged(PatientBirthDate="19500203"), "personal"),
    ("dcm", "a place", tagged(InstitutionName="St. Elsewhere"), "personal"),
    ("dcm", "a name in a sequence", nested, "personal"),
    ("dcm", "declared clean, and a place", declared, "personal"),
    ("dcm", "a copy", copy, "duplicate_across_patients"),
    ("dcm", "a grainy copy", grainy, "near_duplicate_across_patients"),
    ("nii", "cut", cut(0.8), "truncated"),
    ("nii.gz", "cut", cut(0.8), "truncated"),
    ("nii", "another type", other_type, "unreadable"),
    ("nii.gz", "another type", other_type, "unreadable"),
    ("nii.gz", "no bytes", no_bytes, "empty"),
    ("nii.gz", "not there", gone, "missing"),
    ("nii", "not a number", volume(volume=holed(np.nan)), "not_finite"),
    ("nii.gz", "infinite", volume(volume=holed(np.inf)), "not_finite"),
    ("nii", "one value", volume(volume=np.ones((24, 20, 8), np.float32)), "constant"),
    ("nii", "four axes", volume(volume=np.random.default_rng(0).normal(size=(8, 8, 4, 3)).astype(np.float32)), "unreadable"),
    ("nii", "other axes", volume(affine=np.diag([-1.0, -1, 1, 1])), "orientation"),
    ("nii.gz", "axes not stated", volume(coded=False), "orientation"),
    ("nii", "a copy", copy, "duplicate_across_patients"),
    ("wav", "cut in the header", cut(0.001), "unreadable"),
    ("wav", "cut in half", cut(0.5), "truncated"),
    ("wav", "another type", other_type, "unreadable"),
    ("wav", "no bytes", no_bytes, "empty"),
    ("wav", "no samples", samples(lambda: np.zeros(0)), "empty"),
    ("wav", "not there", gone, "missing"),
    ("wav", "silent", samples(lambda: np.zeros(9000)), "silent"),
    ("wav", "mostly silent", samples(lambda: np.where(np.arange(12000) < 8000, 0, sound(9))), "silent"),
    ("wav", "faint", samples(lambda: sound(9) * 5e-4, subtype="PCM_24"), "silent"),
    ("wav", "one value", samples(lambda: np.full(9000, 0.25)), "constant"),
    ("wav", "not a number", samples(lambda: np.r_[sound(9), np.nan], subtype="FLOAT"), "not_finite"),
    ("wav", "infinite", samples(lambda: np.r_[sound(9), np.inf], subtype="FLOAT"), "not_finite"),
    ("wav", "clipped", samples(lambda: np.clip(sound(9) * 4, -1, 1)), "clipped"),
    ("wav", "clipped below full scale", samples(lambda: np.clip(sound(9), -0.1, 0.1)), "clipped"),
    ("wav", "another rate", samples(lambda: sound(9, 4000), rate=4000), "rate"),
    ("wav", "two channels", samples(two_channels(lambda s: s)), "channels"),
    ("wav", "a dead channel", samples(two_channels(np.zeros_like)), "silent"),
    ("wav", "short", samples(lambda: sound(9)[:800]), "size"),
    ("wav", "a copy", copy, "duplicate_across_patients"),
    ("wav", "a louder copy", listened_again(gain=1.2), "near_duplicate_across_patients"),
    ("wav", "a copy cut at both ends", listened_again(1511, -1203), "near_duplicate_across_patients"),
    ("wav", "a copy at another rate", listened_again(rate=8000), "near_duplicate_across_patients"),
    ("wav", "a noisy copy", listened_again(noise=0.01), "near_duplicate_across_patients"),
    ("flac", "cut in half", cut(0.5), "unreadable"),
    ("flac", "flipped bytes", flipped_bytes, "unreadable"),
    ("flac", "no bytes", no_bytes, "empty"),
    ("flac", "not there", gone, "missing"),
    ("flac", "silent", samples(lambda: np.zeros(9000)), "silent"),
    ("flac", "clipped", samples(lambda: np.clip(sound(9) * 4, -1, 1)), "clipped"),
    ("flac", "a copy", copy, "duplicate_across_patients"),
    ("ogg", "cut in half", cut(0.5), "truncated"),
    ("ogg", "cut by a little", cut(0.99), "truncated"),
    ("ogg", "another type", other_type, "unreadable"),
    ("ogg", "no bytes", no_bytes, "empty"),
    ("ogg", "not there", gone, "missing"),
    ("ogg", "silent", samples(lambda: np.zeros(16000), rate=8000), "silent"),
    ("ogg", "encoded again", listened_again(gain=0.9), "near_duplicate_across_patients"),
    ("txt", "no bytes", no_bytes, "empty"),
    ("txt", "blank", words(" \n\n"), "empty"),
    ("txt", "not there", gone, "missing"),
    ("txt", "Latin-1", words(note(9) + " Hustén", "latin-1"), "encoding"),
    ("txt", "UTF-16", words("\ufeff" + note(9), "utf-16-le"), "encoding"),
    ("txt", "a byte order mark", words(note(9), "utf-8-sig"), "encoding"),
    ("txt", "mangled before", words(note(9) + " Hustén".encode().decode("latin-1")), "encoding"),
    ("txt", "zero bytes", words(note(9) + "\0\0"), "encoding"),
    ("txt", "an e-mail address", said("write to jane.doe@example.org"), "personal"),
    ("txt", "a phone number", said("call (555) 010-4477"), "personal"),
    ("txt", "a record number", said("MRN: 00482913"), "personal"),
    ("txt", "a day", said("seen on March 14, 2019"), "personal"),
    ("txt", "a day in figures", said("seen on 2019-03-14"), "personal"),
    ("txt", "a social security number", said("078-05-1120"), "personal"),
    ("txt", "a copy", copy, "duplicate_across_patients"),
    ("txt", "nearly a copy", nearly_said, "near_duplicate_across_patients"),
]


@pytest.mark.parametrize(("suffix", "damage", "kind"), [pytest.param(s, d, k, id=f"{s}: {n}") for s, n, d, k in FILES])
def test_a_fault_of_a_file_is_found_and_named(good_files, tmp_path, suffix, damage, kind):
    for row in good_rows(suffix):
        shutil.copy(good_files / row["file"], tmp_path)
    damage(tmp_path / f"bad.{suffix}", tmp_path / f"g0.{suffix}")
    found = findings(write_table(tmp_path / "m.csv", [*good_rows(suffix), bad_row(suffix)]))
    assert [(f.file, f.row, f.kind) for f in found if f.kind == kind] == [(f"bad.{suffix}", 7, kind)], found
    assert {f.file for f in found} == {f"bad.{suffix}"}  # and nothing is said of the good ones


@pytest.mark.parametrize(
    ("cells", "kind", "severity"),
    [
        ({"split": "test"}, "duplicate_across_splits", "error"),
        ({}, "duplicate_across_patients", "error"),
        ({"patient_id": "p0"}, "duplicate_with_other_label", "error"),
        ({"patient_id": "p0", "label": "0"}, "duplicate", "warning"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "wav"])
def test_what_a_copy_stands_for_decides_how_serious_it_is(good_files, tmp_path, suffix, cells, kind, severity):
    for row in good_rows(suffix):
        shutil.copy(good_files / row["file"], tmp_path)
    shutil.copy(tmp_path / f"g0.{suffix}", tmp_path / f"bad.{suffix}")
    [found] = findings(write_table(tmp_path / "m.csv", [*good_rows(suffix), bad_row(suffix, **cells)]))
    assert (found.file, found.row, found.kind, found.severity) == (f"bad.{suffix}", 7, kind, severity)


def changed(row, **cells):
    rows = good_table()
    rows[row] = rows[row] | cells
    return rows


ROWS = {
    "an id twice": (changed(7, sample_id="s2"), "duplicate_id"),
    "no id": (changed(7, sample_id=""), "id"),
    "no label": (changed(7, label=""), "label"),
    "an unknown split": (changed(7, split="tset"), "split"),
    "a patient in two splits": (changed(7, patient_id="p0"), "patient_in_two_splits"),
    "an age too high": (changed(7, age="190"), "age"),
    "an age below 0": (changed(7, age="-3"), "age"),
    "an age that is none": (changed(7, age="forty"), "age"),
    "a day to come": (changed(7, study_date="2150-01-01"), "date"),
    "a day long ago": (changed(7, birth_date="1805-01-01"), "date"),
    "a day that is none": (changed(7, study_date="2015-13-45"), "date"),
    "born after the study": (changed(7, birth_date="2016-01-01"), "date"),
    "an infinite value": (changed(7, crp="inf"), "not_finite"),
    "an e-mail address": (changed(7, note=f"{note(20)} jane.doe@example.org"), "personal"),
    "a mangled note": (changed(7, note=f"{note(20)} Husté".encode().decode("latin-1")), "encoding"),
    "the note of another": (changed(7, note=note(0)), "duplicate_across_splits"),
    "no modality": (changed(7, note="", age="", crp="", birth_date="", study_date=""), "no_modality"),
}


@pytest.mark.parametrize(("rows", "kind"), [*ROWS.values()], ids=[*ROWS])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_fault_of_a_row_is_found_and_named(tmp_path, suffix, rows, kind):
    found = findings(write_table(tmp_path / f"m.{suffix}", rows))
    assert [(f.file, f.row, f.kind) for f in found] == [(f"m.{suffix}", 8, kind)], found


def ragged(path):
    write_table(path, good_table())
    path.write_text(path.read_text() + "s9,p9,train,a, b, c, d,1,1,1,1,1,1\n")


def double_column(path):
    write_table(path, good_table())
    path.write_text(path.read_text().replace("study_date", "birth_date", 1))


def latin(path):
    write_table(path, changed(3, note=note(20) + " Hustén"), "latin-1")


TABLES = {
    "one class": (lambda path: write_table(path, [row | {"label": "1"} for row in good_table()]), "m.csv", "classes"),
    "a row too long": (ragged, "m.csv", "table"),
    "a column twice": (double_column, "m.csv", "table"),
    "Latin-1": (latin, "m.csv", "table"),
    "no bytes": (lambda path: path.write_text(""), "m.csv", "table"),
    "no rows": (lambda path: path.write_text("sample_id,note,label\n"), "m.csv", "table"),
    "no id column": (lambda path: path.write_text("id,note,label\n1,a b c,1\n2,a b d,0\n"), "m.csv", "table"),
    "no label column": (lambda path: path.write_text("sample_id,note\n1,a b c\n2,a b d\n"), "m.csv", "table"),
    "damaged": (lambda path: path.write_bytes(b"PAR1 and nothing more PAR1"), "m.parquet", "table"),
    "cut": (lambda path: cut(0.7)(path, write_table(path.with_name("g.parquet"), good_table())), "m.parquet", "table"),
    "one class, columnar": (lambda path: write_table(path, [row | {"label": "1"} for row in good_table()]), "m.parquet", "classes"),
}


@pytest.mark.parametrize(("damage", "name", "kind"), [*TABLES.values()], ids=[*TABLES])
def test_a_fault_of_a_table_is_found_and_named(tmp_path, damage, name, kind):
    damage(tmp_path / name)
    [found] = findings(tmp_path / name)
    assert (found.file, found.row, found.kind, found.severity) == (name, None, kind, "error")


def test_there_are_many_faults_of_every_format_and_every_kind_of_finding():
    planted = [suffix for suffix, *_ in FILES] + ["csv", "parquet"] * len(ROWS) + [name.split(".")[1] for _, name, _ in TABLES.values()]
    assert len(planted) >= 60 and {*planted} == {*WRITERS, "csv", "parquet"}
    kinds = {kind for *_, kind in FILES} | {kind for _, kind in ROWS.values()} | {kind for *_, kind in TABLES.values()}
    elsewhere = {kind for kind in KINDS if kind.startswith(("duplicate", "near_duplicate"))} | {"outside", "shape", "row"}
    assert kinds | elsewhere == {*KINDS}
