"""Facts about how a model is laid out before it is trained."""

import copy

import pytest
import torch
from torch import nn

from mmdx.encoders.image import ImageTransform, SmallCNN
from mmdx.training.build import lay_out


def test_channels_last_is_the_same_maths_to_rounding():
    torch.manual_seed(0)
    plain = SmallCNN(ImageTransform(32), width=16, blocks=3)
    last = copy.deepcopy(plain)
    lay_out(last, True, torch.device("cpu"))
    assert last.stages[1].body[0].weight.is_contiguous(memory_format=torch.channels_last)
    items = torch.randn(4, 1, 32, 32)
    tokens = [net(items).tokens for net in (plain, last)]
    torch.testing.assert_close(*tokens, rtol=1e-4, atol=1e-5)
    for some in tokens:
        some.square().mean().backward()
    for name, parameter in last.named_parameters():
        torch.testing.assert_close(parameter.grad, plain.get_parameter(name).grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("asked", "device", "expected"), [(None, "cpu", False), (False, "cpu", False), (None, "mps", False), (True, "mps", True)])
def test_channels_last_is_for_devices_that_gain_by_it(asked, device, expected):
    net = nn.Conv2d(3, 4, 3)
    lay_out(net, asked, torch.device(device))
    assert net.weight.is_contiguous(memory_format=torch.channels_last) is expected


def test_weights_of_either_layout_are_those_of_the_other():
    nets = [nn.Conv2d(3, 4, 3) for _ in range(2)]
    lay_out(nets[0], True, torch.device("cpu"))
    nets[1].load_state_dict(nets[0].state_dict())
    assert torch.equal(nets[0].weight, nets[1].weight) and nets[1].weight.is_contiguous()
