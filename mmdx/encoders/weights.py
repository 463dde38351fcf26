"""Where pretrained weights come from: a hub, a local file or folder, or an installed package; nothing in a file is executed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdx.errors import InputError

HUB = "hub"
"""The word for the weights that are published under the model's own name."""
PACKAGE = "package:"
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
NESTED = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep the weights in a checkpoint."""


def resolve_weights(spec: str | None) -> str | Path | None:
    """What ``weights`` in a config stands for.

    Args:
        spec: None for random initialisation; ``hub`` for what is published under the model's name; ``package:NAME`` or
            ``package:NAME/relative/path`` for a file or folder in an installed package; else a local file or folder.

    Returns:
        None, ``HUB``, or an existing path.

    Raises:
        InputError: where the file or package is missing, the path leaves the package, or the suffix is not one of weights.
    """
    if spec is None or spec == HUB:
        return spec
    path = package_path(spec) if spec.startswith(PACKAGE) else Path(spec).expanduser()
    if not path.exists():
        raise InputError(f"weights={spec}: no such file. Give null, hub, a file ({', '.join(SUFFIXES)}), or package:NAME.")
    if path.is_file() and path.suffix not in SUFFIXES:
        raise InputError(f"weights={spec}: unknown kind of file '{path.suffix}'; expected one of {', '.join(SUFFIXES)}.")
    return path


def package_path(spec: str) -> Path:
    """The file or folder that ``package:NAME[/relative/path]`` names; without a path, the one that holds or is the weights.

    The package is found without being imported, so nothing in it runs.

    Raises:
        InputError: where the package is not installed, the path is not in it or leaves it, or several files could be meant.
    """
    name, _, relative = spec.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    places = list(found.submodule_search_locations or []) if found else []
    if not places:
        raise InputError(f"{spec}: the package {name!r} is not installed; pip install {name.replace('_', '-')}")
    root = Path(places[0]).resolve()
    if not relative:
        return _only_weights(root, spec)
    path = (root / relative).resolve()
    if ".." in Path(relative).parts or not path.is_relative_to(root):
        raise InputError(f"{spec}: the path must stay inside the package {name!r}.")
    if not path.exists():
        raise InputError(f"{spec}: the package {name!r} has no {relative!r}.")
    return path


def _only_weights(root: Path, spec: str) -> Path:
    """The one weights file below a folder; its folder where a ``config.json`` lies beside it, as transformers saves models."""
    files = sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if len(files) != 1:
        names = ", ".join(str(path.relative_to(root)) for path in files[:5]) or "none"
        raise InputError(f"{spec}: expected one file of weights in the package, found {names}. Name it as {spec}/PATH.")
    return files[0].parent if (files[0].parent / "config.json").exists() else files[0]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file; one nested under ``state_dict`` or alike is unpacked, a ``module.`` before all names removed.

    Raises:
        InputError: where the file is damaged, or holds anything but tensors and plain values, which is refused unread.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise InputError(f"weights={path}: a .safetensors file needs safetensors: pip install 'mmdx[pretrained]'") from None
    except Exception:
        raise InputError(f"weights={path}: not a readable file of tensors; refused, since loading anything else could run code.") from None
    for key in NESTED:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    state = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not state:
        raise InputError(f"weights={path}: holds no tensors by name; expected a state_dict.")
    prefix = "module."
    return {k.removeprefix(prefix): v for k, v in state.items()} if all(k.startswith(prefix) for k in state) else state


def load_weights(model: nn.Module, path: Path, ignored: Callable[[str], bool] = lambda name: False) -> None:
    """Load a file into a model, name by name and shape by shape.

    Args:
        model: takes the weights.
        path: of the file.
        ignored: says of a name whether it may lack in the model or in the file: the output layer of the task it was trained on.

    Raises:
        InputError: where names or shapes do not fit, with how many and the first few.
    """
    fit_state(model, read_state_dict(path), f"weights={path}", ignored)


def fit_state(model: nn.Module, state: Mapping[str, Tensor], source: str, ignored: Callable[[str], bool]) -> None:
    """As ``load_weights``, for tensors already read; ``source`` names them in the message, as in ``weights=FILE``."""
    own = model.state_dict()
    state = {name: value for name, value in state.items() if not ignored(name)}
    missing = [name for name in own if name not in state and not ignored(name)]
    unknown = [name for name in state if name not in own]
    shaped = [name for name in state if name in own and state[name].shape != own[name].shape]
    faults = {"missing from the file": missing, "unknown to the model": unknown, "of another shape": shaped}
    if any(faults.values()):
        words = "; ".join(f"{len(names)} {kind} (such as {', '.join(names[:3])})" for kind, names in faults.items() if names)
        raise InputError(f"{source}: do not fit {type(model).__name__}: {words}. Give the weights of this very network.")
    model.load_state_dict(state, strict=False)


def from_efficientnet_pytorch(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Names of the EfficientNet-PyTorch family (``_blocks.0._depthwise_conv.weight``) as timm's for the same network, values untouched.

    Args:
        state: tensors under either naming; timm's own come back as they are.
        model: a timm EfficientNet, whose stages say where the flat list of blocks is cut.
    """
    if "_conv_stem.weight" not in state:
        return dict(state)
    blocks = [(f"blocks.{s}.{i}", block) for s, stage in enumerate(model.blocks) for i, block in enumerate(stage)]  # type: ignore[arg-type]
    whole = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    squeeze = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2", **squeeze}
    inverted = {**plain, "_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    renamed = {}
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] == "_blocks" and int(parts[1]) < len(blocks):
            place, block = blocks[int(parts[1])]
            parts = [place, (inverted if hasattr(block, "conv_pwl") else plain).get(parts[2], parts[2]), *parts[3:]]
        else:
            parts[0] = whole.get(parts[0], parts[0])
        renamed[".".join(parts)] = value
    return renamed
