"""What the run was: data, split, audit, settings, code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from mmdx.report.chapters.summary import shared_patients
from mmdx.report.parts import Block, Chapter, Lines, Note, Pairs, Table, Text
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import count, plain, subset, upper_first, without_folders

MOST_ROWS = 60


def chapter(run: RunFolder) -> Chapter:
    """Facts of the data and its split, the audit's verdicts, config and provenance."""
    blocks = [*_split(run), *_set_aside(run), *_audit(run), *_settings(run), *_code(run)]
    return Chapter("data", "Data, split and provenance", blocks)


def _split(run: RunFolder) -> Iterator[Block]:
    if run.folds is not None:
        counts: list[tuple[str, list[Any]]] = []
        for (fold, part), rows in run.folds.groupby(["fold", "part"], sort=False):
            counts.append((str(fold), [str(part), len(rows), rows["patient_id"].nunique() or None]))
        yield Table("split", "Rows of each part of each fold.", "Fold", ["Part", "Rows", "Patients"], counts, folded=len(counts) > 12)
    yield _classes(run)
    rows = run.rows()
    if "present" in rows and set(rows["present"]) - {run.full}:
        found = rows.drop_duplicates(["sample_id", "fold"])["present"].value_counts()
        cells = [(upper_first(subset(str(name))), [int(n), float(n / found.sum())]) for name, n in found.items()]
        yield Table("present", "Which modalities the test rows have.", "Modalities", ["Rows", "Share"], cells)
    elif "present" in rows and len(rows):
        yield Text("Every test row has every modality.")
    if run.folds is None and not run.trained:
        yield Text("The folder holds no records of a run, such as its config.yaml and folds.parquet; which rows were trained on is not known.")
    elif run.folds is None:
        yield Note("Which rows were trained on is not kept in this folder (folds.parquet).", "mmdx train ...")
    elif run.folds is not None and run.folds["patient_id"].notna().any():
        shared = shared_patients(run)
        yield Text(
            f"Both in the test part and in the training or validation part of a fold: {count(shared, 'patient')}."
            if shared
            else "No patient stands both in the test part and in the training or validation part of a fold."
        )


def _classes(run: RunFolder) -> Table:
    rows = run.rows()
    cells: list[tuple[str, list[Any]]]
    if run.kind == "multilabel":
        cells = [(n, [int(rows[f"target_{n}"].notna().sum()), int(rows[f"target_{n}"].sum())]) for n in run.outputs]
        return Table("classes", "Labels of the test rows.", "Label", ["Labelled", "Positive"], cells)
    if run.kind in ("multiclass", "ordinal"):
        found = rows["target"].astype(str).value_counts()
        return Table("classes", "Classes of the test rows.", "Class", ["Rows"], [(name, [int(found.get(name, 0))]) for name in run.outputs])
    parts = [(name, own) for name, own in (("test", rows), ("validation", run.rows(split="val"))) if len(own)]
    column = {"binary": "target", "survival": "event"}.get(run.kind)
    if column is None:
        cells = [(name, [len(own), float(own["target"].mean()), float(own["target"].std())]) for name, own in parts]
        return Table("classes", "The target of the rows that were predicted.", "Part", ["Rows", "Mean", "Standard deviation"], cells)
    what = "Positive" if run.kind == "binary" else "With the event"
    cells = [(name, [len(own), int(own[column].sum()), float(own[column].mean())]) for name, own in parts]
    return Table("classes", f"{what} among the rows that were predicted.", "Part", ["Rows", what, "Share"], cells)


def _set_aside(run: RunFolder) -> Iterator[Block]:
    table = run.quarantine
    if table is None or not len(table):
        if run.trained:
            yield Text("No sample was set aside (there is no quarantine.csv).")
        return
    shown = table.head(MOST_ROWS).fillna("").astype(str)
    rows = [(row["sample_id"], [without_folders(row.get("reason", ""))]) for row in shown.to_dict("records")]
    more = f", the first {MOST_ROWS} here" if len(table) > MOST_ROWS else ""
    yield Table("quarantine", f"{count(len(table), 'sample')} set aside as unusable{more}.", "Sample", ["Why"], rows, folded=True)


