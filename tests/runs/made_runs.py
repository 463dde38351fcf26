"""Run folders made up for tests of the list of runs: the files that it reads, and no more."""

import json

METRICS = {
    "kind": "binary", "primary": "auroc", "modalities": ["left", "right"], "full": "left+right", "unit": "patient", "folds": 1, "seeds": 1,
    "settings": {"resamples": 50},
}


def entry(value, n=40):
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": n, "unit": "patient", "n_units": n, "method": "delong"}


def make(folder, auroc=0.8, fusion="gated", state="finished", lr=0.001, seed=0, padding=0, record=None, **config):
    """A run; ``padding`` is how many further numbers its metrics have, as those of a real one do."""
    folder.mkdir(parents=True)
    target = {"gated": "mmdx.fusion.gated.GatedMultimodalUnit"}.get(fusion, f"mmdx.fusion.{fusion}.X")
    settings = {"data": {"name": "simulated", "samples": 120}, "encoders": {"left": {"_target_": "a.b"}}, "fusion": {"_target_": target, "hidden": 8}}
    settings |= {"task": {"_target_": "mmdx.tasks.binary.Binary"}, "optimizer": {"lr": lr}, "seed": seed, "seeds": None, **config}
    said = {
        "mmdx": "0.1.0", "state": state, "begun": "2026-01-02T10:00:00Z", "ended": "2026-01-02T10:03:00Z", "packages": {"torch": "2.9.0"},
        "seeds": {"seed": seed}, "choices": {"fusion": fusion, "data": "simulated"}, "config": settings, "data_fingerprint": "abc", **(record or {}),
    }
    if state == "running":
        said.pop("ended")
    (folder / "provenance.json").write_text(json.dumps(said, indent=1))
    lines = [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n")
    if state == "finished":
        subsets = {"left+right": {"auroc": entry(auroc), "brier": entry(1 - auroc)}, "left": {"auroc": entry(auroc - 0.1)}}
        more = {"by_site": {"a": [0.123456789] * padding}}
        (folder / "metrics.json").write_text(json.dumps(METRICS | {"test": subsets} | more, indent=1))
        (folder / "predictions.parquet").write_bytes(b"not read")
    return folder
