"""Faults planted one at a time in good files and tables: each is found and named with file and kind, and the good ones raise nothing."""

import shutil

import numpy as np
import pytest
import soundfile
from made_files import (
    WRITERS,
    frames,
    good_rows,
    good_table,
    grainy,
    holed,
    note,
    picture,
    sound,
    without_pixels,
    write_dicom,
    write_frames,
    write_nifti,
    write_record,
    write_rle,
    write_series,
    write_table,
)
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


def findings(path, *overrides):
    return check(open_source([str(path), *overrides]), workers=1)


def copy_good(good_files, folder, suffix):
    """The good files of a suffix, and what belongs to them."""
    for row in good_rows(suffix):
        shutil.copy(good_files / row["file"], folder)
        if suffix == "hea":
            shutil.copy(good_files / row["file"].replace(".hea", ".dat"), folder)


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


def unspaced(bad, good):
    """A NIfTI file that states no spacing: of 0 in its header, and by no matrix."""
    data = bytearray(good.read_bytes())
    data[80:92], data[252:256] = bytes(12), b"\1\0\0\0"  # pixdim, qform and sform code
    bad.write_bytes(data)


def without_preamble(bad, good):
    bad.write_bytes(good.read_bytes()[132:])


def of_syntax(name):
    """A compressed DICOM file that says that its pixels are compressed in another way."""

    def damage(bad, good):
        import pydicom

        data = pydicom.dcmread(good)
        data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, name)
        data.save_as(bad)

    return damage


