"""Facts about log-mel spectrograms and the audio encoders; each encoder keeps the contract."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from threadpoolctl import threadpool_limits

from mmdx.data.raw import Recording
from mmdx.encoders.audio import LogMelCNN, Waveform, WaveformCNN
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, Windows
from mmdx.encoders.log_mel import LogMel, MelSpectrum, Spectrogram, SpectrumMasking, mel_filters
from mmdx.errors import InputError
from mmdx.testing import check_encoder

RATE = 1000


def recordings(count=5, rate=RATE):
    rng = np.random.default_rng(0)
    return [Recording(rng.standard_normal(int(rate * (1.5 + i))).astype(np.float32), rate) for i in range(count)]


def tone(frequency, rate=RATE, seconds=4):
    return Recording(np.sin(2 * np.pi * frequency * np.arange(seconds * rate) / rate).astype(np.float32), rate)


@pytest.mark.parametrize("frequency", [60, 150, 333])
def test_a_pure_tone_peaks_in_the_band_around_it(frequency):
    spectrum = MelSpectrum()
    energies = spectrum(tone(frequency)).bands.mean(axis=1)
    assert energies.argmax() == np.abs(spectrum.centres - frequency).argmin()
    assert np.sort(energies)[-1] - np.median(energies) > 30


def test_bands_are_evenly_spaced_on_the_mel_scale():
    mel = 2595 * np.log10(1 + MelSpectrum(bands=10, low=25, high=400).centres / 700)
    np.testing.assert_allclose(np.diff(mel), np.diff(mel)[0])


def test_between_the_outer_centres_the_filters_sum_to_one_and_none_is_empty():
    filters = mel_filters(32, 25, 400, 2000, 1024)
    frequencies = np.arange(513) * 2000 / 1024
    centres = MelSpectrum().centres
    inside = (frequencies > centres[0]) & (frequencies < centres[-1])
    np.testing.assert_allclose(filters[:, inside].sum(axis=0), 1.0)
    assert (filters.sum(axis=1) > 0).all()


def test_ten_times_the_amplitude_is_20_db():
    loud = Recording(10 * tone(100).samples, RATE)
    difference = MelSpectrum(floor=1e-30)(loud).bands - MelSpectrum(floor=1e-30)(tone(100)).bands
    np.testing.assert_allclose(difference, 20.0, atol=0.01)


def test_the_frames_a_second_are_stated():
    made = MelSpectrum(frame=0.064, hop=0.016)(tone(100, seconds=4))
    assert made.rate == 62.5 and made.bands.shape == (32, (4000 - 64) // 16 + 1)


def test_fitted_bands_have_zero_mean_and_unit_spread_over_the_training_split():
    transform = LogMel(windows=Windows(1.5, 1.5))
    prepared = [transform.prepare(r) for r in recordings()]
    transform.fit(prepared)
    moments = [((p.bands - transform.mean) / transform.spread) for p in prepared]
    np.testing.assert_allclose(np.mean([m.mean(axis=1) for m in moments], axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(np.mean([np.square(m).mean(axis=1) for m in moments], axis=0), 1.0, atol=1e-3)


def test_masks_hide_no_more_than_their_share_and_only_in_training():
    transform = LogMel(windows=Windows(2, 2), masking=SpectrumMasking(time=0.2, bands=0.25, masks=1))
    prepared = Spectrogram(np.ones((32, 500), np.float32), 62.5)
    assert all((window == 1).all() for window in transform(prepared, None))
    for seed in range(20):
        (window,) = transform(prepared, np.random.default_rng(seed))
        assert (window == 0).all(dim=1).sum() <= 8 and (window == 0).all(dim=0).sum() <= 25


def test_gain_and_tilt_change_the_spectrum_along_a_line():
    changed = SpectrumMasking(time=0, bands=0, gain=0.5, tilt=0.5)(np.zeros((32, 10), np.float32), np.random.default_rng(0))
    np.testing.assert_allclose(np.diff(changed[:, 0], n=2), 0.0, atol=1e-6)
    assert np.ptp(changed[0]) == 0 and changed[0, 0] != changed[-1, 0]


@pytest.mark.parametrize(("rate", "frame", "high"), [(1000, 0.064, 400), (1000, 0.063, 400), (2000, 0.3, 1000), (22050, 0.1, 11000)])
def test_energies_are_those_of_a_padded_transform_in_double_precision(rate, frame, high):
    """Even and odd frames, short ones by products and one by a transform."""
    samples = np.random.default_rng(0).standard_normal(3 * rate)
    length, hop = round(frame * rate), round(0.016 * rate)
    window = np.hanning(length + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), length)[::hop] * window
    points = 3 * 33 * rate // (high - 25) + length
    power = np.abs(np.fft.rfft(frames, points)) ** 2 / (window**2).sum()
    expected = 10 * np.log10(mel_filters(32, 25, high, rate, points) @ power.T + 1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmdx.encoders.log_mel._fft_points", lambda *of: points)
        made = MelSpectrum(high=high, frame=frame)(Recording(samples.astype(np.float32), rate)).bands
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("frame", "bands", "high"), [(0.064, 32, 400), (0.5, 1, 480), (0.7, 128, 480)])
def test_the_spectrum_is_the_same_bit_for_bit_with_any_number_of_threads_and_beside_others(frame, bands, high):
    transform = LogMel(spectrum=MelSpectrum(bands, 25, high, frame))
    given, threads, results = recordings(8), torch.get_num_threads(), []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        with threadpool_limits(count):
            results.append([transform.prepare(recording).bands for recording in given])
            with ThreadPoolExecutor(count) as pool:
                results.append([made.bands for made in pool.map(transform.prepare, given)])
    torch.set_num_threads(threads)
    assert all(np.array_equal(one, other) for result in results[1:] for one, other in zip(results[0], result, strict=True))


def test_a_floor_that_single_precision_takes_for_zero_is_refused():
    with pytest.raises(InputError, match=r"spectrum.floor=1e-50: must be at least 1e-37"):
        MelSpectrum(floor=1e-50)


def test_a_band_above_half_the_rate_is_refused():
    with pytest.raises(InputError, match="spectrum.high=800.*1000 Hz"):
        MelSpectrum(high=800)(tone(100))


@pytest.mark.parametrize(
    ("build", "transform"),
    [
        (LogMelCNN, LogMel(windows=Windows(2, 1), masking=SpectrumMasking(gain=0.1, tilt=0.1))),
        (WaveformCNN, Waveform(windows=Windows(2, 1), gain=3.0, noise=0.1)),
    ],
)
def test_encoders_keep_the_contract(build, transform):
    check_encoder(lambda fitted: build(transform=fitted), transform, recordings())
    encoder = build(transform=transform)
    held = [id(p) for layer in encoder.layers() for p in layer.parameters()]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters())


def test_noise_and_gain_change_training_windows_only():
    transform = Waveform(HeartSoundFrontEnd(band=None, spikes=False), Windows(2, 2), gain=6.0, noise=0.5)
    prepared = transform.prepare(tone(100, seconds=2))
    torch.testing.assert_close(transform(prepared, None)[0], torch.from_numpy(prepared.samples))
    assert not torch.equal(transform(prepared, np.random.default_rng(0))[0], torch.from_numpy(prepared.samples))


@pytest.mark.parametrize("name", ["logmel_cnn", "waveform_cnn", "spectral", "timm_logmel"])
def test_each_config_builds_its_encoder(name, conf):
    if name == "timm_logmel":
        pytest.importorskip("timm", reason="needs the extra pretrained")
    node = OmegaConf.create(yaml.safe_load((conf / "encoder" / "audio" / f"{name}.yaml").read_text()))
    encoder = instantiate(node, _convert_="all")
    encoder.transform.fit([encoder.transform.prepare(r) for r in recordings()])
    made = encoder.transform(encoder.transform.prepare(recordings()[4]), None)
    features = encoder.eval()(torch.stack(made) if isinstance(made, list) else made[None])
    assert features.tokens.shape[2] == encoder.width and features.mask.all()


@pytest.fixture
def conf():
    from pathlib import Path

    return Path(__file__).parents[2] / "conf"
