"""Facts about WFDB records: physical units, full scale as a sound, and the sentence for each way of being bad."""

import numpy as np
import pytest
import soundfile
from made_files import message, write_record

from mmdx.data.checks.cache import stamp_of
from mmdx.data.checks.files import Task, digest_of
from mmdx.data.manifest import Manifest
from mmdx.data.readers import files_of, read_recording, read_signal
from mmdx.errors import InputError

wfdb = pytest.importorskip("wfdb")

RNG = np.random.default_rng(0)
WHOLE = RNG.integers(-2000, 2000, (1000, 3))
LEADS = {"names": ("I", "II", "V1"), "units": ("mV", "mV", "mV"), "fmt": ["16"] * 3}


def record(folder, name="x", **changes):
    options = {"d_signal": WHOLE, "adc_gain": [1000.0, 500.0, 200.0], "baseline": [0, 100, -50], **LEADS, **changes}
    write_record(folder / f"{name}.hea", 0, **options)
    return folder / f"{name}.hea"


def edited(path, *changes):
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_a_signal_comes_in_physical_units(tmp_path):
    signal = read_signal(record(tmp_path), expected_rate=400)
    assert signal.samples.shape == (3, 1000) and signal.samples.dtype == np.float32
    assert (signal.rate, signal.names, signal.units) == (400.0, ("I", "II", "V1"), ("mV", "mV", "mV"))
    expected = (WHOLE - [0, 100, -50]) / [1000.0, 500.0, 200.0]
    np.testing.assert_allclose(signal.samples, expected.T, rtol=1e-6)
    np.testing.assert_allclose(signal.samples, wfdb.rdsamp(str(tmp_path / "x"))[0].T, rtol=1e-6)


