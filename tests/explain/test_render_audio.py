"""Sounds as MP3 and spectrogram, with attributions at their time and frequency."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmdx.data.raw import Recording
from mmdx.encoders.audio import Waveform
from mmdx.encoders.heart_sound import Windows
from mmdx.encoders.log_mel import LogMel
from mmdx.encoders.spectral import StatisticsTransform
from mmdx.explain.parts import Part
from mmdx.explain.render_audio import RATE, heat_of, render_audio, write_mp3
from mmdx.types import Transform


def sound(seconds, rate=2000, frequency=100.0):
    t = np.arange(round(seconds * rate)) / rate
    return Recording((0.3 * np.sin(2 * np.pi * frequency * t)).astype(np.float32), rate)


def part(recording, transform, weights=None):
    prepared = transform.prepare(recording)
    made = transform(prepared, None)
    items = made if isinstance(made, list) else [made]
    return Part(recording, prepared, transform, [{"": weights(i, item.numpy())} if weights else {} for i, item in enumerate(items)])


@pytest.mark.parametrize(("seconds", "rate"), [(6.0, 2000), (2.5, 4000), (0.7, 44100), (5.123, 1000), (3.0, 16000)])
def test_the_mp3_decodes_to_the_same_duration_and_tone(tmp_path, seconds, rate):
    write_mp3(sound(seconds, rate), tmp_path / "a.mp3")
    decoded, decoded_rate = soundfile.read(tmp_path / "a.mp3")
    assert decoded_rate == RATE and decoded.ndim == 1
    assert len(decoded) / RATE == pytest.approx(seconds, abs=0.002)
    assert np.abs(np.fft.rfft(decoded)).argmax() * RATE / len(decoded) == pytest.approx(100, abs=2)


def test_silence_can_be_written(tmp_path):
    write_mp3(Recording(np.zeros(2000, np.float32), 2000), tmp_path / "a.mp3")
    assert not np.any(soundfile.read(tmp_path / "a.mp3")[0])


def test_attributions_of_overlapping_windows_add_up_where_they_lie():
    transform = LogMel(windows=Windows(seconds=2.0, hop=1.0))
    given = part(sound(5.0), transform, lambda i, item: np.ones_like(item) * (i == 1))
    heat = heat_of(given)
    assert heat.values.shape == given.prepared.bands.shape
    assert heat.values.sum() == pytest.approx(sum(item[""].sum() for item in given.items), rel=1e-6)
    centre = (heat.values.sum(axis=0) * np.arange(heat.values.shape[1])).sum() / heat.values.sum() / heat.rate
    assert centre == pytest.approx(2.0, abs=0.05)  # the second window is from 1 to 3 s


def test_a_recording_shorter_than_a_window_folds_back():
    given = part(sound(1.0), LogMel(windows=Windows(seconds=4.0, hop=2.0)), lambda i, item: np.ones_like(item))
    assert heat_of(given).values.sum() == pytest.approx(given.items[0][""].sum(), rel=1e-6)


def test_a_waveforms_attributions_have_a_time():
    transform = Waveform(windows=Windows(seconds=1.0, hop=1.0))
    heat = heat_of(part(sound(4.0), transform, lambda i, item: np.ones_like(item) * (i == 2)))
    seconds = np.arange(heat.values.shape[1]) / heat.rate
    inside = (seconds >= 2) & (seconds < 3)
    assert heat.values[0, inside].sum() == pytest.approx(1000) and np.all(heat.values[0, ~inside] == 0)


def test_statistics_have_a_frequency():
    transform = StatisticsTransform()
    names = transform.statistics.names
    assert names[32] == "spread_" + names[0].removeprefix("mean_")
    weights = np.zeros(len(names))
    weights[[3, 32 + 3]] = 1.0, 2.0  # mean and spread of the fourth band
    weights[names.index("skewness")] = 5.0  # has no frequency
    heat = heat_of(part(sound(3.0), transform, lambda i, item: weights))
    assert heat.values.shape == (32, 1) and heat.values[3, 0] == 3.0 and heat.values.sum() == 3.0
    modulation = np.array([name.startswith("modulation_") for name in names]).astype(float)
    assert heat_of(part(sound(3.0), transform, lambda i, item: modulation)).values.ravel() == pytest.approx(np.full(32, 10 / 4))


def test_files_of_a_long_recording_are_of_the_stretch_that_told_most(tmp_path):
    folder = tmp_path / "0001"
    folder.mkdir()
    transform = LogMel(windows=Windows(seconds=2.0, hop=2.0))
    given = part(sound(30.0), transform, lambda i, item: np.ones_like(item) * (i == 10))
    item = render_audio([given], folder, "heart")["items"][0]
    assert item["seconds"] == 8.0 and item["of_seconds"] == 30.0 and item["start"] <= 20.0 and item["start"] + 8 >= 22.0
    assert soundfile.info(tmp_path / item["file"]).duration == pytest.approx(8.0, abs=0.002)
    with Image.open(tmp_path / item["spectrogram"]) as spectrogram, Image.open(tmp_path / item["overlay"]) as overlay:
        assert spectrogram.format == overlay.format == "PNG"
        assert spectrogram.height == 32 and spectrogram.width == pytest.approx(8.0 / 0.016, abs=2)
        alpha = np.asarray(overlay.convert("RGBA"))[..., 3].sum(axis=0).astype(float)
    told = (alpha * (np.arange(len(alpha)) + 0.5)).sum() / alpha.sum() / len(alpha) * 8 + item["start"]
    assert told == pytest.approx(21.0, abs=0.3)


def test_low_frequencies_are_at_the_bottom_of_both_pictures(tmp_path):
    folder = tmp_path / "0001"
    folder.mkdir()
    given = part(sound(3.0, frequency=50.0), LogMel(), lambda i, item: (item == item.max()).astype(np.float32))
    item = render_audio([given], folder, "heart")["items"][0]
    spectrogram = np.asarray(Image.open(tmp_path / item["spectrogram"]).convert("L")).mean(axis=1)
    overlay = np.asarray(Image.open(tmp_path / item["overlay"]).convert("RGBA"))[..., 3].sum(axis=1)
    assert spectrogram.argmax() > 24 and overlay.shape == (32,)


def test_a_users_own_transform_gets_sound_and_spectrogram_alone(tmp_path):
    class Own(Transform):
        def prepare(self, raw):
            return raw.samples

    folder = tmp_path / "0001"
    folder.mkdir()
    given = part(sound(2.0), Own(), lambda i, item: np.ones_like(item))
    item = render_audio([given, given], folder, "heart")["items"][1]
    assert "overlay" not in item and item["seconds"] == 2.0
    assert sorted(p.name for p in folder.iterdir()) == ["heart_0.mp3", "heart_0.png", "heart_1.mp3", "heart_1.png"]
