"""Encoders of MONAI's networks, for volumes and for images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmdx.encoders.image import ImageTransform
from mmdx.encoders.modules import all_real, running_statistics
from mmdx.encoders.pixels import Augmentation, resample_volume, to_uint8
from mmdx.encoders.weights import HUB, load_weights, resolve_weights
from mmdx.errors import InputError, SampleError
from mmdx.types import Features, Transform

NETWORKS = "monai.networks.nets"
INPUTS = ("in_channels", "n_input_channels", "in_chans")
OUTPUTS = ("num_classes", "out_channels", "num_channels")


class VolumeTransform(Transform):
    """Raw volume [D, H, W] of any type to float32 [1, D', H', W']: value range, resampling, normalisation.

    Args:
        size: D', H', W' in voxels; each axis is resampled by itself.
        mean, std: of the values in 0 to 1; the item is (value - mean) / std.
        augment: small random changes in training; None for none.
    """

    channels = 1

    def __init__(
        self, size: Sequence[int] = (32, 64, 64), mean: float = 0.5, std: float = 0.25, augment: Augmentation | None = None
    ) -> None:
        if len(size) != 3 or min(size) < 8:
            raise InputError(f"transform.size={list(size)}: must be three whole numbers of at least 8, for D, H, W.")
        if not std > 0:
            raise InputError(f"transform.std={std}: must be above 0.")
        self.size = (int(size[0]), int(size[1]), int(size[2]))
        self.mean, self.std, self.augment = mean, std, augment

    def prepare(self, raw: Any) -> np.ndarray:
        """uint8 [D', H', W'].

        Raises:
            SampleError: where the raw input is no volume.
        """
        volume = np.asarray(raw)
        if volume.ndim != 3 or volume.shape[2] == 3:
            raise SampleError(f"a volume has shape {volume.shape}; expected [D, H, W]. For images [H, W] use encoder/image: monai.")
        return resample_volume(to_uint8(volume), self.size)

    def __call__(self, prepared: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """float32 [1, D', H', W']."""
        if self.augment is not None and rng is not None:
            prepared = self.augment.volume(prepared, rng)
        return torch.from_numpy((prepared[None].astype(np.float32) / np.float32(255) - np.float32(self.mean)) / np.float32(self.std))


class MonaiEncoder(nn.Module):
    """A network of ``monai.networks.nets`` whose output layer has ``width`` units; its output is the token.

    Networks that take the dimension, the number of input channels and the number of classes or output channels fit: resnet10 to
    resnet200, DenseNet121 to DenseNet264, SEResNet50 and their kin, ViT (with einops). One that gives a grid, such as SegResNet, gives a
    token for each cell.

    Args:
        transform: ``VolumeTransform`` for 3-D, ``ImageTransform`` for 2-D.
        network: name of the class or function, such as "resnet10" or "DenseNet121", with or without "monai.networks.nets.".
        width: D of the tokens.
        weights: None for random ones, a local file, or "package:NAME[/path]"; the output layer may lack in the file.

    Shapes:
        items [n, C, D', H', W'] or [n, C, S, S] give tokens [n, 1, D].
    """

    def __init__(
        self, transform: VolumeTransform | ImageTransform, network: str = "resnet10", width: int = 128, weights: str | None = None
    ) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"width={width}: must be at least 1.")
        source = resolve_weights(weights)
        if source == HUB:
            raise InputError("weights=hub: MONAI's networks have none under their name; give null, a file or package:NAME.")
        self.transform, self.width = transform, width
        self.network = _build(network, transform, width)
        output = _output_layer(self.network, width)
        if source is not None:
            load_weights(self.network, source, lambda name: bool(output) and name.startswith(f"{output}."))  # type: ignore[arg-type]
        self._check(network)

    def _check(self, network: str) -> None:
        """One empty item through, to find a network that doesn't fit before training does."""
        size = self.transform.size
        shape = (size, size) if isinstance(size, int) else size
        self.network.eval()
        try:
            with torch.no_grad():
                out = self._tokens(torch.zeros(1, self.transform.channels, *shape))
        except (RuntimeError, ValueError, IndexError) as fault:
            raise InputError(f"network={network}: does not take items of size {list(shape)} ({str(fault).splitlines()[0]}).") from fault
        self.network.train()
        if out.shape[-1] != self.width:
            raise InputError(f"network={network}: gives {out.shape[-1]} channels and not width={self.width}.")

    def _tokens(self, items: Tensor) -> Tensor:
        out = self.network(items)
        out = out[0] if isinstance(out, tuple | list) else out
        return out[:, None] if out.ndim == 2 else out.flatten(2).transpose(1, 2)

    def layers(self) -> list[nn.Module]:
        """The network's parts in order; of a part that is itself a sequence, such as a ViT's blocks, each of its own parts."""
        parts: list[nn.Module] = [nn.ParameterList(self.network.parameters(recurse=False))]
        for part in self.network.children():
            parts.extend(part.children() if isinstance(part, nn.Sequential | nn.ModuleList) else [part])
        return [part for part in parts if any(True for _ in part.parameters())]

    def forward(self, items: Tensor) -> Features:
        """Encode; see the class for shapes."""
        with running_statistics(self, items):
            return all_real(self._tokens(items))


def _build(network: str, transform: VolumeTransform | ImageTransform, width: int) -> nn.Module:
    """Make a network by name; what it is given follows from the names of its parameters."""
    make, size = _find(network), transform.size
    volume = not isinstance(size, int)
    known: dict[str, Any] = {"spatial_dims": 3 if volume else 2, "img_size": size if volume else (size, size)}
    known |= dict.fromkeys(INPUTS, transform.channels) | dict.fromkeys(OUTPUTS, width)
    known |= {"patch_size": 16, "classification": True, "post_activation": None, "pretrained": False}
    takes = _parameters(make)
    needs = [name for name, required in takes.items() if required and name not in known]
    if needs or not set(OUTPUTS) & set(takes) or not set(INPUTS) & set(takes):
        reason = f"needs {', '.join(needs)}" if needs else "has no number of inputs and outputs to set"
        raise InputError(f"network={network}: {reason}, which this encoder doesn't give; resnet10 or DenseNet121 would do.")
    try:
        return make(**{name: value for name, value in known.items() if name in takes})
    except (ValueError, TypeError, RuntimeError, AttributeError, ImportError) as fault:
        raise InputError(f"network={network}: {NETWORKS} could not make it ({str(fault).splitlines()[0]}).") from fault


def _find(network: str) -> Callable[..., nn.Module]:
    """A class or function that is defined in MONAI's networks, never one that they merely import."""
    try:
        from monai.networks import nets
    except ImportError:
        raise InputError("this encoder needs MONAI: pip install 'mmdx[medical]'") from None
    name = network.removeprefix(f"{NETWORKS}.")
    found = getattr(nets, name, None) if name.isidentifier() else None
    inside = str(getattr(found, "__module__", "")).startswith(f"{NETWORKS}.")
    if not inside or not (inspect.isfunction(found) or (inspect.isclass(found) and issubclass(found, nn.Module))):
        raise InputError(f"network={network}: {NETWORKS} has no such network; resnet10, DenseNet121 and SEResNet50 are some that fit.")
    return found


def _parameters(make: Callable[..., nn.Module]) -> dict[str, bool]:
    """Names of what a network takes, and whether it must be given; ``**kwargs`` are followed to the class they are handed to."""
    if inspect.isfunction(make):
        made = inspect.signature(make, eval_str=True).return_annotation
        makers: list[Any] = [make, *([made.__init__] if inspect.isclass(made) else [])]
    else:
        kinds = [kind for kind in inspect.getmro(make) if issubclass(kind, nn.Module) and kind is not nn.Module]  # type: ignore[arg-type]
        makers = [kind.__init__ for kind in kinds]
    takes: dict[str, bool] = {}
    for i, maker in enumerate(makers):
        parameters = [p for p in inspect.signature(maker).parameters.values() if p.name != "self"]
        for p in parameters:
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                takes.setdefault(p.name, i == 0 and p.default is p.empty)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return takes


def _output_layer(network: nn.Module, width: int) -> str:
    """Name of the last linear layer with ``width`` units, or an empty string."""
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and part.out_features == width]
    return linear[-1] if linear else ""