@pytest.mark.parametrize("form", ["80", "212", "16", "24", "32", "508", "516", "524"])
def test_any_format_of_data_files(tmp_path, form):
    whole = RNG.integers(-100, 100, (900, 3))
    path = record(tmp_path, d_signal=whole, fmt=[form] * 3, baseline=[0, 0, 0], adc_gain=[10.0] * 3)
    np.testing.assert_allclose(read_signal(path).samples, whole.T / 10, rtol=1e-6)
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[: -len(data.read_bytes()) // 10])
    assert ("cannot be read" if form.startswith("5") else "is cut short: its data file 'x.dat' has") in message(read_signal, path)


@pytest.mark.parametrize(("form", "kind", "offset"), [("61", ">i2", 0), ("160", "<u2", 32768)])
def test_formats_that_the_library_reads_and_does_not_write(tmp_path, form, kind, offset):
    path = record(tmp_path, adc_gain=[10.0] * 3, baseline=[0, 0, 0])
    (WHOLE + offset).astype(kind).tofile(path.with_suffix(".dat"))
    edited(path, ("dat 16 ", f"dat {form} "))
    np.testing.assert_allclose(read_signal(path).samples, WHOLE.T / 10, rtol=1e-6)


def test_channels_are_chosen_by_name_or_number_in_the_order_asked_for(tmp_path):
    path = record(tmp_path)
    every = read_signal(path)
    some = read_signal(path, channels=["V1", 1])
    assert some.names == ("V1", "I")
    np.testing.assert_array_equal(some.samples, every.samples[[2, 0]])
    assert "has no channel 'aVR'; it has I, II, V1" in message(read_signal, path, channels=["aVR"])
    assert "has no channel '4'" in message(read_signal, path, channels=[4])
    edited(path, (" II\n", " I\n"))
    assert "has 2 channels named 'I'" in message(read_signal, path, channels=["I"])
    for channels in ("I", [], ["I", "I"], [0], 3, [["I"]], [None], {"I": 1}):
        with pytest.raises(InputError, match="channels"):
            read_signal(path, channels=channels)


def test_as_a_sound_full_scale_is_1_as_in_the_sound_file_it_was_made_of(tmp_path):
    values = (np.sin(np.arange(4000) / 5) * 20000).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", values, 2000)
    (tmp_path / "x.hea").write_text("x 1 2000 4000\nx.wav 16+44 1 16 0 0 0 0 PCG\n")
    sound = read_recording(tmp_path / "x.hea", expected_rate=2000)
    np.testing.assert_array_equal(sound.samples, read_recording(tmp_path / "x.wav").samples)


def test_as_a_sound_the_scale_is_that_of_the_adc_and_channels_are_averaged(tmp_path):
    path = record(tmp_path, adc_gain=[100.0] * 3, baseline=[0, 0, 0])
    np.testing.assert_allclose(read_recording(path).samples, WHOLE.mean(axis=1) / 2**15, atol=1e-6)
    np.testing.assert_allclose(read_recording(path, channel="II").samples, WHOLE[:, 1] / 2**15, atol=1e-7)
    np.testing.assert_array_equal(read_recording(path, channel=2).samples, read_recording(path, channel="II").samples)
    edited(path, ("/mV 16 0", "/mV 12 0"))  # 12 bits of the 16 were in use
    np.testing.assert_allclose(read_recording(path, channel="II").samples, WHOLE[:, 1] / 2**11, atol=1e-7)
    edited(path, ("/mV 12 0", "/mV 10 0"))
    assert "has values beyond the resolution and zero that its header states for channel 'I'" in message(read_recording, path)


def test_a_sound_with_an_offset_stays_within_full_scale(tmp_path):
    whole = RNG.integers(0, 2048, (500, 1))
    path = record(tmp_path, d_signal=whole, names=("ECG",), units=("mV",), fmt=["212"], adc_gain=[200.0], baseline=[1024])
    edited(path, ("/mV 12 0", "/mV 11 1024"))
    np.testing.assert_allclose(read_recording(path).samples, (whole[:, 0] - 1024) / 1024, atol=1e-6)


def test_channels_of_different_units_are_not_averaged(tmp_path):
    path = record(tmp_path, units=("mV", "mV", "NU"))
    assert "has channels of different units (I in mV, II in mV, V1 in NU); name one" in message(read_recording, path)
    assert read_recording(path, channel="V1").rate == 400
    assert read_signal(path).units == ("mV", "mV", "NU")


def test_channels_at_different_rates_are_read_one_rate_at_a_time(tmp_path):
    path = record(tmp_path)
    whole = np.fromfile(path.with_suffix(".dat"), "<i2")[: 3 * 999]
    path.write_text("x 2 100 999\nx.dat 16x2 1000/mV 16 0 0 0 0 ECG\nx.dat 16 1000/mV 16 0 0 0 0 RESP\n")
    assert "has channels of different sampling rates (ECG 200 Hz, RESP 100 Hz)" in message(read_signal, path)
    ecg = read_signal(path, channels=["ECG"])
    assert ecg.rate == 200
    np.testing.assert_allclose(ecg.samples[0], whole.reshape(-1, 3)[:, :2].ravel() / 1000, rtol=1e-6)
    assert read_signal(path, channels=["RESP"]).samples.shape == (1, 999)


def test_segments_are_joined_and_a_gap_is_a_fault(tmp_path):
    record(tmp_path, "a")
    record(tmp_path, "b", d_signal=WHOLE[::-1])
    (tmp_path / "x.hea").write_text("x/2 3 400 2000\na 1000\nb 1000\n")
    signal = read_signal(tmp_path / "x.hea")
    one, other = (read_signal(tmp_path / f"{name}.hea") for name in "ab")
    np.testing.assert_array_equal(signal.samples, np.concatenate([one.samples, other.samples], axis=1))
    assert signal.names == one.names and signal.units == one.units
    assert {path.name for path in files_of(tmp_path / "x.hea")} == {"x.hea", "a.hea", "a.dat", "b.hea", "b.dat"}
    assert "its header does not tell the range of its recorder" in message(read_recording, tmp_path / "x.hea")
    (tmp_path / "x.hea").write_text("x/3 3 400 2100\na 1000\n~ 100\nb 1000\n")
    assert "has samples that are not finite: there is a gap between its segments" in message(read_signal, tmp_path / "x.hea")
    (tmp_path / "x.hea").write_text("x/2 3 400 2000\na 1000\nb 1000\n")
    (tmp_path / "b.dat").unlink()
    assert "data file 'b.dat' is missing, which signal file 'x.hea' names" in message(read_signal, tmp_path / "x.hea")
    (tmp_path / "b.hea").unlink()
    assert "data file 'b.hea' is missing" in message(read_signal, tmp_path / "x.hea")


def test_samples_marked_as_invalid_are_a_fault(tmp_path):
    whole = WHOLE.copy()
    whole[10:17, 1] = -32768
    path = record(tmp_path, d_signal=whole)
    assert "has samples that are not finite: 7 of 1000 of channel 'II' are marked as invalid" in message(read_signal, path)
    assert "has samples that are not finite" in message(read_recording, path)
    assert read_signal(path, channels=["I", "V1"]).names == ("I", "V1")


def test_flat_signals_are_a_fault_and_one_flat_channel_is_left_to_the_check(tmp_path):
    assert "is constant: every channel is flat" in message(read_signal, record(tmp_path, d_signal=WHOLE * 0 + [1, 2, 3]))
    assert "is silent: every sample is 0" in message(read_recording, record(tmp_path, d_signal=WHOLE * 0, baseline=[0, 0, 0]))
    assert read_signal(record(tmp_path, d_signal=WHOLE * [1, 0, 1])).samples[1].max() == np.float32(-0.2)


def test_data_files_that_are_missing_or_elsewhere(tmp_path):
    (tmp_path / "in").mkdir()
    path = record(tmp_path / "in")
    path.with_suffix(".dat").rename(tmp_path / "out.dat")
    assert "data file 'x.dat' is missing, which signal file 'x.hea' names" in message(read_signal, path)
    path.with_suffix(".dat").symlink_to(tmp_path / "out.dat")
    assert "data file 'x.dat' lies outside the folder of signal file 'x.hea'" in message(read_signal, path)
    path.with_suffix(".dat").unlink()
    edited(path, ("x.dat", "../out.dat"))
    assert "cannot be read" in message(read_signal, path)
    edited(path, ("../out.dat", str(tmp_path / "out.dat")))
    assert "cannot be read" in message(read_signal, path)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("", "has 0 bytes"),
        ("neither sound nor signal\n", "cannot be read"),
        ("x 0 400 1000\n", "has no samples: its header names no channel"),
        ("x 1 400 1000\nx.dat 17 200/mV\n", "cannot be read"),
        ("x 2 400 1000\nx.dat 16 200/mV\n", "cannot be read"),
    ],
)
def test_a_header_that_is_none(tmp_path, header, words):
    path = record(tmp_path)
    path.write_text(header)
    assert words in message(read_signal, path)


