"""A run folder made up for tests of the report: three modalities, every section of metrics.json, cases with small pictures, notes and sounds."""

import json
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

from mmdx.evaluation.score import score
from mmdx.report.write import write_report

MODALITIES = ("audio", "image", "text")
FULL = "+".join(MODALITIES)
SITES = ("north", "south", "harbour")
KEPT = []
STRENGTH = {"audio": 0.35, "image": 0.9, "text": 0.7}


def predictions(n=300, seed=0, retrained=True):
    """Test and validation rows of every subset; patients with one to three samples; a fifth of each modality is absent."""
    rng = np.random.default_rng(seed)
    subsets = [c for size in (3, 2, 1) for c in combinations(MODALITIES, size)]
    parts = []
    for split, rows in (("test", n), ("val", max(60, n // 2))):
        patient = np.sort(rng.integers(0, rows * 3 // 4, rows))
        sex, site = rng.choice(["F", "M"], rows), rng.choice(SITES, rows, p=[0.55, 0.4, 0.05])
        target = (rng.random(rows) < 0.35 + 0.1 * (site == "south")).astype(int)
        odds = {m: STRENGTH[m] * (2 * target - 1) + rng.normal(scale=1.6, size=rows) for m in MODALITIES}
        there = {m: rng.random(rows) > 0.18 for m in MODALITIES}
        there["image"] |= ~(there["audio"] | there["text"])
        for ablation in ("offered", "retrained") if retrained else ("offered",):
            for subset in subsets:
                if ablation == "retrained" and len(subset) == 3:
                    continue
                total = sum(np.where(there[m], odds[m], 0) for m in subset)
                logit = 1.35 * total / np.sqrt(len(subset)) + rng.normal(scale=0.4, size=rows) - 0.3
                any_there = np.any([there[m] for m in subset], axis=0)
                frame = pd.DataFrame(
                    {
                        "sample_id": [f"{split}-{i:04d}" for i in range(rows)],
                        "patient_id": [f"{split}-p{p}" for p in patient],
                        "split": split,
                        "modalities": "+".join(subset),
                        "ablation": ablation,
                        "present": ["+".join(m for m in subset if there[m][i]) for i in range(rows)],
                        "target": target,
                        "prob": 1 / (1 + np.exp(-logit)),
                        "meta_site": site,
                        "meta_sex": sex,
                    }
                )
                parts.append(frame[any_there])
    return pd.concat(parts, ignore_index=True)


def entry(value, spread, n=300, units=165, **more):
    """An entry with an interval that is symmetric about its value."""
    bounds = {"value": float(value), "low": float(value - spread), "high": float(value + spread)}
    return bounds | {"n": n, "unit": "patient", "n_units": units, "method": "bca"} | more


def sections(frame):
    """Every further section of metrics.json, in the shapes of the contract; numbers of curves are those of the predictions."""
    full = frame[(frame["modalities"] == FULL) & (frame["split"] == "test") & (frame["ablation"] == "offered")]
    prob, target = full["prob"].to_numpy(), full["target"].to_numpy()
    return {
        "calibration": {"": _calibration(prob, target)},
        "selective": _selective(prob, target),
        "conformal": _conformal(),
        "uncertainty": {
            "mc_dropout": {"entries": {"auroc": entry(0.85, 0.04)}, "error_auroc": {"mc_entropy": entry(0.7, 0.08)}},
            "ood": {"error_auroc": {"ood_score": entry(0.55, 0.09)}},
        },
        "groups": _groups(full),
        "modality_value": {
            "shapley": {m: {"auroc": entry(v, 0.03)} for m, v in (("audio", 0.09), ("image", 0.19), ("text", 0.07), ("", 0.35))},
            "harm": {
                "n": 300,
                "best": [{"modality": "image", "validation_auroc": 0.8}],
                "entries": {"harmed": entry(0.07, 0.03), "helped": entry(0.14, 0.04), "net": entry(0.07, 0.05)},
            },
            "agreement": [
                {"between": ["audio", "image"], "present": "any", "entries": {"agreement": entry(0.64, 0.06), "kappa": entry(0.28, 0.12)}},
                {"between": ["audio", "text"], "present": "audio+text", "n": 11, "too_small": True},
            ],
        },
        "stress": _stress(),
    }


def _calibration(prob, target):
    def curve(p):
        bins = []
        for low in np.arange(0, 1, 0.1):
            here = (p >= low) & (p < low + 0.1)
            if here.any():
                share, n = target[here].mean(), int(here.sum())
                half = 1.96 * np.sqrt(max(share * (1 - share), 0.04) / n)
                ends = {"low": max(0, share - half), "high": min(1, share + half), "from": low, "to": low + 0.1}
                bins.append({"prob": float(p[here].mean()), "observed": float(share), "n": n, **ends})
        return bins

    tempered = 1 / (1 + (1 / prob - 1) ** 0.7)
    threshold = np.linspace(0.02, 0.98, 49)
    odds = threshold / (1 - threshold)
    model = [float(((prob >= t) & (target == 1)).mean() - o * ((prob >= t) & (target == 0)).mean()) for t, o in zip(threshold, odds, strict=True)]
    everybody = [float(target.mean() - o * (1 - target.mean())) for o in odds]
    names = {
        "ece": entry(0.07, 0.02), "ece_debiased": entry(0.05, 0.03), "brier": entry(0.15, 0.02), "brier_reliability": entry(0.01, 0.005),
        "brier_resolution": entry(0.09, 0.02), "brier_uncertainty": entry(0.24, 0.01), "log_loss": entry(0.48, 0.06),
        "slope": entry(0.71, 0.14), "intercept": entry(-0.1, 0.22),
    }  # fmt: skip
    return {
        "n": len(prob),
        "n_validation": 150,
        "entries": names,
        "curve": curve(prob),
        "recalibrated": {
            "temperature": {"entries": names | {"ece": entry(0.03, 0.02), "slope": entry(0.98, 0.2)}, "curve": curve(tempered)},
            "isotonic": {"reason": "only one class among the validation rows"},
        },
        "decision_curve": {
            "threshold": threshold.tolist(), "model": model, "low": [m - 0.04 for m in model], "high": [m + 0.04 for m in model],
            "treat_all": everybody, "recalibrated": {"temperature": [m + 0.005 for m in model]},
        },
    }  # fmt: skip


def _selective(prob, target):
    order = np.argsort(-np.abs(prob - 0.5))
    wrong = ((prob >= 0.5) != (target == 1))[order]
    points = []
    for share in np.linspace(0.05, 1, 20):
        n = max(1, round(share * len(prob)))
        risk = float(wrong[:n].mean())
        half = 1.96 * np.sqrt(max(risk * (1 - risk), 0.01) / n)
        points.append({"coverage": float(share), "risk": risk, "low": max(0, risk - half), "high": risk + half, "n": n})
    entries = {"aurc": entry(0.1, 0.03), "excess_aurc": entry(0.07, 0.03), "risk_at_80_coverage": entry(points[15]["risk"], 0.03)}
    other = [p | {"risk": 0.6 * p["risk"] + 0.4 * points[-1]["risk"]} for p in points]
    return {
        "confidence": "max probability", "risk_coverage": points, "entries": entries,
        "by_score": {"ood_score": {"risk_coverage": other, "entries": entries}},
    }  # fmt: skip


def _conformal():
    entries = {"coverage": entry(0.9, 0.03), "mean_size": entry(1.3, 0.08), "singletons": entry(0.7, 0.06), "empty": entry(0, 0)}
    by_class = {"0": entry(0.92, 0.04), "1": entry(0.87, 0.06)}
    groups = {"meta_site": {"north": entry(0.91, 0.04), "harbour": {"value": None, "low": None, "high": None, "n": 11, "too_small": True}}}
    one = {"entries": entries, "by_class": by_class, "by_group": groups}
    two = {"entries": entries, "by_class": by_class, "by_group": {}, "reason": "one quantile would rest on fewer than 9 calibration rows"}
    return {"alpha": 0.1, "n_calibration": 150, "methods": {"split": one, "class_conditional": one, "group_conditional:meta_site": two}}


def _groups(full):
    def group(rows, shift):
        told = {"n": len(rows), "n_units": int(rows["patient_id"].nunique())}
        if told["n_units"] < 20:
            return told | {"too_small": True}
        values = {"auroc": 0.86, "sensitivity": 0.78, "false_positive_rate": 0.2, "ppv": 0.7, "selection_rate": 0.4, "ece": 0.08, "brier": 0.15}
        return told | {
            "positives": int(rows["target"].sum()),
            "entries": {m: entry(v + shift, 0.06, told["n"], told["n_units"]) for m, v in values.items()},
        }

    columns = {}
    for name in ("site", "sex"):
        labels = sorted(full[f"meta_{name}"].unique())
        found = {label: group(full[full[f"meta_{name}"] == label], -0.05 * k) for k, label in enumerate(labels)}
        small = [label for label, g in found.items() if "too_small" in g]
        gap = entry(0.05, 0.07) | {"p": 0.2, "p_adjusted": 0.9, "between": [labels[-1], labels[0]]}
        columns[name] = {
            "groups": found, "gaps": {"tpr_gap": gap, "auroc_gap": gap | {"value": 0.04, "low": -0.02, "high": 0.1}},
            "worst": None, "left_out": small,
        }  # fmt: skip
    return {"minimum": 20, "tests": 4, "correction": "holm", "columns": columns, "skipped": {"scanner": "48 different values"}}


def _stress():
    missing = [
        {"pattern": pattern, "rate": rate, "trained": "as trained", "auroc": entry(0.86 - fall * rate, 0.03 + 0.02 * rate)}
        for pattern, fall in (("every", 0.3), ("only_image", 0.14), ("only_audio", 0.05), ("only_text", 0.06))
        for rate in (0.0, 0.25, 0.5, 0.75)
    ]
    noise = [
        {"modality": m, "noise": kind, "level": level, "auroc": entry(0.86 - fall * level**1.5, 0.03)}
        for m, kind, fall in (("image", "gaussian", 0.12), ("audio", "gaussian", 0.05), ("text", "typos", 0.02))
        for level in (0, 1, 2)
    ]
    robustness = {"every": {"relative": entry(0.75, 0.04), "effective": entry(-0.01, 0.03)}, "image": {"relative": entry(0.79, 0.04)}}
    return {"missingness": missing, "noise": noise, "robustness": robustness}


def made_run(folder, cases=24, n=300, seed=0, whole=True, note=None, rename=None):
    """Write a run folder and return it.

    Args:
        cases: how many test rows have a case.
        whole: whether the further sections of metrics.json and the records of data and code are there.
        note: text of the first case's note.
        rename: names by sample, for hostile ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame = predictions(n, seed)
    if rename:
        frame["sample_id"] = frame["sample_id"].replace(rename)
    frame.to_parquet(folder / "predictions.parquet", index=False)
    metrics = score(frame, resamples=60)
    if whole:
        metrics |= sections(frame)
        _records(folder, frame)
    (folder / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))
    if cases:
        _cases(folder, frame, cases, note)
    return folder


def _records(folder, frame):
    (folder / "config.yaml").write_text("data:\n  name: simulated\nfusion:\n  _target_: mmdx.fusion.gated.Gated\nseed: 0\n")
    packages = {"numpy": "2.3.0", "torch": "2.14.1"}
    record = {"mmdx": "0.1.0", "revision": {"commit": "0" * 40, "changed": False}, "command": ["train.py", "+experiment=tri_modal"]}
    record |= {"python": "3.11.7", "platform": "Linux", "packages": packages, "data": "simulated", "data_fingerprint": "f" * 16, "seeds": {"seed": 0}}
    (folder / "provenance.json").write_text(json.dumps(record))
    (folder / "models.json").write_text(json.dumps([{"name": "model", "seed": 0, "fold": "holdout", "modalities": list(MODALITIES)}]))
    kept = frame.drop_duplicates("sample_id")[["sample_id", "patient_id", "split"]].rename(columns={"split": "part"}).assign(fold="holdout")
    kept.to_parquet(folder / "folds.parquet", index=False)
    pd.DataFrame([{"sample_id": "s1", "file": "a.png", "row": 4, "reason": "a.png, row 4: cannot be read."}]).to_csv(
        folder / "quarantine.csv", index=False
    )
    audit = [
        {"feature": "note", "kind": "text", "role": "report", "auroc": 0.83, "low": 0.76, "high": 0.9, "n": 300, "p": 0.001, "verdict": "leak"},
        {"feature": "site", "kind": "site", "role": "site", "auroc": 0.51, "low": 0.44, "high": 0.58, "n": 300, "p": 1.0, "verdict": "ok"},
    ]
    (folder / "leakage.json").write_text(json.dumps(audit))


WORDS = "no acute distress . lungs are clear . heart size is enlarged with mild congestion . small effusion on the left . no pneumothorax seen ."


def _cases(folder, frame, number, note):
    rng = np.random.default_rng(7)
    rows = frame[(frame["split"] == "test") & (frame["modalities"] == FULL) & (frame["ablation"] == "offered")].head(number)
    listed = []
    for place, row in enumerate(rows.to_dict("records")):
        name = f"{place:04d}"
        (folder / "cases" / name).mkdir(parents=True, exist_ok=True)
        inputs, ill = {}, row["target"] == 1
        here = row["present"].split("+")
        if "image" in here:
            inputs["image"] = {"kind": "image", "items": [_film(folder / "cases", name, ill, rng)]}
        if "text" in here:
            text = note if note is not None and not any("text" in c["inputs"] for c in listed) else _note(rng, ill)
            inputs["text"] = {"kind": "text", "text": text, "spans": _spans(text)}
        if "audio" in here:
            inputs["audio"] = {"kind": "audio", "items": [_sound(folder / "cases", name, ill, rng)]}
        if place % 5 == 0:
            cells = [{"name": "age", "value": "63", "weight": 0.4}, {"name": "BNP", "value": "", "weight": -0.2}]
            inputs["table"] = {"kind": "table", "cells": cells}
        share = {m: float(v) for m, v in zip(here, rng.dirichlet(np.ones(len(here)) * 4), strict=True)}
        listed.append({"sample_id": row["sample_id"], "split": "test", "seed": "", "fold": "", "folder": name, "inputs": inputs, "share": share})
    whole = {"schema": 1, "full": FULL, "kind": "binary", "outputs": [""], "cases": listed}
    whole["method"] = {"image": "integrated gradients", "text": "integrated gradients", "audio": "integrated gradients"}
    (folder / "cases" / "cases.json").write_text(json.dumps(whole))


def _film(folder, name, ill, rng):
    y, x = np.mgrid[-1:1:224j, -1:1:224j]
    lungs = sum(np.exp(-(((x - side) / 0.34) ** 2 + (y / 0.62) ** 2) ** 2) for side in (-0.48, 0.46))
    heart = np.exp(-(((x - 0.12) / (0.42 if ill else 0.3)) ** 2 + ((y - 0.3) / 0.34) ** 2) ** 2)
    ribs = 0.05 * np.cos(14 * y + 3 * np.abs(x)) * lungs
    grey = 0.72 - 0.5 * lungs + 0.45 * heart + ribs + rng.normal(scale=0.025, size=x.shape)
    Image.fromarray((255 * np.clip(grey, 0, 1)).astype(np.uint8)).save(folder / name / "image_0.jpg", quality=70)
    weight = np.zeros((28, 28, 4), np.uint8)
    small = heart[::8, ::8] * (0.6 + 0.4 * rng.random((28, 28)))
    weight[..., 0], weight[..., 1], weight[..., 3] = 255, 120, (170 * np.clip(small, 0, 1)).astype(np.uint8)
    Image.fromarray(weight).save(folder / name / "image_0_saliency.png")
    return {"file": f"{name}/image_0.jpg", "overlay": f"{name}/image_0_saliency.png", "width": 224, "height": 224}


def _note(rng, ill):
    sentences = WORDS.split(" . ")
    chosen = rng.permutation(sentences)[: 3 + ill]
    return "Chest film, two views.\n" + " ".join(f"{s.strip(' .').capitalize()}." for s in chosen)


def _spans(text):
    spans = []
    for word, weight in (("enlarged", 0.9), ("congestion", 0.7), ("effusion", 0.5), ("clear", -0.6), ("No ", -0.3)):
        at = text.find(word)
        if at >= 0:
            spans.append([at, at + len(word), weight])
    return spans


def _sound(folder, name, ill, rng):
    rate, seconds = 8000, 8.0
    t = np.arange(int(rate * seconds)) / rate
    beat = t % 0.85
    first = np.exp(-(((beat - 0.05) / 0.03) ** 2)) * np.sin(2 * np.pi * 55 * t)
    sound = first + 0.7 * np.exp(-(((beat - 0.37) / 0.025) ** 2)) * np.sin(2 * np.pi * 75 * t)
    murmur = 0.12 * ill * ((beat > 0.12) & (beat < 0.32)) * rng.normal(size=len(t))
    soundfile.write(folder / name / "audio_0.mp3", 0.5 * (sound + murmur), rate, format="MP3", compression_level=0.7)
    frames = np.abs(np.fft.rfft((sound + murmur)[: 250 * 256].reshape(250, 256) * np.hanning(256)))[:, :64].T[::-1]
    grey = np.clip(np.log10(frames + 1e-3) / 4.5 + 0.66, 0, 1)
    Image.fromarray((255 * grey).astype(np.uint8)).save(folder / name / "audio_0.png")
    return {"file": f"{name}/audio_0.mp3", "seconds": seconds, "spectrogram": f"{name}/audio_0.png"}


@cache
def small_report():
    """A small run with everything, reported once for all tests: its folder."""
    kept = TemporaryDirectory(prefix="mmdx-report-")
    KEPT.append(kept)
    folder = made_run(Path(kept.name) / "run", cases=6, n=120)
    write_report(folder)
    return folder
