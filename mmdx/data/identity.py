"""What the prepared inputs of a row follow from: the bytes of its files, its cells, the data set, the transforms, and the code of all these."""

from __future__ import annotations

import hashlib
import inspect
import json
import pickle
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

import mmdx
from mmdx.data.readers import files_of
from mmdx.errors import SampleError
from mmdx.types import Dataset, Transform

PACKAGES = "numpy scipy pillow soundfile torch torchaudio torchvision timm monai pydicom nibabel wfdb transformers"
"""What decodes and transforms; another version may give other values."""
BLOCK = 2**20


class Identity:
    """Names rows by what their prepared inputs follow from; two rows of one name have the same.

    Args:
        dataset: of which ``paths_of`` names the files of a row, or ``made_from`` what a row without files is made from; without either
            nothing has a name.
        transforms: by encoder.
        sources: of each encoder the modality that it reads.
    """

    def __init__(self, dataset: Dataset, transforms: Mapping[str, Transform], sources: Mapping[str, str]) -> None:
        self.dataset = dataset
        parts = [json.dumps(dict(sources), sort_keys=True)]
        inner: Any = dataset
        while inner is not None:  # a data set may stand before another
            settings = {} if hasattr(type(inner), "made_from") else _plain(vars(inner))  # what a row is made from says it all
            parts += [code_of(type(inner)), json.dumps(settings, sort_keys=True)]
            inner = vars(inner).get("dataset")
        for name, transform in sorted(transforms.items()):
            parts += [name, code_of(type(transform)), hashlib.blake2b(pickle.dumps(transform)).hexdigest()]
        self.shared = "\n".join([code_of(Identity), _versions(), *parts]).encode()

    def of(self, index: int) -> str:
        """The name of a row; empty where it has no files and is not made from something, or where a file isn't there."""
        if made_from := getattr(self.dataset, "made_from", None):
            return hashlib.blake2b(self.shared + str(made_from(index)).encode(), digest_size=20).hexdigest()
        paths_of = getattr(self.dataset, "paths_of", None)
        paths = paths_of(index) if paths_of else {}
        files = [(modality, Path(path)) for modality in sorted(paths) for path in paths[modality]]
        try:
            files = [(modality, part) for modality, path in files for part in files_of(path)]
        except (SampleError, OSError):
            files = []
        if not files or not all(path.is_file() for _, path in files):
            return ""
        name = hashlib.blake2b(self.shared, digest_size=20)
        for table in (getattr(self.dataset, place, None) for place in ("table", "record", "cells")):
            if isinstance(table, pd.DataFrame):
                name.update(json.dumps([str(cell) for cell in table.iloc[index]]).encode())
        for modality, path in files:
            name.update(f"\n{modality} {path.name}\n".encode())
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    name.update(block)
        return name.hexdigest()


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an object's attributes that are settings and not data."""

    def plain(value: Any) -> bool:
        if isinstance(value, Mapping):
            return all(isinstance(key, str) and plain(part) for key, part in value.items())
        if isinstance(value, list | tuple | set | frozenset):
            return len(value) <= 100 and all(plain(part) for part in value)
        return value is None or isinstance(value, str | bool | int | float)

    return {name: sorted(value, key=str) if isinstance(value, set | frozenset) else value for name, value in settings.items() if plain(value)}


def code_of(kind: type) -> str:
    """Hash of the code that a class rests on: all of mmdx that reads and transforms, and the files of classes from elsewhere."""
    files = set()
    for base in kind.__mro__:
        if base.__module__.split(".")[0] not in {"builtins", "typing", "torch", "mmdx"}:
            file = inspect.getsourcefile(base) if base.__module__ in sys.modules else None
            files |= {Path(file)} if file else set()
    code = hashlib.blake2b(f"{kind.__module__}.{kind.__qualname__} {_own_code()}".encode())
    for path in sorted(files):
        code.update(path.read_bytes())
    return code.hexdigest()


@lru_cache
def _own_code() -> str:
    own = Path(str(mmdx.__file__)).parent
    code = hashlib.blake2b()
    for path in sorted(path for room in ("data", "encoders", "simulate") for path in (own / room).rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


@lru_cache
def _versions() -> str:
    found = []
    for name in PACKAGES.split():
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"{sys.version} {found}"
