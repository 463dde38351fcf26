"""What all tests share: the small parts in ``toy.py`` are importable."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers and their commands would hinder each other; before torch is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def slurm():
    """The environment in which a Slurm of this machine alone is known, brought up for one test at a time."""
    script = Path(__file__).resolve().parent.parent / "scripts" / "slurm" / "one_node.sh"
    with FileLock(str(Path(tempfile.gettempdir()) / "mmdx-slurm-tests.lock")):
        subprocess.run([script, "down"], check=True)
        said = subprocess.run([script, "up"], check=True, capture_output=True, text=True).stdout
        yield os.environ | {"SLURM_CONF": said.split("=")[1].strip()}
        subprocess.run([script, "down"], check=True)
