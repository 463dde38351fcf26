"""Facts about spectral statistics."""

import numpy as np
import pytest
import torch

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import HeartSoundFrontEnd
from mmdx.encoders.log_mel import MelSpectrum
from mmdx.encoders.spectral import (
    SpectralStatistics,
    Statistics,
    StatisticsTransform,
    autocorrelation,
    envelope,
    modulation_spectrum,
    ranks,
    strongest_beat,
)
from mmdx.errors import InputError
from mmdx.testing import check_encoder

RATE = 1000


def pulses(beats_a_minute, seconds=12):
    time = np.arange(seconds * RATE) / RATE
    phase = (time * beats_a_minute / 60) % 1 * 60 / beats_a_minute
    sound = np.exp(-((phase - 0.1) ** 2) / 5e-4) + 0.6 * np.exp(-((phase - 0.35) ** 2) / 5e-4)
    return Recording((sound * np.sin(2 * np.pi * 80 * time)).astype(np.float32), RATE)


def recordings(count=5):
    rng = np.random.default_rng(0)
    return [Recording(rng.standard_normal(int(RATE * (1 + i))).astype(np.float32), RATE) for i in range(count)]


@pytest.mark.parametrize("rate", [50, 60, 75, 100, 120])
def test_the_autocorrelation_of_the_envelope_peaks_at_the_heart_beat(rate):
    height, beat = strongest_beat(autocorrelation(envelope(pulses(rate))))
    assert 60 / beat == pytest.approx(rate, rel=0.02)
    assert height > 0.7


def test_autocorrelation_is_one_at_lag_zero_and_the_closed_form_elsewhere():
    values = np.random.default_rng(0).standard_normal(50)
    centred = values - values.mean()
    expected = [centred[: 50 - lag] @ centred[lag:] / (centred @ centred) for lag in range(50)]
    np.testing.assert_allclose(autocorrelation(values), expected, atol=1e-12)
    assert (autocorrelation(np.ones(10)) == 0).all()


def test_a_band_that_swells_three_times_a_second_has_its_modulation_there():
    edges = np.geomspace(0.5, 20, 11)
    time = np.arange(2000) / 62.5
    power = modulation_spectrum(np.sin(2 * np.pi * 3 * time)[None], 62.5, edges)[0]
    assert edges[power.argmax()] <= 3 < edges[power.argmax() + 1]


def test_there_are_328_named_statistics():
    names = Statistics().names
    assert len(names) == len(set(names)) == 328
    assert Statistics()(pulses(70)).shape == (328,)


def test_means_spreads_and_percentiles_are_those_of_the_log_mel_bands():
    statistics, recording = Statistics(), pulses(80)
    named = dict(zip(statistics.names, statistics(recording), strict=True))
    centre = f"{statistics.spectrum.centres[3]:.0f}Hz"
    band = MelSpectrum()(recording).bands[3].astype(np.float64)
    assert named[f"mean_{centre}"] == pytest.approx(band.mean(), rel=1e-5)
    assert named[f"spread_{centre}"] == pytest.approx(band.std(), rel=1e-5)
    assert named[f"percentile25_{centre}"] == pytest.approx(np.percentile(band, 25), rel=1e-5)
    assert named["beat"] == pytest.approx(60 / 80, abs=0.01)


def test_silence_and_short_recordings_give_finite_statistics():
    for samples in (np.zeros(3000), np.ones(1), np.sin(np.arange(40))):
        recording = HeartSoundFrontEnd()(Recording(samples.astype(np.float32), RATE))
        assert np.isfinite(Statistics()(recording)).all()


def test_loudness_does_not_matter_after_the_front_end():
    transform = StatisticsTransform()
    quiet, loud = pulses(70), Recording(3 * pulses(70).samples, RATE)
    np.testing.assert_allclose(transform.prepare(quiet), transform.prepare(loud), atol=1e-2)


def test_a_rank_is_the_share_of_the_training_split_below():
    quantiles = np.linspace(0, 100, 101)[:, None]
    for value, rank in ((-5.0, 0), (0.0, 0), (25.0, 0.25), (60.5, 0.605), (100.0, 1), (1e9, 1)):
        assert ranks(np.array([value]), quantiles)[0] == pytest.approx(rank)
    assert ranks(np.array([7.0]), np.full((101, 1), 7.0))[0] == 0.5  # one value throughout: the middle


def test_training_ranks_are_evenly_spread_with_unit_spread():
    transform = StatisticsTransform()
    rng = np.random.default_rng(0)
    prepared = list(rng.lognormal(size=(400, 328)).astype(np.float32))
    transform.fit(prepared)
    rows = torch.stack([transform(p, None) for p in prepared])
    assert rows.mean(dim=0).abs().max() < 0.02 and (rows.std(dim=0) - 1).abs().max() < 0.02
    assert rows.abs().max() <= np.float32(np.sqrt(3))


def test_the_encoder_keeps_the_contract():
    check_encoder(lambda fitted: SpectralStatistics(fitted), StatisticsTransform(), recordings())
    encoder = SpectralStatistics()
    assert sum(len(list(layer.parameters())) for layer in encoder.layers()) == len(list(encoder.parameters()))


def test_the_same_with_one_and_four_threads():
    threads, results = torch.get_num_threads(), []
    for count in (1, 4):
        torch.set_num_threads(count)
        results.append(StatisticsTransform().prepare(pulses(70)))
    torch.set_num_threads(threads)
    assert np.array_equal(*results)


def test_groups_that_do_not_divide_the_bands_are_refused():
    with pytest.raises(InputError, match="statistics.groups=5.*32 bands"):
        Statistics(groups=5)
