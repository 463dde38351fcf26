"""Facts about shares of rows in the sections of metrics.json: Wilson's interval, also where all rows are alike, so that none is without width."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import made
from statsmodels.stats.proportion import proportion_confint

from mmdx.evaluation.score import score


def wilson(entry):
    return proportion_confint(round(entry["value"] * entry["n"]), entry["n"], method="wilson")


def alone(frame):
    return frame.assign(patient_id=frame["sample_id"])


def perfect(n=200):
    rng = np.random.default_rng(0)
    target = rng.permutation(np.arange(n) % 2)
    parts = []
    for modalities in ("image+text", "image", "text"):
        prob = np.where(target == 1, 0.6, 0.05) + 0.3 * rng.random(n)
        for split in ("val", "test"):
            ids = [f"{split}{i}" for i in range(n)]
            parts.append(pd.DataFrame({"sample_id": ids, "split": split, "modalities": modalities, "target": target, "prob": prob}))
    return pd.concat(parts, ignore_index=True)


def test_shares_have_wilsons_interval():
    found = score(alone(made(n=300)), resamples=20)
    entries = found["conformal"]["methods"]["split"]["entries"]
    for name in ("coverage", "singletons"):
        assert [entries[name]["low"], entries[name]["high"]] == pytest.approx(wilson(entries[name]), abs=1e-9)
    risk = found["selective"]["entries"]["risk"]
    assert [risk["low"], risk["high"]] == pytest.approx(wilson(risk), abs=1e-9)
    harm = found["modality_value"]["harm"]["entries"]
    assert [harm["harmed"]["low"], harm["harmed"]["high"]] == pytest.approx(wilson(harm["harmed"]), abs=1e-9)
    same = found["modality_value"]["agreement"][0]["entries"]["agreement"]
    assert [same["low"], same["high"]] == pytest.approx(wilson(same), abs=1e-9) and same["method"] == "wilson"


def test_a_share_of_0_or_1_is_no_certainty():
    found = score(perfect(), resamples=20)
    entries = found["selective"]["entries"]
    for name, n in (("risk", 200), ("risk_at_80_coverage", 160)):
        assert entries[name]["value"] == 0 and entries[name]["high"] == pytest.approx(proportion_confint(0, n, method="wilson")[1], abs=1e-9)
    harm = found["modality_value"]["harm"]["entries"]
    assert harm["harmed"]["value"] == 0 and harm["harmed"]["low"] == 0 < harm["harmed"]["high"]
    assert all(point["low"] < point["high"] for point in found["selective"]["risk_coverage"])


def test_probabilities_of_0_and_1_have_no_calibration_line():
    """Their logit is what they were clipped to: an intercept made from it would say how common the outcome is."""
    frame = perfect()
    found = score(frame.assign(prob=frame["target"].astype(float)), resamples=20)["calibration"][""]["entries"]
    for name in ("slope", "intercept", "intercept_joint"):
        assert found[name]["value"] is None and found[name]["low"] is None and "only 0 of 200 probabilities" in found[name]["reason"]
    assert found["ece"]["value"] == 0