def _audit(run: RunFolder) -> Iterator[Block]:
    if run.leakage is None:
        yield Note("No audit of leakage is in this folder.", f"mmdx data leakage SOURCE --json > {run.name}/leakage.json")
    else:
        order = {"leak": 0, "suspect": 1}
        found = sorted(run.leakage, key=lambda row: order.get(row.get("verdict", ""), 2))
        columns = ["Kind", "Role", "AUROC", "p", "Verdict"]
        rows = [(str(r.get("feature")), [r.get("kind"), r.get("role"), _auroc(r), r.get("p"), r.get("verdict")]) for r in found[:MOST_ROWS]]
        caption = "How well the target is told by what should not tell it; AUROC of a simple probe with 95 % interval."
        yield Table("leakage", caption, "Asked", columns, rows, folded=not any(r.get("verdict") in order for r in found))
    if run.checks is None:
        yield Note("No check of the files is in this folder.", f"mmdx data check SOURCE --json > {run.name}/check.json")
    elif run.checks:
        parts = [(r["severity"], r.get("kind"), [without_folders(r.get(k) or "") for k in ("file", "message")]) for r in run.checks[:MOST_ROWS]]
        rows = [(severity, [kind, *told]) for severity, kind, told in parts]
        more = f", the first {MOST_ROWS} here" if len(run.checks) > MOST_ROWS else ""
        yield Table("check", f"{count(len(run.checks), 'finding')} of the data check{more}.", "Severity", ["Kind", "File", "What"], rows, folded=True)
    else:
        yield Text("The data check found nothing.")


def _auroc(row: dict[str, Any]) -> Any:
    return {"value": row.get("auroc"), "low": row.get("low"), "high": row.get("high"), "n": row.get("n")} if row.get("auroc") is not None else None


def _settings(run: RunFolder) -> Iterator[Block]:
    facts = {"Kind of target": run.kind, "Modalities": subset(run.full), "Unit of resampling": run.unit}
    facts |= {name.capitalize(): run.metrics[name] for name in ("folds", "seeds") if name in run.metrics}
    settings = run.section("settings")
    facts |= {name: settings[key] for key, name in (("resamples", "Bootstrap resamples"), ("seed", "Seed of the bootstrap")) if key in settings}
    yield Pairs([(name, str(fact)) for name, fact in facts.items()])
    if run.cases and isinstance(run.cases.get("method"), dict):
        yield Pairs([(f"Attribution, {plain(m)}", plain(how, 80)) for m, how in run.cases["method"].items()])


def _code(run: RunFolder) -> Iterator[Block]:
    found = run.provenance
    if found is None and run.trained:
        yield Note("The folder says nothing of the program that made it (no provenance.json).", "mmdx train ...")
    if found is not None:
        revision = found.get("revision") or {}
        named = {"mmdx": "mmdx", "python": "Python", "platform": "Platform", "data": "Data"}
        facts = [(name, found[key]) for key, name in named.items() if found.get(key)]
        if revision.get("commit"):
            facts.append(("Revision", f"{revision['commit']}{' with changes that were not committed' if revision.get('changed') else ''}"))
        facts += [("Data fingerprint", found["data_fingerprint"])] if found.get("data_fingerprint") else []
        facts += [("Seeds", ", ".join(f"{k} {v}" for k, v in found["seeds"].items()))] if found.get("seeds") else []
        yield Pairs([(name, str(fact)) for name, fact in facts])
        if found.get("command"):
            yield Lines("Command", " ".join(map(str, found["command"])))
    if run.config:
        yield Lines("Config (config.yaml)", run.config)
    if run.models:
        yield Lines(f"Models ({len(run.models)})", "\n".join(json.dumps(model, ensure_ascii=False) for model in run.models))
    if found and isinstance(found.get("packages"), dict):
        yield Lines(f"Packages ({len(found['packages'])})", "\n".join(f"{name} {version}" for name, version in found["packages"].items()))


def facts(run: RunFolder) -> str:
    """One line on what is reported, for the head of the page."""
    rows: pd.DataFrame = run.rows()
    samples = rows[["sample_id", "fold"]].drop_duplicates().shape[0]
    told = [f"{count(samples, 'test sample')}"]
    if "patient_id" in rows and rows["patient_id"].notna().any():
        told.append(count(int(rows["patient_id"].nunique()), "patient"))
    told += [f"{run.metrics[name]} {name}" for name in ("folds", "seeds") if isinstance(run.metrics.get(name), int) and run.metrics[name] > 1]
    return ", ".join([subset(run.full), *told])
