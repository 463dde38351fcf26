"""Audio encoders from model libraries: any timm backbone on log-mel windows, Hugging Face models of sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdx.data.raw import Recording
from mmdx.encoders.audio import one_token
from mmdx.encoders.heart_sound import HeartSoundFrontEnd, Windows, resample
from mmdx.encoders.log_mel import LogMel
from mmdx.errors import InputError
from mmdx.types import Features, Item, Transform

if TYPE_CHECKING:
    from types import ModuleType


_LEFT_TO_CHANCE = {"mask_time_prob", "mask_feature_prob", "layerdrop"}
"""Settings of wav2vec 2.0 and its kin that are turned off: they draw from numpy's global state, or leave parameters without a gradient."""


class TimmAudio(nn.Module):
    """Any image backbone of timm on log-mel windows, taken as images of one channel.

    Windows are stretched to the size that the backbone was made for where it takes no other (vision transformers).

    Args:
        name: the backbone, as in ``timm.list_models()``, or ``hf-hub:OWNER/NAME``.
        transform: makes the windows.
        pretrained: take the published weights, the first layer's summed over colours.
        checkpoint: a file of weights to take instead.

    Shapes:
        Windows [n, M, W] give one token each: tokens [n, 1, D], D the backbone's number of features.
    """

    def __init__(self, name: str, transform: LogMel | None = None, pretrained: bool = False, checkpoint: str | None = None) -> None:
        super().__init__()
        timm = _timm()
        source = {"checkpoint_path": checkpoint} if checkpoint else {"pretrained": pretrained}
        try:
            self.backbone = timm.create_model(name, in_chans=1, num_classes=0, **source)
        except Exception as fault:
            raise InputError(f"encoder {name!r}: timm cannot make it ({_first_line(fault)}); see timm.list_models().") from None
        self.transform, self.width = transform or LogMel(), int(self.backbone.num_features)
        config = self.backbone.pretrained_cfg or {}
        self.size = tuple(config["input_size"][-2:]) if config.get("fixed_input_size") else None

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        images = items[:, None]
        if self.size is not None:
            images = functional.interpolate(images, self.size, mode="bilinear", align_corners=False)
        return one_token(self.backbone(images))

    def layers(self) -> list[nn.Module]:
        """The backbone's layers in order."""
        return layers_in_order(self.backbone)


class HuggingFaceWindows(Transform):
    """Windows of the clean waveform, made ready by a model's own feature extractor.

    Args:
        name: hub name or local folder of the model, which holds the extractor's settings.
        front_end: cleans the signal before it is brought to the extractor's rate.
        windows: which parts of the recording become items.
    """

    def __init__(self, name: str, front_end: HeartSoundFrontEnd | None = None, windows: Windows | None = None) -> None:
        self.name = name
        self.front_end, self.windows = front_end or HeartSoundFrontEnd(), windows or Windows()
        self.extractor = _from_hub("AutoFeatureExtractor", name)

    def prepare(self, raw: Recording) -> Recording:
        """The clean recording at the extractor's rate."""
        clean, rate = self.front_end(raw), int(self.extractor.sampling_rate)
        return Recording(resample(clean.samples, clean.rate, rate).astype(np.float32), rate)

    def __call__(self, prepared: Recording, rng: np.random.Generator | None) -> list[Item]:
        """Of each window the extractor's tensors by name, without a batch axis."""
        return [self._extract(window, prepared.rate) for window in self.windows(prepared.samples, prepared.rate, rng)]

    def _extract(self, window: np.ndarray, rate: int) -> Item:
        extracted = self.extractor(np.ascontiguousarray(window), sampling_rate=rate, return_tensors="np")
        return {name: torch.from_numpy(np.array(values[0])) for name, values in extracted.items()}


class HuggingFaceAudio(nn.Module):
    """Any audio model of transformers, such as the Audio Spectrogram Transformer (Gong et al. 2021, arXiv:2104.01778) or wav2vec 2.0
    (Baevski et al. 2020, arXiv:2006.11477).

    Args:
        name: hub name or local folder.
        transform: makes the windows; its ``name`` is the model's.
        pretrained: take the weights that are there, else only the architecture.

    Shapes:
        Windows as a dict with ``input_values`` [n, ...] give one token each: tokens [n, 1, D]. It is the model's own pooled output
        where it has one (AST), else the mean of its last hidden states (wav2vec 2.0).
    """

    def __init__(self, name: str, transform: HuggingFaceWindows | None = None, pretrained: bool = True) -> None:
        super().__init__()
        config = _from_hub("AutoConfig", name)
        for setting in _LEFT_TO_CHANCE & set(config.to_dict()):
            setattr(config, setting, 0.0)
        self.model = _from_hub("AutoModel", name, config=config) if pretrained else _transformers().AutoModel.from_config(config)
        self.transform, self.width = transform or HuggingFaceWindows(name), int(self.model.config.hidden_size)

    def forward(self, items: dict[str, Tensor]) -> Features:
        """Encode; see the class for shapes."""
        output = self.model(**items)
        pooled = getattr(output, "pooler_output", None)
        return one_token(output.last_hidden_state.mean(dim=1) if pooled is None else pooled)

    def layers(self) -> list[nn.Module]:
        """The model's layers in order."""
        return layers_in_order(self.model)


def layers_in_order(model: nn.Module) -> list[nn.Module]:
    """Layers of a model from input to output, as they were defined; a part that holds more than half of all parameters is laid open.

    Parameters that belong to no layer (positions, class token) come first, as a layer of their own.
    """
    half = sum(p.numel() for p in model.parameters()) / 2
    loose: list[nn.Parameter] = []
    layers = _lay_open(model, half, loose)
    return [nn.ParameterList(loose), *layers] if loose else layers


def _lay_open(module: nn.Module, half: float, loose: list[nn.Parameter]) -> list[nn.Module]:
    loose.extend(module.parameters(recurse=False))
    layers: list[nn.Module] = []
    for child in module.children():
        size = sum(p.numel() for p in child.parameters())
        layers.extend(_lay_open(child, half, loose) if size > half and len(list(child.children())) > 1 else [child] if size else [])
    return layers


def _from_hub(kind: str, name: str, **settings: Any) -> Any:
    try:
        return getattr(_transformers(), kind).from_pretrained(name, **settings)
    except (OSError, ValueError, ImportError) as fault:
        raise InputError(
            f"encoder {name!r}: transformers cannot load it ({_first_line(fault)}); give a hub name, or a local folder with the "
            "model's config.json and preprocessor_config.json."
        ) from None


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError:
        raise InputError("an audio encoder of timm needs timm: pip install 'mmdx[pretrained]'.") from None
    return timm


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise InputError("an audio encoder of Hugging Face needs transformers: pip install 'mmdx[pretrained]'.") from None
    return transformers


def _first_line(fault: Exception) -> str:
    return str(fault).strip().splitlines()[0].rstrip(".") if str(fault).strip() else type(fault).__name__
