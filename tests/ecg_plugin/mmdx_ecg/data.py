"""A small cohort with a film and an ECG of the same patient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmdx.types import Sample


class EcgCohort:
    """Disease raises the ECG's amplitude and the film's brightness; a quarter of the samples lack each."""

    modalities = ("ecg", "image")

    def __init__(self, samples: int = 160, seed: int = 0) -> None:
        self.seed = seed
        rng = np.random.default_rng(seed)
        ids = [f"e{i:04d}" for i in range(samples)]
        self.table = pd.DataFrame({"sample_id": ids, "patient_id": ids, "site": None, "target": rng.integers(0, 2, samples)})
        self.missing = rng.integers(0, 4, samples)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        target = int(self.table["target"].iloc[index])
        rng = np.random.default_rng([self.seed, index])
        ecg = (1 + 0.6 * target) * np.sin(np.arange(400) / 8) + rng.normal(0, 0.5, 400)
        image = np.clip(rng.normal(90 + 30 * target, 30, (32, 32)), 0, 255).astype(np.uint8)
        inputs = {"ecg": ecg.astype(np.float32), "image": image}
        for position, name in enumerate(("ecg", "image")):
            if self.missing[index] == position:
                del inputs[name]
        return Sample(inputs, target, {})
