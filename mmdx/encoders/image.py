"""Encoders of images: a small CNN from scratch, and any timm model by name."""

from __future__ import annotations

import copy
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.encoders.modules import all_real, running_statistics
from mmdx.encoders.pixels import Augmentation, as_picture, fit_into
from mmdx.encoders.weights import HUB, fit_state, from_efficientnet_pytorch, read_state_dict, resolve_weights
from mmdx.errors import InputError
from mmdx.types import Features, Transform


class ImageTransform(Transform):
    """Raw [H, W] or [H, W, 3] of any type to float32 [C, S, S]: value range, longer side to S, black padding, normalisation.

    Args:
        size: S, in pixels.
        channels: 1 for grey, 3 for RGB.
        mean, std: of the values in 0 to 1; the item is (value - mean) / std.
        augment: small random changes in training; None for none.
    """

    def __init__(
        self, size: int = 64, channels: int = 1, mean: float = 0.5, std: float = 0.25, augment: Augmentation | None = None
    ) -> None:
        if size < 8:
            raise InputError(f"transform.size={size}: must be at least 8 pixels.")
        if channels not in (1, 3):
            raise InputError(f"transform.channels={channels}: must be 1 (grey) or 3 (RGB).")
        if not std > 0:
            raise InputError(f"transform.std={std}: must be above 0.")
        self.size, self.channels, self.augment = size, channels, augment
        self.mean, self.std = [mean] * channels, [std] * channels

    def prepare(self, raw: Any) -> np.ndarray:
        """uint8 [S, S] or [S, S, 3]."""
        return np.asarray(fit_into(as_picture(raw, self.channels), self.size))

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """float32 [C, S, S]."""
        return normalised(prepared, self.augment, rng, self.mean, self.std)


class TimmTransform(Transform):
    """A timm model's own preprocessing (size, interpolation, crop, mean, std) by timm's own code; the item is float32 [3, S, S].

    Args:
        name: of the model, as for ``TimmEncoder``.
        size: S in pixels; None takes the model's.
        crop: "center" cuts the margins as the model's evaluation does, "border" keeps the whole image and pads, "squash" ignores the
            aspect; None takes the model's.
        crop_share: side of the crop by that of the resized image, above 0 to 1; None takes the model's.
        augment: small random changes in training; None for none.
    """

    channels = 3

    def __init__(
        self,
        name: str,
        size: int | None = None,
        crop: str | None = None,
        crop_share: float | None = None,
        augment: Augmentation | None = None,
    ) -> None:
        if size is not None and size < 32:
            raise InputError(f"transform.size={size}: must be at least 32 pixels for a timm model.")
        if crop not in (None, "center", "border", "squash"):
            raise InputError(f"transform.crop={crop}: must be center, border or squash, or null for the model's own.")
        if crop_share is not None and not 0.0 < crop_share <= 1.0:
            raise InputError(f"transform.crop_share={crop_share}: must be above 0 and at most 1.")
        timm = import_timm()
        given = {"input_size": size and (3, size, size), "crop_mode": crop, "crop_pct": crop_share}
        config = timm.data.resolve_data_config({k: v for k, v in given.items() if v}, pretrained_cfg=pretrained_config(name))
        self.size, self.augment = int(config["input_size"][1]), augment
        self.mean, self.std = list(config["mean"]), list(config["std"])
        self.steps = timm.data.create_transform(**config, is_training=False, use_prefetcher=True)  # ends with uint8 [3, S, S]

    def prepare(self, raw: Any) -> np.ndarray:
        """uint8 [S, S, 3]."""
        return np.ascontiguousarray(np.asarray(self.steps(as_picture(raw, 3))).transpose(1, 2, 0))

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """float32 [3, S, S]."""
        return normalised(prepared, self.augment, rng, self.mean, self.std)


EVERY = np.arange(256, dtype=np.float32) / np.float32(255)
"""The values that a pixel can have."""


def normalised(
    values: np.ndarray, augment: Augmentation | None, rng: np.random.Generator | None, mean: list[float], std: list[float]
) -> Tensor:
    """uint8 [S, S] or [S, S, 3], changed where there is a generator, as float32 [C, S, S] = (value / 255 - mean) / std."""
    if augment is not None and rng is not None:
        values = augment.image(values, rng)
    channels = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    table = (EVERY - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]  # [C, 256], in the place of sums over pixels
    out = np.empty(channels.shape, np.float32)
    for place, channel in enumerate(channels):
        np.take(table[place], channel, out=out[place], mode="clip")  # the mode that needs no second buffer
    return torch.from_numpy(out)