def test_rates(tmp_path):
    path = record(tmp_path, rate=62.5)
    assert read_signal(path, expected_rate=62.5).rate == 62.5
    assert "has a sampling rate of 62.5 Hz, expected 400 Hz" in message(read_signal, path, expected_rate=400)
    assert "has a sampling rate of 62.5 Hz, expected a whole number for a sound" in message(read_recording, record(tmp_path, rate=62.5), channel=1)


def test_a_manifest_of_headers_is_one_of_signals(tmp_path):
    for name in ("a", "b"):
        record(tmp_path, name)
    (tmp_path / "m.csv").write_text("sample_id,ecg,label\n1,a.hea,0\n2,b.hea,1\n")
    assert Manifest(tmp_path / "m.csv").sources["ecg"] == ("signal", ("ecg",), {})
    data = Manifest(tmp_path / "m.csv", {"ecg": {"column": "ecg", "kind": "signal", "channels": ["V1", "I"]}})
    assert data[0].inputs["ecg"].names == ("V1", "I")
    sound = Manifest(tmp_path / "m.csv", {"pcg": {"column": "ecg", "kind": "audio", "channel": "V1"}})
    assert sound[0].inputs["pcg"].rate == 400
    with pytest.raises(InputError, match=r"^data\.modalities\.ecg\.channels=I: must be a list of different channels"):
        Manifest(tmp_path / "m.csv", {"ecg": {"column": "ecg", "kind": "signal", "channels": "I"}})


def test_a_check_notices_that_a_data_file_changed(tmp_path):
    path = record(tmp_path)
    task = Task("signal", str(path))
    before = stamp_of(task), digest_of(task.path)
    assert (stamp_of(task), digest_of(task.path)) == before
    record(tmp_path, d_signal=WHOLE[::-1])
    assert stamp_of(task) != before[0] and digest_of(task.path) != before[1]


def test_only_a_header_is_a_record(tmp_path):
    path = record(tmp_path)
    assert "expected a path that ends in .hea" in message(read_signal, path.with_suffix(".dat"))
