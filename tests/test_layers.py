"""Imports point one way, and what must start fast imports nothing heavy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mmdx"
ORDER = [
    {"errors", "files", "hydra_faults", "kept_config", "stopping", "timings"},
    {"types"},
    {"data", "encoders", "fusion", "strategies", "tasks", "simulate"},
    {"training"},
    {"cells", "prediction_table", "study", "together", "testing", "audit", "explain"},
    {"configuration", "methods", "parts", "provenance", "run", "evaluate", "stress", "rerun", "runs", "tracking", "sweep"},
    {"grid"},
    {"commands", "cli"},
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
HEAVY = [
    *("torch", "torchvision", "torchaudio", "pytorch_lightning", "transformers", "monai"),
    *("timm", "torchmetrics", "sklearn", "matplotlib", "pandas"),
]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(name):
    parts = name.split(".")
    return parts[1] if parts[0] == "mmdx" and len(parts) > 1 else None


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    rooms = {r for name in imported(path) if (r := room(name))}
    if own in ("evaluation", "report"):
        assert rooms <= {"evaluation", "errors", "files"} | {own}
        assert not any(name.split(".")[0] in ("torch", "pytorch_lightning") for name in imported(path))
    elif own != "__init__":
        assert all(r in ("evaluation", "report") or LEVEL[r] <= LEVEL[own] for r in rooms), rooms


def test_modalities_are_data_not_code():
    words = re.compile(r"[\"'](image|text|audio|tabular)[\"']")
    places = [p for p in FILES if p.relative_to(PACKAGE).parts[0] not in ("encoders", "data", "simulate", "explain", "report", "testing")]
    assert not [str(p) for p in places if words.search(p.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"]])
def test_help_and_config_load_nothing_heavy(flags):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train.py', '+experiment=xray_text', *{flags!r}]\n"
        "try: runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("LOADED []"), done.stdout[-300:] + done.stderr[-300:]
