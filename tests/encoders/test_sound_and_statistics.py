"""Facts about the encoder of two branches."""

import numpy as np
import pytest
import torch

from mmdx.data.raw import Recording
from mmdx.encoders.heart_sound import Windows
from mmdx.encoders.log_mel import LogMel
from mmdx.encoders.sound_and_statistics import SoundAndStatistics, SoundAndStatisticsTransform
from mmdx.errors import InputError
from mmdx.testing import check_encoder


def recordings(count=5):
    rng = np.random.default_rng(0)
    return [Recording(rng.standard_normal(1000 * (1 + i)).astype(np.float32), 1000) for i in range(count)]


def fitted():
    transform = SoundAndStatisticsTransform(LogMel(windows=Windows(2, 1)))
    transform.fit([transform.prepare(r) for r in recordings()])
    return transform


def test_the_encoder_keeps_the_contract():
    check_encoder(SoundAndStatistics, SoundAndStatisticsTransform(LogMel(windows=Windows(2, 1))), recordings())


def test_layers_hold_every_parameter_once():
    encoder = SoundAndStatistics()
    held = [id(p) for layer in encoder.layers() for p in layer.parameters()]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters())


def test_every_window_carries_the_statistics_of_its_whole_recording():
    transform = fitted()
    windows = transform(transform.prepare(recordings()[4]), None)
    assert len(windows) == 4
    assert all(torch.equal(window["statistics"], windows[0]["statistics"]) for window in windows)
    assert not torch.equal(windows[0]["log_mel"], windows[1]["log_mel"])


def test_the_token_is_the_two_branches_tokens_side_by_side():
    transform = fitted()
    encoder = SoundAndStatistics(transform, width=64).eval()
    windows = transform(transform.prepare(recordings()[4]), None)
    items = {name: torch.stack([window[name] for window in windows]) for name in windows[0]}
    tokens = encoder(items).tokens
    assert tokens.shape == (4, 1, 64)
    torch.testing.assert_close(tokens[..., :32], encoder.sound(items["log_mel"]).tokens)
    torch.testing.assert_close(tokens[..., 32:], encoder.statistics(items["statistics"]).tokens)


def test_an_odd_width_is_refused():
    with pytest.raises(InputError, match="width=65: must be an even number"):
        SoundAndStatistics(width=65)
