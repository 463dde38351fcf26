"""Facts about sounds: any rate, channel count and sample format gives the values that were written."""

import struct
import wave

import numpy as np
import pytest
import soundfile
from made_files import message

from mmdx.data.readers import read_recording
from mmdx.errors import InputError

RNG = np.random.default_rng(0)


def pcm(bits, channels=1, count=3000):
    """Whole numbers [T, C] over the whole range of a sample format."""
    return RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (count, channels), dtype=np.int64)


def write_by_wave(path, values, bits, rate):
    """As Python's own library writes it: 8 bits without a sign, more with one."""
    little = values.astype("<i4").view(np.uint8).reshape(*values.shape, 4)[..., : bits // 8]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes((values + 128).astype(np.uint8).tobytes() if bits == 8 else np.ascontiguousarray(little).tobytes())


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_wav_of_whole_numbers(tmp_path, bits, channels):
    values = pcm(bits, channels)
    write_by_wave(tmp_path / "x.wav", values, bits, 44100)
    sound = read_recording(tmp_path / "x.wav")
    assert sound.rate == 44100 and sound.samples.dtype == np.float32 and np.abs(sound.samples).max() <= 1
    np.testing.assert_allclose(sound.samples, (values / 2.0 ** (bits - 1)).mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_wav_of_floats(tmp_path, subtype):
    values = RNG.uniform(-1, 1, 3000)
    soundfile.write(tmp_path / "x.wav", values, 8000, subtype=subtype)
    np.testing.assert_array_equal(read_recording(tmp_path / "x.wav").samples, values.astype(np.float32))


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_flac_gives_every_value(tmp_path, bits):
    values = pcm(bits)
    soundfile.write(tmp_path / "x.flac", (values << (32 - bits)).astype(np.int32), 48000, subtype="PCM_S8" if bits == 8 else f"PCM_{bits}")
    np.testing.assert_array_equal(read_recording(tmp_path / "x.flac").samples, (values[:, 0] / 2.0 ** (bits - 1)).astype(np.float32))


@pytest.mark.parametrize("rate", [100, 333, 2000, 11025, 192000])
def test_any_rate_is_kept(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", RNG.uniform(-0.5, 0.5, 500), rate)
    assert read_recording(tmp_path / "x.wav", expected_rate=rate).rate == rate


@pytest.mark.parametrize(
    ("suffix", "rate", "options"), [("ogg", 8000, {}), ("ogg", 16000, {"subtype": "OPUS"}), ("mp3", 44100, {}), ("mp3", 16000, {})]
)
def test_lossy_formats_are_near_to_what_was_written(tmp_path, suffix, rate, options):
    tone = 0.5 * np.sin(np.arange(rate * 2) * 2 * np.pi * 300 / rate)
    soundfile.write(tmp_path / f"x.{suffix}", np.stack([tone, tone], axis=1), rate, **options)
    sound = read_recording(tmp_path / f"x.{suffix}")
    assert sound.rate == rate and len(sound.samples) == len(tone)
    middle = slice(rate // 4, -rate // 4)
    assert np.sqrt(np.mean((sound.samples[middle] - tone[middle]) ** 2)) < 0.02


def test_one_channel_may_be_chosen(tmp_path):
    values = pcm(16, 3)
    write_by_wave(tmp_path / "x.wav", values, 16, 4000)
    np.testing.assert_array_equal(read_recording(tmp_path / "x.wav", channel=2).samples, (values[:, 1] / 32768).astype(np.float32))
    assert "has no channel '4'; it has 1, 2, 3" in message(read_recording, tmp_path / "x.wav", channel=4)
    assert "has no channel 'aortic'" in message(read_recording, tmp_path / "x.wav", channel="aortic")
    for channel in (0, -1, True, 1.5):
        with pytest.raises(InputError, match="must be a channel's name, or its number counted from 1"):
            read_recording(tmp_path / "x.wav", channel=channel)


def test_floats_on_another_scale_are_refused_and_a_small_overshoot_is_not(tmp_path):
    tone = np.sin(np.arange(2000) / 5)
    soundfile.write(tmp_path / "x.wav", 1.2 * tone, 2000, subtype="FLOAT")
    assert read_recording(tmp_path / "x.wav").samples.max() > 1.19
    soundfile.write(tmp_path / "x.wav", 20000 * tone, 2000, subtype="FLOAT")
    assert "has values beyond full scale: its peak is 20000, expected -1 to 1" in message(read_recording, tmp_path / "x.wav")


def test_an_mp3_cut_short(tmp_path):
    soundfile.write(tmp_path / "x.mp3", RNG.uniform(-0.5, 0.5, 32000), 16000)
    (tmp_path / "x.mp3").write_bytes((tmp_path / "x.mp3").read_bytes()[:4000])
    assert "is cut short" in message(read_recording, tmp_path / "x.mp3")


@pytest.mark.parametrize("rate", [0, -5, "2000", True])
def test_a_rate_that_is_none(tmp_path, rate):
    soundfile.write(tmp_path / "x.wav", RNG.uniform(-0.5, 0.5, 500), 2000)
    with pytest.raises(InputError, match="must be a sampling rate in Hz above 0"):
        read_recording(tmp_path / "x.wav", expected_rate=rate)


def test_a_chunk_between_header_and_samples_is_stepped_over(tmp_path):
    write_by_wave(tmp_path / "x.wav", values := pcm(16), 16, 2000)
    data = (tmp_path / "x.wav").read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"INFOx" + b"\0"
    (tmp_path / "x.wav").write_bytes(data[:4] + struct.pack("<I", len(data) - 8 + len(note)) + data[8:36] + note + data[36:])
    np.testing.assert_array_equal(read_recording(tmp_path / "x.wav").samples, (values[:, 0] / 32768).astype(np.float32))
