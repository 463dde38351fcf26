"""Predictions tables made up for tests: independent normal findings, one a modality, and a model that is a little off."""

from itertools import combinations

import numpy as np
import pandas as pd


def made(
    n=120, modalities=("image", "text"), seed=0, seeds=1, folds=1, sites=1, absent=0.0, retrained=False, validation=True, patients=True
):
    rng = np.random.default_rng(seed)
    subsets = [c for size in range(len(modalities), 0, -1) for c in combinations(sorted(modalities), size)]
    parts = []
    for split in ("test", "val") if validation else ("test",):
        target = rng.integers(0, 2, n)
        patient = rng.integers(0, n * 3 // 4, n)
        log_odds = {m: np.where(rng.random(n) < absent, np.nan, 1.6 * (target + rng.normal(size=n)) - 0.8) for m in modalities}
        for run in range(seeds):
            for ablation in ("offered", "retrained") if retrained else ("offered",):
                for subset in subsets:
                    own = np.stack([log_odds[m] for m in subset])
                    there = ~np.isnan(own)
                    total = np.where(there, own, 0).sum(axis=0)
                    frame = pd.DataFrame(
                        {
                            "sample_id": [f"{split}-{i}" for i in range(n)],
                            "patient_id": [f"{split}-{p}" for p in patient] if patients else None,
                            "split": split,
                            "modalities": "+".join(subset),
                            "ablation": ablation,
                            "present": ["+".join(m for m, here in zip(subset, column, strict=True) if here) for column in there.T],
                            "target": target,
                            "prob": 1 / (1 + np.exp(-(total + rng.normal(scale=0.4, size=n)))),
                            "oracle": 1 / (1 + np.exp(-total)),
                            "meta_site": [f"site{p % sites}" for p in patient],
                            "fold": [f"fold{p % folds}" for p in patient],
                            "seed": run,
                        }
                    )
                    parts.append(frame[there.any(axis=0)])
    frame = pd.concat(parts, ignore_index=True)
    only_one = {"meta_site": sites, "fold": folds, "seed": seeds}
    return frame.drop(columns=[name for name, number in only_one.items() if number == 1])
