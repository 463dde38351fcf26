"""Which of an encoder's parameters learn, and how fast: all, none, the last layers, or low-rank adapters."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmdx.errors import InputError

ATTENTION = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "query_proj", "value_proj", "query_key_value", "qkv")
"""Names that transformers and timm give to the projections LoRA adapts by default: queries and values, or all three in one."""


class FullTuning:
    """Everything learns, layers further from the output more slowly.

    Layer-wise decay as in ULMFiT (Howard & Ruder 2018, arXiv:1801.06146, section 3.2) and BEiT: layer l of L learns at
    ``lr * layer_decay ** (L - 1 - l)``, so the last at ``lr``.

    Args:
        layer_decay: the factor, above 0 and at most 1; 1 is the same rate everywhere.
    """

    def __init__(self, layer_decay: float = 1.0) -> None:
        if not 0.0 < layer_decay <= 1.0:
            raise InputError(f"tuning.layer_decay={layer_decay}: must be above 0 and at most 1.")
        self.layer_decay = layer_decay

    def apply(self, encoder: nn.Module) -> None:
        """Leave the encoder as its constructor made it."""

    def parameter_groups(self, encoder: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups for an optimiser over what learns; biases and norms, of one dimension, have no weight decay."""
        return decayed_groups(encoder, lr, weight_decay, self.layer_decay)


class Frozen(FullTuning):
    """Nothing learns: the encoder is a fixed extractor of features."""

    def __init__(self) -> None:
        super().__init__()

    def apply(self, encoder: nn.Module) -> None:
        """Take every parameter out of training."""
        encoder.requires_grad_(False)


class LastLayers(FullTuning):
    """The last layers learn, those before are frozen.

    Args:
        count: how many of ``encoder.layers()``, at least 1.
        layer_decay: as for ``FullTuning``.
    """

    def __init__(self, count: int, layer_decay: float = 1.0) -> None:
        super().__init__(layer_decay)
        if count < 1:
            raise InputError(f"tuning.count={count}: must be at least 1; to train no layer use tuning: frozen.")
        self.count = count

    def apply(self, encoder: nn.Module) -> None:
        """Freeze all but the last layers.

        Raises:
            InputError: where the encoder has fewer layers.
        """
        layers = layers_of(encoder)
        if self.count > len(layers):
            raise InputError(f"tuning.count={self.count}: {type(encoder).__name__} has {len(layers)} layers.")
        kept = {id(p) for layer in layers[-self.count :] for p in layer.parameters() if p.requires_grad}
        for parameter in encoder.parameters():
            parameter.requires_grad_(id(parameter) in kept)


class LoRA(FullTuning):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685, equation 3) beside frozen linear layers, by peft: W x + alpha / rank B A x.

    For encoders built on a transformers or timm Transformer. B begins at zero, so the encoder begins as it was.

    Args:
        rank: of A and B, at least 1.
        alpha: weight of the adapters, above 0.
        dropout: on the adapters' input, 0 to below 1.
        targets: names of the linear layers, the last part or a dotted ending; None takes queries and values.
    """

    def __init__(self, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0, targets: list[str] | None = None) -> None:
        super().__init__()
        if rank < 1:
            raise InputError(f"tuning.rank={rank}: must be at least 1.")
        if alpha <= 0:
            raise InputError(f"tuning.alpha={alpha}: must be above 0.")
        if not 0.0 <= dropout < 1.0:
            raise InputError(f"tuning.dropout={dropout}: must be from 0 to below 1.")
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.targets = None if targets is None else list(targets)

    def apply(self, encoder: nn.Module) -> None:
        """Freeze the encoder and put the adapters in, in place; names of weights follow from the config alone.

        Raises:
            InputError: where peft is not installed, or no linear layer has one of the names.
        """
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise InputError("tuning=lora needs peft: pip install 'mmdx[pretrained]'") from None
        wanted = self.targets or list(ATTENTION)
        names = [n for n, m in encoder.named_modules() if isinstance(m, nn.Linear) and any(f".{n}".endswith(f".{w}") for w in wanted)]
        if not names:
            linear = sorted({n.rsplit(".", 1)[-1] for n, m in encoder.named_modules() if isinstance(m, nn.Linear)})
            raise InputError(
                f"tuning.targets={self.targets}: {type(encoder).__name__} has no linear layer named {', '.join(wanted)}; "
                f"there are {', '.join(linear) or 'none'}. LoRA is for encoders on a transformers or timm Transformer."
            )
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=names)  # type: ignore[arg-type]
        encoder.requires_grad_(False)
        inject_adapter_in_model(config, encoder)
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(".lora_" in name)


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """The encoder's layers from input to output.

    Raises:
        InputError: where it publishes none.
    """
    layers = getattr(encoder, "layers", None)
    if not callable(layers):
        raise InputError(f"{type(encoder).__name__} publishes no layers(), which layer-wise tuning needs; use tuning: full or frozen.")
    return list(layers())


def decayed_groups(encoder: nn.Module, lr: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters grouped by learning rate and by whether they have weight decay; see ``FullTuning``.

    Raises:
        InputError: where ``layer_decay`` is below 1 and a trainable parameter is in no layer.
    """
    layers = layers_of(encoder) if layer_decay < 1.0 else []
    depth = {id(p): len(layers) - 1 - i for i, layer in reversed([*enumerate(layers)]) for p in layer.parameters()}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            if layers and id(parameter) not in depth:
                raise InputError(f"{type(encoder).__name__}.layers() leaves out {name}, which layer-wise decay needs.")
            groups.setdefault((depth.get(id(parameter), 0), parameter.ndim > 1), []).append(parameter)
    return [
        {"params": parameters, "lr": lr * layer_decay**steps, "weight_decay": weight_decay if decays else 0.0}
        for (steps, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def hold_frozen(encoder: nn.Module) -> None:
    """Put every part that has parameters, none of them in training, into evaluation: no batch statistics, no dropout.

    A part without parameters, such as a dropout, goes with the part that it belongs to. Call it after each ``train()``.
    """
    trained = [parameter.requires_grad for parameter in encoder.parameters()]
    if trained and not any(trained):
        encoder.eval()
    elif trained:
        for part in encoder.children():
            hold_frozen(part)
