"""Facts about MONAI's networks as encoders."""

import numpy as np
import pytest
import torch

from mmdx.encoders.image import ImageTransform
from mmdx.encoders.pixels import Augmentation
from mmdx.encoders.volume import MonaiEncoder, VolumeTransform
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_encoder

pytest.importorskip("monai")
SIZE = (8, 16, 16)


def volumes(count=4):
    rng = np.random.default_rng(0)
    return [rng.normal(-200, 400, (11 + i, 20, 30)).astype(np.int16) for i in range(count)]


def test_a_3d_resnet_keeps_the_contract():
    check_encoder(lambda transform: MonaiEncoder(transform, "resnet10", width=8), VolumeTransform(SIZE, augment=Augmentation()), volumes())


def test_the_same_network_takes_images():
    encoder = MonaiEncoder(ImageTransform(32), "monai.networks.nets.resnet10", width=8)
    assert encoder(torch.randn(1, 1, 32, 32)).tokens.shape == (1, 1, 8)
    assert {id(p) for layer in encoder.layers() for p in layer.parameters()} == {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("network", ["os", "monai.bundle.run", "nn", "Bottleneck.__init__", "monai.networks.nets.resnet", "nope"])
def test_only_networks_of_monai_can_be_named(network):
    with pytest.raises(InputError, match=r"monai\.networks\.nets has no such network"):
        MonaiEncoder(ImageTransform(32), network)


def test_a_network_that_needs_more_says_what():
    with pytest.raises(InputError, match="network=UNet: needs channels, strides"):
        MonaiEncoder(ImageTransform(32), "UNet")


def test_weights_without_the_output_layer_load_and_others_do_not(tmp_path):
    first = MonaiEncoder(ImageTransform(32), "resnet10", width=8)
    state = {f"module.{k}": v for k, v in first.network.state_dict().items() if not k.startswith("fc.")}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    second = MonaiEncoder(ImageTransform(32), "resnet10", width=4, weights=str(tmp_path / "net.pth"))
    assert torch.equal(first.network.conv1.weight, second.network.conv1.weight)
    with pytest.raises(InputError, match="do not fit ResNet: .* missing from the file"):
        MonaiEncoder(ImageTransform(32), "resnet18", width=4, weights=str(tmp_path / "net.pth"))


def test_resampling_keeps_a_ramp_a_ramp():
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, 40), (10, 20, 40))
    out = VolumeTransform((10, 20, 20)).prepare(ramp).astype(float)
    assert out.shape == (10, 20, 20)
    assert np.ptp(out, axis=(0, 1)).max() <= 1
    middle = 2 * np.arange(20) + 0.5  # of each new cell, in old ones
    assert np.allclose(out[0, 0, 2:-2], 255 * middle[2:-2] / 39, atol=1.5)


def test_an_image_is_sent_to_the_other_encoder():
    for raw in (np.zeros((20, 30)), np.zeros((20, 30, 3))):
        with pytest.raises(SampleError, match=r"expected \[D, H, W\]"):
            VolumeTransform().prepare(raw)