class ResidualStage(nn.Module):
    """A basic block that halves the grid (He et al. 2016, arXiv:1512.03385, figure 5): two 3x3 convolutions beside a strided 1x1."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.beside = nn.Sequential(nn.Conv2d(before, after, 1, stride=2, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        """Grid [n, C, H, W] to [n, C', ceil(H / 2), ceil(W / 2)]."""
        return torch.relu(self.body(x) + self.beside(x))


class SmallCNN(nn.Module):
    """A residual CNN that trains from scratch in a minute; the grid after the last stage gives the tokens.

    Args:
        transform: says size S and channels C of the items.
        width: D, channels of the last stage; stages before have half as many each, at least D / 4.
        blocks: stages, each halving the grid; S of 64 and 4 stages give 4 x 4 = 16 tokens.

    Shapes:
        items [n, C, S, S] give tokens [n, ceil(S / 2 ** blocks) ** 2, D].
    """

    def __init__(self, transform: ImageTransform, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        if width < 4 or width % 4:
            raise InputError(f"width={width}: must be a multiple of 4.")
        if blocks < 1 or transform.size <= 2**blocks:
            raise InputError(f"blocks={blocks}: must be at least 1 and leave more than one cell of an image of {transform.size} pixels.")
        self.transform, self.width = transform, width
        widths = [max(width // 4, width // 2 ** (blocks - 1 - i)) for i in range(blocks)]
        self.stages = nn.ModuleList(ResidualStage(a, b) for a, b in zip([transform.channels, *widths], widths, strict=False))

    def layers(self) -> list[nn.Module]:
        """The stages."""
        return list(self.stages)

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        for stage in self.stages:
            items = stage(items)
        return all_real(items.flatten(2).transpose(1, 2))


class TimmEncoder(nn.Module):
    """Any timm model by name, without its classifier; the grid or sequence before pooling gives the tokens.

    Args:
        transform: gives the items; ``TimmTransform`` of the same name is the model's own.
        name: a timm model such as "resnet18", or "hf-hub:OWNER/MODEL".
        weights: None for random ones, "hub" for those published under the name, a local file, or "package:NAME[/path]". Files in the
            naming of the EfficientNet-PyTorch family are translated for timm's EfficientNets.

    Shapes:
        items [n, C, S, S] give tokens [n, N, D]; a CNN's grid row by row, a ViT's sequence with its class token first.
    """

    def __init__(self, transform: ImageTransform | TimmTransform, name: str, weights: str | None = None) -> None:
        super().__init__()
        timm, source, config = import_timm(), resolve_weights(weights), pretrained_config(name)
        sized = {"img_size": transform.size} if config.get("fixed_input_size") else {}
        try:
            self.model = timm.create_model(name, pretrained=source == HUB, num_classes=0, in_chans=transform.channels, **sized)
        except Exception as fault:
            raise InputError(f"name={name}, weights={weights}: timm could not make it ({str(fault).splitlines()[0]}).") from fault
        if source is not None and source != HUB:
            heads = config.get("classifier") or ()
            endings = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
            state = from_efficientnet_pytorch(read_state_dict(source), self.model)  # type: ignore[arg-type]
            fit_state(self.model, state, f"weights={source}", lambda key: key.startswith(endings))
        self.model.reset_classifier(0, "")
        self.transform, self.width = transform, int(self.model.num_features)
        self.channels_last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        self._check(name)

    def _check(self, name: str) -> None:
        """One empty image through, to find a model that gives no tokens before training does."""
        self.model.eval()
        with torch.no_grad():
            out = self.model(torch.zeros(1, self.transform.channels, self.transform.size, self.transform.size))
        self.model.train()
        axis = 1 if out.ndim == 4 and not self.channels_last else -1
        if out.ndim not in (2, 3, 4):
            raise InputError(f"name={name}: gives features of shape {tuple(out.shape)}, expected a grid, a sequence or a vector.")
        self.width = int(out.shape[axis])

    def layers(self) -> list[nn.Module]:
        """Stem, blocks and last normalisation as timm groups them; groups of parameters, some of which belong to no module of their own."""
        from timm.models import group_parameters

        parameters = dict(self.model.named_parameters())
        groups: dict[Any, list[str]] = group_parameters(self.model, self.model.group_matcher(coarse=False))
        return [nn.ParameterList(parameters[n] for n in groups[key]) for key in sorted(groups)]

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        with running_statistics(self, items):
            out = self.model(items)
        if out.ndim == 4:
            out = out.flatten(1, 2) if self.channels_last else out.flatten(2).transpose(1, 2)
        return all_real(out[:, None] if out.ndim == 2 else out)


def import_timm() -> ModuleType:
    """timm, or a sentence that says how to install it."""
    try:
        import timm
        import timm.data
    except ImportError:
        raise InputError("this image encoder needs timm: pip install 'mmdx[pretrained]'") from None
    return timm


def pretrained_config(name: str) -> dict[str, Any]:
    """What timm knows of a model without building it: input size, mean, std, crop, name of the classifier.

    Raises:
        InputError: where there is no such model, or the hub cannot be reached for its config.
    """
    timm = import_timm()
    if name.startswith("hf-hub:"):
        try:
            return dict(timm.models.load_model_config_from_hf(name.removeprefix("hf-hub:"))[0])
        except Exception as fault:
            raise InputError(f"name={name}: could not be read from the hub ({type(fault).__name__}).") from fault
    config = timm.models.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None:
        near = ", ".join(get_close_matches(name, timm.list_models(), 3)) or "timm.list_models() lists them"
        raise InputError(f"name={name}: timm has no such model. Near: {near}.")
    return copy.deepcopy(config.to_dict())
