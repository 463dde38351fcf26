"""Each fusion that has a public implementation gives its numbers: ``reference/NAME.json`` holds weights, inputs and what came of them there.

A file says where it is from (``origin``: repository, commit, file, licence), how the numbers were made (``how``), the class (``target``) with its
``settings`` and ``widths``, the weights by our names, the features [B, N, D] of each modality with all tokens real, and the logits [B, K] that were
expected (``head`` "identity" gives the fused features in their place, "linear" takes the head's weights from the file). Only numbers are kept.
"""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class
from torch import nn

from mmdx.types import Features

FILES = sorted((Path(__file__).parent / "reference").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_numbers_are_those_of_the_public_implementation(path):
    case = json.loads(path.read_text(encoding="utf-8"))
    assert {"repository", "commit", "file", "licence"} <= set(case["origin"])
    expected = torch.tensor(case["logits"])
    head = (lambda width: nn.Identity()) if case["head"] == "identity" else (lambda width: nn.Linear(width, expected.shape[1]))
    fusion = get_class(case["target"])(widths=case["widths"], head=head, **case["settings"]).eval()
    fusion.load_state_dict({name: torch.tensor(value) for name, value in case["weights"].items()})
    tokens = {m: torch.tensor(value) for m, value in case["features"].items()}
    features = {m: Features(t, torch.ones(t.shape[:2], dtype=torch.bool)) for m, t in tokens.items()}
    present = {m: torch.ones(len(t), dtype=torch.bool) for m, t in tokens.items()}
    with torch.no_grad():
        logits = fusion(features, present).logits
    assert float((logits - expected).abs().max()) <= 1e-5
    assert float(expected.std()) > 1e-2  # else anything would do
