"""What was found, in sentences that say no more than the intervals do."""

from __future__ import annotations

from collections.abc import Iterator

from mmdx.report.chapters import abstention, groups, modalities
from mmdx.report.parts import Block, Chapter, Note, Pairs, Points, Warnings
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import (
    Entry,
    beyond,
    bounded,
    count,
    digits_of,
    in_sentence,
    interval,
    joined,
    known,
    less_is_better,
    number,
    percent,
    plain,
    subset,
    title,
    value,
    with_article,
)  # fmt: skip

KEYS = (
    "sensitivity", "specificity", "accuracy", "auprc", "brier", "mae", "rmse", "ccc", "rps", "c_index_uno", "auroc_td", "integrated_brier",
)  # fmt: skip


def chapter(run: RunFolder) -> Chapter:
    """The key numbers, sentences by topic, and what to know before believing them."""
    topics = {
        "How well": _performance(run),
        "Each modality": [*_differences(run), *_harm(run)],
        "Probabilities": _calibration(run),
        "Not answering": [*_selective(run), *_conformal(run)],
        "Groups": groups.sentences(run),
    }
    found = [(topic, told) for topic, sentences in topics.items() if (told := list(sentences))]
    blocks: list[Block] = [Pairs(list(_keys(run)))]
    if warned := list(warnings(run)):
        blocks.append(Warnings(warned))
    blocks += [Points(found)] if found else [Note("metrics.json holds no scores of test rows.", f"mmdx score {run.name}")]
    return Chapter("summary", "Summary", blocks)


def _keys(run: RunFolder) -> Iterator[tuple[str, Entry]]:
    entries = run.section("test").get(run.full, {})
    for name in (run.primary, *(k for k in KEYS if k != run.primary)):
        if known(entries.get(name)):
            yield title(name), entries[name]
    slope = ((run.section("calibration").get("") or {}).get("entries") or {}).get("slope")
    if known(slope):
        yield title("slope"), slope


def _performance(run: RunFolder) -> Iterator[str]:
    entries = run.section("test").get(run.full, {})
    entry = entries.get(run.primary)
    if not isinstance(entry, dict):
        return
    model = f"The model with {subset(run.full)}"
    if known(entry):
        yield f"{model} reaches {with_article(run.primary)} of {value(entry, rests_on=True)}{_chance(run, entry)}."
    else:
        yield f"{model}: {title(run.primary)} is {value(entry)}."
    if known(entries.get("sensitivity")) and known(entries.get("specificity")) and run.kind == "binary":
        source = {"validation": "chosen on validation rows", "mixed": "chosen on validation rows where it could be"}
        how = source.get(run.section("threshold").get("source", ""), "of 0.5")
        yield (
            f"At the threshold {how} it finds {percent(entries['sensitivity'])} of the positive rows and passes over "
            f"{percent(entries['specificity'])} of the negative ones."
        )
    if known(entry) and isinstance(entry.get("oracle"), (int, float)):
        share = entry.get("share_of_optimum")
        found = {"value": share, "low": entry.get("share_low"), "high": entry.get("share_high")}
        told = f"; the model found {value(found)} of what there was to find" if isinstance(share, (int, float)) else ""
        yield f"This cohort is simulated: the true posterior reaches {number(entry['oracle'])} on the same rows{told}."


def _chance(run: RunFolder, entry: Entry) -> str:
    if run.primary not in ("auroc", "c_index"):
        return ""
    return {0: "; the interval includes 0.50, so the data do not show that it is better than chance", -1: "; that is worse than chance"}.get(
        beyond(entry, 0.5) if bounded(entry) else 1, ""
    )


def _differences(run: RunFolder) -> Iterator[str]:
    """What adding each modality does, by models trained without it where there are any, and which of them the one model draws on."""
    metric, name = run.primary, in_sentence(run.primary)
    good = -1 if less_is_better(metric) else 1
    found = {a: {m: e[metric] for m, e in own.items() if known(e.get(metric))} for a, own in run.section("differences").items()}
    for modality, own in found.get("retrained", {}).items():
        end = {
            good: "the data show a gain",
            -good: "the data show a loss",
            0: "the interval includes zero: the data do not show that it helps" if bounded(own) else "there is no interval to judge it by",
        }[beyond(own)]
        yield f"Adding {plain(modality)} to a model trained without it changes the {name} by {value(own, 0.0, signed=True, rests_on=True)}; {end}."
    offered = found.get("offered", {})
    units = "retrained" not in found
    sides = {side: [_inside(m, name, own, units) for m, own in offered.items() if bounded(own) and beyond(own) == side] for side in (good, -good, 0)}
    unjudged = [_inside(m, name, own, units) for m, own in offered.items() if not bounded(own)]
    start = "Compared with not being shown it, the one model"
    if sides[good]:
        yield f"{start} is better with {joined(sides[good])}."
    if sides[-good]:
        yield f"{start} is worse with {joined(sides[-good])}."
    if sides[0]:
        includes = "the intervals include" if len(sides[0]) > 1 else "the interval includes"
        yield f"The data do not show that the one model gains from being shown {joined(sides[0], 'or')}: {includes} zero."
    if unjudged:
        yield f"There is no interval to judge by what the one model gains from being shown {joined(unjudged)}."


