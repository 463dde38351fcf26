"""Predictions made up for tests of the report: classes with an order, numbers and times to an event."""

import numpy as np
import pandas as pd

SUBSETS = ("image+text", "image", "text")


def table(kind, n=80, classes=("none", "mild", "severe")):
    """Test rows of three subsets, of the kind."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=n)
    parts = []
    for place, subset in enumerate(SUBSETS):
        seen = truth + rng.normal(scale=0.5 + 0.2 * place, size=n)
        own = {"sample_id": [f"s{k}" for k in range(n)], "patient_id": [f"p{k // 2}" for k in range(n)], "modalities": subset}
        if kind == "regression":
            own |= {"target": truth, "prediction": seen}
        elif kind == "survival":
            alive = 1 / (1 + np.exp(seen))
            own |= {"time": np.round(np.exp(1 - truth), 2), "event": (np.arange(n) % 3 > 0).astype(int), "risk": seen}
            own |= {"survival_1": np.sqrt(alive), "survival_3.5": alive}
        else:
            level = np.digitize(truth, (-0.5, 0.6))
            odds = np.exp(-np.abs(seen[:, None] - np.array([-1.0, 0.0, 1.0])))
            prob = odds / odds.sum(axis=1, keepdims=True)
            own |= {"target": np.array(classes)[level], **{f"prob_{c}": prob[:, k] for k, c in enumerate(classes)}}
        parts.append(pd.DataFrame(own))
    return pd.concat(parts, ignore_index=True)
