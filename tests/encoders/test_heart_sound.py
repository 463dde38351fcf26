"""Facts about the heart-sound front end: what the filter lets through, what a spike is, that windows leave nothing out."""

import numpy as np
import pytest
import torch
from scipy import signal

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, Windows, band_pass, remove_spikes, resample, window_starts
from mmdx.errors import InputError, SampleError

RATE = 2000
TIME = np.arange(8 * RATE) / RATE


def tone(frequency):
    return np.sin(2 * np.pi * frequency * TIME)


def gain_in_db(frequency):
    inner = slice(RATE, -RATE)
    before = tone(frequency)
    return 20 * np.log10(band_pass(before, RATE, (25, 400), 4)[inner].std() / before[inner].std())


def heart_like(seconds=8, rate=RATE, beat=0.8):
    time = np.arange(seconds * rate) / rate
    return np.exp(-(((time % beat) - 0.1) ** 2) / 2e-4) * np.sin(2 * np.pi * 60 * time)


def test_the_band_pass_keeps_100_hz_and_removes_10_and_800_hz():
    assert abs(gain_in_db(100)) < 0.1
    assert gain_in_db(10) < -60
    assert gain_in_db(800) < -60


def test_an_edge_of_the_band_is_at_minus_6_db_since_the_filter_runs_both_ways():
    assert gain_in_db(25) == pytest.approx(-6.02, abs=0.1)
    assert gain_in_db(400) == pytest.approx(-6.02, abs=0.1)


def test_the_filter_has_zero_phase():
    filtered = band_pass(tone(100), RATE, (25, 400), 4)
    lag = signal.correlate(filtered, tone(100), "full").argmax() - (len(TIME) - 1)
    assert lag == 0


def test_a_planted_spike_is_removed_and_the_rest_is_untouched():
    clean = heart_like()
    spiked = clean.copy()
    spiked[5000:5010] += 20 * np.hanning(10)
    repaired = remove_spikes(spiked, RATE)
    assert np.abs(repaired).max() <= np.abs(clean).max()
    changed = np.flatnonzero(repaired != spiked)
    assert changed.min() > 4900 and changed.max() < 5110
    assert (repaired[changed] == 0).all()


def test_a_periodic_signal_without_spikes_is_unchanged():
    assert np.array_equal(remove_spikes(tone(50), RATE), tone(50))
    assert np.array_equal(remove_spikes(heart_like(beat=0.5), RATE), heart_like(beat=0.5))


def test_a_spike_is_cut_at_the_zero_crossings_around_it():
    wave = np.sin(2 * np.pi * 2 * (TIME + 1e-6))  # crosses zero every 0.25 s
    wave[1250] = 50.0  # at 0.625 s, in the positive half wave from 0.5 to 0.75 s
    repaired = remove_spikes(wave, RATE)
    assert (repaired[1000:1500] == 0).all()
    assert np.array_equal(repaired[1501:], wave[1501:]) and np.array_equal(repaired[:1000], wave[:1000])


def test_every_spike_is_found_and_no_frame_is_left_above_three_times_the_median():
    rng = np.random.default_rng(0)
    noisy = rng.standard_normal(20 * RATE)
    noisy[rng.integers(0, len(noisy), 10)] = 40.0
    amplitudes = np.abs(remove_spikes(noisy, RATE).reshape(-1, RATE // 2)).max(axis=1)
    assert amplitudes.max() <= 3 * np.median(amplitudes)


def test_the_few_sounds_of_a_mostly_silent_recording_are_kept():
    quiet = np.zeros(8 * RATE)
    quiet[3000:3100] = 1.0
    assert np.array_equal(remove_spikes(quiet, RATE), quiet)


def test_resampling_keeps_a_tone_and_its_duration():
    half = resample(tone(100), RATE, 1000)
    assert len(half) == len(TIME) // 2
    np.testing.assert_allclose(half[500:-500], tone(100)[::2][500:-500], atol=2e-3)


def test_the_result_has_zero_mean_unit_spread_and_the_asked_rate():
    clean = HeartSoundFrontEnd(rate=1000)(Recording((0.01 * heart_like() + 0.3).astype(np.float32), RATE))
    assert clean.rate == 1000 and clean.samples.dtype == np.float32
    assert clean.samples.mean() == pytest.approx(0, abs=1e-5) and clean.samples.std() == pytest.approx(1, abs=1e-5)


def test_each_step_can_be_left_out():
    raw = Recording(heart_like().astype(np.float32), RATE)
    untouched = HeartSoundFrontEnd(rate=None, band=None, spikes=False, normalise=False)(raw)
    assert untouched.rate == RATE and np.array_equal(untouched.samples, raw.samples)


def test_a_silent_recording_becomes_zeros():
    assert (HeartSoundFrontEnd()(Recording(np.full(4000, 0.2, np.float32), RATE)).samples == 0).all()


@pytest.mark.parametrize("length", [1, 7, 100])
def test_a_very_short_recording_goes_through(length):
    assert np.isfinite(HeartSoundFrontEnd()(Recording(np.linspace(-1, 1, length, dtype=np.float32), RATE)).samples).all()


def test_the_result_is_the_same_with_one_and_four_threads():
    raw = Recording(np.random.default_rng(1).standard_normal(30_000).astype(np.float32), RATE)
    threads, results = torch.get_num_threads(), []
    for count in (1, 4):
        torch.set_num_threads(count)
        results.append(HeartSoundFrontEnd()(raw).samples)
    torch.set_num_threads(threads)
    assert np.array_equal(*results)


def test_faulty_recordings_are_named():
    samples = np.ones(100, np.float32)
    samples[7] = np.nan
    with pytest.raises(SampleError, match="sample 7 is nan"):
        HeartSoundFrontEnd()(Recording(samples, RATE))
    with pytest.raises(SampleError, match="at least one sample"):
        HeartSoundFrontEnd()(Recording(np.zeros(0, np.float32), RATE))
    with pytest.raises(InputError, match=r"band=\[25, 400\].*half the rate of 500 Hz"):
        HeartSoundFrontEnd(rate=500)
    with pytest.raises(InputError, match="windows.hop=5"):
        Windows(seconds=4, hop=5)


@pytest.mark.parametrize("length", [100, 101, 149, 150, 151, 1000])
def test_windows_cover_every_value_and_the_last_ends_at_the_end(length):
    starts = window_starts(length, 100, 50)
    seen = np.zeros(length, bool)
    for start in starts:
        seen[start : start + 100] = True
    assert seen.all() and starts[-1] + 100 == length and len(set(starts)) == len(starts)


def test_in_evaluation_windows_are_all_and_in_training_random_crops():
    values = np.arange(2000)
    windows = Windows(seconds=4, hop=2, crops=3)
    assert [w[0] for w in windows(values, 100, None)] == [0, 200, 400, 600, 800, 1000, 1200, 1400, 1600]
    crops = windows(values, 100, np.random.default_rng(0))
    assert len(crops) == 3 and all(len(c) == 400 and (np.diff(c) == 1).all() for c in crops)
    assert len({c[0] for c in crops}) > 1


def test_a_short_recording_is_repeated_until_it_fills_a_window():
    (window,) = Windows(seconds=1, hop=1)(np.arange(30), 100, None)
    assert np.array_equal(window, np.arange(100) % 30)