def frame_cut(bad, good):
    """A DICOM file that is whole but for the compressed bytes of its last frame."""
    import pydicom

    data = pydicom.dcmread(good)
    count = int(data.get("NumberOfFrames", 1))
    *others, last = pydicom.encaps.generate_frames(data.PixelData, number_of_frames=count)
    data.PixelData = pydicom.encaps.encapsulate([*others, last[: len(last) * 2 // 3]])
    data.save_as(bad)


def framed(**attributes):
    return lambda bad, good: write_frames(bad, 9, **attributes)


def recorded(**options):
    return lambda bad, good: write_record(bad, 9, **options)


def leads(change):
    """A record of two channels whose samples were changed."""
    return lambda bad, good: write_record(bad, 9, change(np.stack([sound(9, 400, 8), sound(10, 400, 8)], axis=1)))


def flat_lead(signal):
    return signal * [1, 0] + [0, 0.3]


def invalid(bad, good):
    signal = np.round(np.stack([sound(9, 400, 8), sound(10, 400, 8)], axis=1) * 1000)
    signal[100:120, 1] = -32768
    write_record(bad, 9, d_signal=signal)


def header(*changes):
    """A good record under the bad one's name, its header changed: the first place of each old text."""

    def damage(bad, good):
        text = good.read_text().replace("g0 ", "bad ").replace("g0.dat", "bad.dat")
        for old, new in changes:
            text = text.replace(old, new, 1)
        bad.write_text(text)
        shutil.copy(good.with_suffix(".dat"), bad.with_suffix(".dat"))

    return damage


def data_cut(bad, good):
    header()(bad, good)
    bad.with_suffix(".dat").write_bytes(good.with_suffix(".dat").read_bytes()[:-400])


def data_gone(bad, good):
    header()(bad, good)
    bad.with_suffix(".dat").unlink()


def data_elsewhere(bad, good):
    header()(bad, good)
    elsewhere = bad.parent.parent / f"{bad.parent.name}.dat"
    bad.with_suffix(".dat").rename(elsewhere)
    bad.with_suffix(".dat").symlink_to(elsewhere)


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
    ("dcm", "without a preamble", without_preamble, "unreadable"),
    ("dcm", "a report", tagged(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", PixelData=None, pixels=np.zeros((0, 0), np.uint16)), "unreadable"),
    ("dcm", "more bits than stated", tagged(BitsStored=8, HighBit=7), "scale"),
    ("dcm", "more bits than there are", tagged(BitsStored=20, HighBit=19), "unreadable"),
    ("dcm", "another high bit", tagged(HighBit=15), "unreadable"),
    ("dcm", "a window without a width", tagged(WindowCenter=2000), "unreadable"),
    ("dcm", "a window of no width", tagged(WindowCenter=2000, WindowWidth=0), "unreadable"),
    ("dcm", "a photometric interpretation of its own", tagged(PhotometricInterpretation="HSV"), "unreadable"),
    ("dcm", "a copy", copy, "duplicate_across_patients"),
    ("frames.dcm", "cut in half", cut(0.5), "truncated"),
    ("frames.dcm", "fewer frames than stated", framed(NumberOfFrames=6), "truncated"),
    ("frames.dcm", "without pixels", without_pixels, "unreadable"),
    ("frames.dcm", "one value", lambda bad, good: write_dicom(bad, 9, np.full((4, 48, 40), 7, np.uint16)), "constant"),
    ("frames.dcm", "more bits than stated", framed(BitsStored=10, HighBit=9), "scale"),
    ("frames.dcm", "a name", framed(PatientName="Doe^Jane"), "personal"),
    ("frames.dcm", "many more frames", lambda bad, good: write_dicom(bad, 9, frames(9, 50)), "size"),
    ("frames.dcm", "a copy", copy, "duplicate_across_patients"),
    ("rle.dcm", "a copy of another syntax", lambda bad, good: write_dicom(bad, 0), "duplicate_across_patients"),
    *((f"{syntax}.dcm", "cut in half", cut(0.5), "truncated") for syntax in ("rle", "jpeg", "j2k")),
    *((f"{syntax}.dcm", "a frame cut", frame_cut, "truncated") for syntax in ("rle", "jpeg", "j2k")),
    *((f"{syntax}.dcm", "a place", lambda bad, good: write_rle(bad, 9, InstitutionName="St. Elsewhere"), "personal") for syntax in ("rle", "j2k")),
    ("jpeg.dcm", "another syntax than stated", of_syntax("RLELossless"), "unreadable"),
    ("jpeg.dcm", "a syntax that nothing reads", of_syntax("MPEG2MPML"), "unreadable"),
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
    ("nii", "two axes", volume(volume=picture(9, (24, 20)).astype(np.float32)), "unreadable"),
    ("nii", "complex numbers", volume(volume=(holed(0) * 1j).astype(np.complex64)), "unreadable"),
    ("nii", "no spacing", unspaced, "spacing"),
    ("nii", "voxels in another unit", volume(affine=np.diag([0.001, 0.001, 0.001, 1])), "size"),
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
    ("wav", "beyond full scale", samples(lambda: sound(9) * 20000, subtype="FLOAT"), "scale"),
    ("mp3", "cut in half", cut(0.5), "truncated"),
    ("mp3", "another type", other_type, "unreadable"),
    ("mp3", "no bytes", no_bytes, "empty"),
    ("mp3", "not there", gone, "missing"),
    ("mp3", "silent", samples(lambda: np.zeros(96000), rate=16000), "silent"),
    ("mp3", "encoded again", listened_again(gain=0.9), "near_duplicate_across_patients"),
    ("hea", "no bytes", no_bytes, "empty"),
    ("hea", "not there", gone, "missing"),
    ("hea", "another type", other_type, "unreadable"),
    ("hea", "no channels", lambda bad, good: bad.write_text("bad 0 400 3200\n"), "empty"),
    ("hea", "an unknown format", header(("dat 16 ", "dat 17 ")), "unreadable"),
    ("hea", "data not there", data_gone, "missing"),
    ("hea", "data elsewhere", data_elsewhere, "outside"),
    ("hea", "data elsewhere by its name", header(("bad.dat", "../bad.dat")), "unreadable"),
    ("hea", "data cut", data_cut, "truncated"),
    ("hea", "flat", leads(lambda signal: signal * 0 + 0.3), "constant"),
    ("hea", "a flat channel", leads(flat_lead), "silent"),
    ("hea", "samples marked as invalid", invalid, "not_finite"),
    ("hea", "another rate", recorded(rate=800), "rate"),
    ("hea", "channels at two rates", header((" 3200", " 1600"), ("dat 16 ", "dat 16x3 ")), "channels"),
    ("hea", "another channel", recorded(names=("I", "V1")), "channels"),
    ("hea", "other units", recorded(units=("uV", "uV")), "scale"),
    ("hea", "short", leads(lambda signal: signal[:150]), "size"),
    ("hea", "a copy", copy, "duplicate_across_patients"),
    ("txt", "zero bytes within", words(note(9) + "\0" + note(10)), "encoding"),
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
    copy_good(good_files, tmp_path, suffix)
    damage(tmp_path / f"bad.{suffix}", tmp_path / f"g0.{suffix}")
    found = findings(write_table(tmp_path / "m.csv", [*good_rows(suffix), bad_row(suffix)]))
    assert [(f.file, f.row, f.kind) for f in found if f.kind == kind] == [(f"bad.{suffix}", 7, kind)], found
    assert {f.file for f in found} == {f"bad.{suffix}"}  # and nothing is said of the good ones


SERIES_ROWS = [row | {"file": f"g{i}"} for i, row in enumerate(good_rows("dcm"))]
AS_VOLUMES = "data.modalities={ct: {column: file, kind: volume, spacing: [3, 2, 1.5]}}"


@pytest.fixture(scope="session")
def good_series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    for seed, row in enumerate(SERIES_ROWS):
        write_series(folder / row["file"], seed)
    return folder


def test_good_series_raise_nothing(good_series):
    assert findings(write_table(good_series / "m.csv", SERIES_ROWS), AS_VOLUMES) == []


def without_a_slice(folder):
    write_series(folder, 9)
    (folder / "1.dcm").unlink()  # the third of five, by position


def two_series(folder):
    write_series(folder, 9)
    write_dicom(folder / "9.dcm", 1, frames(9)[0], SeriesInstanceUID="1.2.1")


def a_slice_twice(folder):
    write_series(folder, 9)
    shutil.copy(folder / "1.dcm", folder / "9.dcm")


def a_slice_cut(folder):
    write_series(folder, 9)
    cut(0.5)(folder / "1.dcm", folder / "1.dcm")


def a_stray_file(folder):
    write_series(folder, 9)
    (folder / "notes.txt").write_text("none")


def a_slice_elsewhere(folder):
    write_series(folder, 9)
    outside = (folder / "1.dcm").rename(folder.with_name("out.dcm"))
    (folder / "1.dcm").symlink_to(outside)


SERIES = {
    "a gap": (without_a_slice, "series"),
    "two series": (two_series, "series"),
    "a slice twice": (a_slice_twice, "series"),
    "a slice cut": (a_slice_cut, "truncated"),
    "a stray file": (a_stray_file, "series"),
    "a slice elsewhere": (a_slice_elsewhere, "outside"),
    "no position": (lambda folder: write_series(folder, 9, ImagePositionPatient=None), "series"),
    "one slice": (lambda folder: write_series(folder, 9, count=1), "series"),
    "no slice": (lambda folder: folder.mkdir(), "empty"),
    "no folder": (lambda folder: None, "missing"),
    "no spacing within slices": (lambda folder: write_series(folder, 9, PixelSpacing=None), "spacing"),
    "a name": (lambda folder: write_series(folder, 9, PatientName="Doe^Jane"), "personal"),
    "a copy": (lambda folder: shutil.copytree(folder.parent / "g0", folder), "duplicate_across_patients"),
}


@pytest.mark.parametrize(("damage", "kind"), [*SERIES.values()], ids=[*SERIES])
def test_a_fault_of_a_dicom_series_is_found_and_named(good_series, tmp_path, damage, kind):
    shutil.copytree(good_series, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "bad")
    found = findings(write_table(tmp_path / "m.csv", [*SERIES_ROWS, bad_row("dcm", file="bad")]), AS_VOLUMES)
    assert [(f.file, f.row, f.kind) for f in found] == [("bad", 7, kind)], found


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
    kinds = {kind for *_, kind in FILES} | {kind for rows in (ROWS, TABLES, SERIES) for *_, kind in rows.values()}
    assert len(planted) >= 60 and {*planted} == {*WRITERS, "csv", "parquet"}
    elsewhere = {kind for kind in KINDS if kind.startswith(("duplicate", "near_duplicate"))} | {"shape", "row"}
    assert kinds | elsewhere == {*KINDS}
