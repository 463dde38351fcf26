"""mmdx: research on multimodal diagnostics, one encoder for each modality and a configurable fusion head."""

__version__ = "0.1.0"
