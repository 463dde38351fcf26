"""Audio encoders from model libraries, with tiny random models in place of downloads."""

import numpy as np
import pytest
import torch

from mmdx.data.raw import Recording
from mmdx.encoders.audio_pretrained import HuggingFaceAudio, HuggingFaceWindows, TimmAudio, layers_in_order
from mmdx.encoders.heart_sound import Windows
from mmdx.encoders.log_mel import LogMel
from mmdx.errors import InputError
from mmdx.testing import check_encoder

timm = pytest.importorskip("timm", reason="needs the extra pretrained")
transformers = pytest.importorskip("transformers", reason="needs the extra pretrained")
RAWS = [Recording(np.random.default_rng(i).standard_normal(1500 + 500 * i).astype(np.float32), 1000) for i in range(4)]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wav2vec2")
    convolutions = {"conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 4), "conv_stride": (5, 8, 8), "num_feat_extract_layers": 3}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.5, "mask_time_prob": 0.5}
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SMALL, **convolutions, **positions)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def spectrogram_transformer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ast")
    transformers.ASTModel(transformers.ASTConfig(**SMALL, max_length=64, num_mel_bins=32)).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("model", ["wav2vec2", "spectrogram_transformer"])
def test_hugging_face_models_keep_the_contract(model, request):
    folder = request.getfixturevalue(model)
    transform = HuggingFaceWindows(folder, windows=Windows(0.5, 0.5))
    check_encoder(lambda fitted: HuggingFaceAudio(folder, fitted), transform, RAWS)
    encoder = HuggingFaceAudio(folder, transform)
    held = [id(p) for layer in encoder.layers() for p in layer.parameters()]
    assert sorted(held) == sorted(id(p) for p in encoder.parameters())
    assert len(encoder.layers()) >= 4  # embedding, two blocks, and what lies between


def test_sound_reaches_a_model_at_its_own_rate(wav2vec2):
    transform = HuggingFaceWindows(wav2vec2, windows=Windows(0.5, 0.5))
    prepared = transform.prepare(RAWS[3])
    assert prepared.rate == 16_000 and len(prepared.samples) == 48_000
    assert transform(prepared, None)[0]["input_values"].shape == (8_000,)


def test_weights_come_from_the_folder_or_are_left_there(spectrogram_transformer):
    first, second = (HuggingFaceAudio(spectrogram_transformer) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    fresh = HuggingFaceAudio(spectrogram_transformer, pretrained=False)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), fresh.parameters(), strict=True))


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(InputError, match=r"transformers cannot load it.*config\.json"):
        HuggingFaceAudio(str(tmp_path))
    with pytest.raises(InputError, match="'resnet18x': timm cannot make it"):
        TimmAudio("resnet18x")


def test_a_timm_backbone_keeps_the_contract():
    transform = LogMel(windows=Windows(1, 1))
    check_encoder(lambda fitted: TimmAudio("resnet10t", fitted), transform, RAWS)


def test_windows_are_stretched_for_a_backbone_of_one_size():
    encoder = TimmAudio("vit_tiny_patch16_224").eval()
    with torch.no_grad():
        assert encoder(torch.randn(2, 32, 60)).tokens.shape == (2, 1, encoder.width)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "efficientnet_lite0"])
def test_layers_hold_every_parameter_once_from_input_to_output(name):
    model = timm.create_model(name, in_chans=1, num_classes=0)
    layers = layers_in_order(model)
    held = [id(p) for layer in layers for p in layer.parameters()]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    first_used = next(layer for layer in layers if not isinstance(layer, torch.nn.ParameterList))
    assert any(isinstance(module, torch.nn.Conv2d) and module.in_channels == 1 for module in first_used.modules())
    assert len(layers) >= 5