def _inside(modality: str, name: str, own: Entry, units: bool) -> str:
    digits = digits_of(own, 0.0)
    told = [f"{name} {number(own['value'], digits, signed=True)}"]
    told.append(interval(own, digits, signed=True))
    if units and own.get("n_units"):
        told.append(count(own["n_units"], own.get("unit") or "sample"))
    return f"{plain(modality)} ({'; '.join(told)})"


def _calibration(run: RunFolder) -> Iterator[str]:
    """What slopes and intercepts say, of several outcomes those together that say the same."""
    entries = {name: found.get("entries") or {} for name, found in run.section("calibration").items() if isinstance(found, dict)}
    slopes = {name: own["slope"] for name, own in entries.items() if known(own.get("slope"))}
    ends = {-1: "are too extreme ({})", 1: "are too close to the middle ({})"}
    for side, end in ends.items():
        if told := [_of(name, "slope", own, 1.0) for name, own in slopes.items() if beyond(own, 1.0) == side]:
            yield f"The probabilities {end.format('; '.join(told))}."
    if told := [_of(name, "slope", own, 1.0) for name, own in slopes.items() if bounded(own) and not beyond(own, 1.0)]:
        yield f"The data do not show that the probabilities are too extreme or too close to the middle ({'; '.join(told)}): the interval includes 1."
    if told := [_of(name, "slope", own, 1.0) for name, own in slopes.items() if not bounded(own)]:
        yield f"Whether the probabilities are too extreme cannot be judged ({'; '.join(told)})."
    intercepts = {name: own["intercept"] for name, own in entries.items() if beyond(own.get("intercept"))}
    for side, word in ((-1, "high"), (1, "low")):
        if told := [_of(name, "intercept", own, 0.0) for name, own in intercepts.items() if beyond(own) == side]:
            yield f"The probabilities are too {word} on average ({'; '.join(told)})."


def _of(outcome: str, name: str, own: Entry, reference: float) -> str:
    digits = digits_of(own, reference)
    return f"{plain(outcome) + ': ' if outcome else ''}{name} {number(own['value'], digits)}, {interval(own, digits)}"


def _selective(run: RunFolder) -> Iterator[str]:
    if told := abstention.headline(run):
        yield told


def _conformal(run: RunFolder) -> Iterator[str]:
    section = run.section("conformal")
    coverage = ((section.get("methods") or {}).get("split") or {}).get("entries", {}).get("coverage")
    if not known(coverage):
        return
    wanted = 1 - float(section.get("alpha", 0.1))
    end = {1: ": more than asked for", -1: ": less than asked for, so they cannot be relied on here"}.get(beyond(coverage, wanted), "")
    yield f"Prediction sets meant to hold the truth in {100 * wanted:.0f} % of rows hold it in {percent(coverage)}{end}."
    split = section["methods"]["split"]
    parts = {f"class {plain(name)}": entry for name, entry in (split.get("by_class") or {}).items()}
    parts |= {
        f"{plain(column.removeprefix('meta_'))} {plain(group)}": entry
        for column, own in (split.get("by_group") or {}).items()
        for group, entry in own.items()
    }
    if short := [f"{name} ({percent(entry)})" for name, entry in parts.items() if known(entry) and beyond(entry, wanted) == -1]:
        yield f"They hold it less often than that among rows of {joined(short[:6])}{' and more' if len(short) > 6 else ''}."


def _harm(run: RunFolder) -> Iterator[str]:
    if told := modalities.harm_sentence(run):
        yield told


def warnings(run: RunFolder) -> Iterator[str]:
    """What a reader has to know before believing a number."""
    unit = run.unit
    if unit.startswith("patient or "):
        yield "Some patients are not known: each of their samples counts as independent, so the intervals may be too narrow."
    elif unit != "patient":
        yield f"Patients are not known: each {unit} counts as independent, so the intervals may be too narrow."
    entry = run.section("test").get(run.full, {}).get(run.primary, {})
    if known(entry) and (entry.get("n_units") or 0) < 100:
        yield f"The test part is small ({count(entry['n_units'], unit)}): the intervals are wide, and may hold the truth less often than they say."
    if run.section("threshold").get("source") in ("fixed 0.5", "mixed"):
        yield "There are no validation rows of both classes for every model, so the decision threshold is 0.5 and was not chosen."
    if stale := run.metrics.get("stale"):
        yield f"What mmdx stress left of {joined(list(stale))} is of other predictions, and not used; run mmdx stress again."
    if run.folds is not None and (shared := shared_patients(run)):
        yield f"Both in the training or validation part and in the test part of a fold: {count(shared, 'patient')}. The scores may be too good."
    for verdict, told in (("leak", "a leak: the target can be had without the medicine"), ("suspect", "suspect")):
        named = [plain(row.get("feature", "?")) for row in run.leakage or [] if row.get("verdict") == verdict]
        if named:
            listed = ", ".join(named[:8]) + (" and more" if len(named) > 8 else "")
            yield f"The data audit calls {listed} {told}."
    errors = sum(row.get("severity") == "error" for row in run.checks or [])
    if errors:
        yield f"The data check found {count(errors, 'error')}; see the chapter on data."


def shared_patients(run: RunFolder) -> int:
    """Patients that are on both sides of some fold."""
    assert run.folds is not None
    table = run.folds[run.folds["patient_id"].notna()]
    sides = table.assign(side=table["part"] == "test").groupby(["fold", "patient_id"])["side"].nunique()
    return int(sides[sides > 1].index.get_level_values("patient_id").nunique())
