"""What each modality is worth, and what happens when it is missing or noisy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from mmdx.report.chapters.discrimination import primary_forest
from mmdx.report.parts import Block, Chapter, Drawing, Note, Table, Text
from mmdx.report.plots.forest import Row, forest
from mmdx.report.plots.lines import Curve, lines
from mmdx.report.run_folder import RunFolder
from mmdx.report.wording import count, joined, known, less_is_better, percent, plain, rests_on, subset, title, upper_first

HARM = {
    "harmed": "Best single modality right, all together wrong",
    "helped": "All together right, best single modality wrong",
    "net": "All together right more often by",
    "both_right": "Both right",
    "both_wrong": "Both wrong",
}
SWEPT = ("auroc", "auprc", "accuracy", "balanced_accuracy", "brier")


def chapter(run: RunFolder) -> Chapter:
    """Subsets, differences, Shapley values, harm of fusion, sweeps of missingness and noise."""
    blocks: list[Block] = []
    if len(run.modalities) == 1:
        blocks.append(Text(f"The model has one modality, {run.full}; there is nothing to take apart."))
    else:
        drawn = primary_forest(run, {"test": "offered", "retrained": "retrained"})
        blocks += [drawn] if drawn else []
        blocks += _differences(run)
        blocks += _value(run)
    blocks += _sweeps(run)
    return Chapter("modalities", "Modalities", blocks)


def _differences(run: RunFolder) -> Iterator[Block]:
    metric = run.primary
    rows: list[Row] = []
    entries: list[Any] = []
    found = {a: own for a, own in run.section("differences").items() if isinstance(own, dict) and own}
    for ablation, own in sorted(found.items(), reverse=True):  # retrained first: it answers whether a modality helps
        rows.append(Row({"retrained": "Against a model trained without", "offered": "The same model, not shown it"}.get(ablation, ablation)))
        for modality, entry in own.items():
            rows.append(Row(modality, entry.get(metric), 0))
            entries.append(entry.get(metric))
            if complete := entry.get("complete"):
                rows.append(Row("", complete.get(metric), 1))
    if not entries:
        yield Note("No subset without one modality was predicted, so nothing can be said about what one adds.", "mmdx train ... ablation=offered")
        return
    several = any(row.series for row in rows)
    helps = "below" if less_is_better(metric) else "above"
    caption = f"{title(metric)} of all modalities minus that of all but one, on the same rows, paired; {helps} 0 it helps. {rests_on(entries)}."
    legend = ["all rows", "rows that have every modality"] if several else []
    yield Drawing("differences", "What each modality adds", caption, forest(rows, f"Difference of {title(metric)}", 0.0, legend, signed=True))
    cells: list[tuple[str, list[Any]]] = []
    names = [m for m in dict.fromkeys(m for own in found.values() for e in own.values() for m in e) if m not in ("rows", "complete")]
    for ablation, own in found.items():
        for modality, entry in own.items():
            cells.append((modality, [ablation, "all", *(entry.get(m) for m in names)]))
            if complete := entry.get("complete"):
                cells.append((modality, [ablation, "complete", *(complete.get(m) for m in names)]))
    less = [title(m) for m in names if less_is_better(m)]
    caption = "All modalities minus all but the one named" + (f"; of {joined(less)} a negative difference helps." if less else ".")
    yield Table("differences", caption, "Modality", ["Compared", "Rows", *(title(m) for m in names)], cells, folded=True)


def _value(run: RunFolder) -> Iterator[Block]:
    section = run.section("modality_value")
    if not section:
        if run.sectioned:
            yield Note("No Shapley values and no count of where fusion hurts are in metrics.json.", f"mmdx score {run.name}")
        return
    for suffix, how in (("", "one model, offered each subset"), ("_retrained", "a model trained on each subset")):
        if shapley := section.get(f"shapley{suffix}"):
            yield _shapley(run, f"shapley{suffix}", how, shapley)
    harms = {how: section[f"harm{suffix}"] for suffix, how in (("", "Offered"), ("_retrained", "Retrained")) if section.get(f"harm{suffix}")}
    if harms:
        yield _harm(harms)
    if agreement := section.get("agreement"):
        yield from _agreement(agreement)
    if section.get("reason"):
        yield Text(f"Left out: {section['reason']}.")


def _harm(harms: dict[str, dict[str, Any]]) -> Table:
    entries = {how: harm.get("entries") or {} for how, harm in harms.items()}
    names = list(dict.fromkeys(name for own in entries.values() for name in own))
    rows = [(HARM.get(name, title(name)), [own.get(name) for own in entries.values()]) for name in names]
    best = _best(harms.values())
    chosen = f" The best single modality, chosen on validation rows: {plain(best)}." if best else ""
    caption = f"Where fusion helps and where it hurts.{chosen} {rests_on(e for own in entries.values() for e in own.values())}."
    return Table("harm", caption, "Share of the rows", list(entries), rows)


def _shapley(run: RunFolder, name: str, how: str, shapley: dict[str, Any]) -> Drawing:
    metric = run.primary if any(run.primary in own for own in shapley.values()) else "auroc"
    rows = [Row(m or "all together", own.get(metric), 0 if m else 5) for m, own in shapley.items()]
    caption = (
        f"Shapley value of each modality: what it adds to the {title(metric)}, averaged over every order of adding modalities; the values sum to "
        f"what all together gain over chance ({how}). {rests_on(row.entry for row in rows)}."
    )
    shown = f"Share of each modality, {'retrained' if name.endswith('retrained') else 'offered'}"
    return Drawing(name, shown, caption, forest(rows, f"Contribution to {title(metric)}", 0.0, bars=True))


def _agreement(agreement: Any) -> Iterator[Table]:
    if isinstance(agreement, dict):
        agreement = [{"between": [pair], "entries": own} for pair, own in agreement.items() if isinstance(own, dict)]
    rows: list[tuple[str, list[Any]]] = []
    for own in agreement:
        entries = own.get("entries") or {}
        present = own.get("present", "any")
        where = "all rows" if present == "any" else f"rows with {subset(str(present))}"
        told = [entries.get("agreement"), entries.get("kappa")] if entries else [f"too small (n = {own.get('n', '?')})", None]
        rows.append((joined(own.get("between", [])), [where, *told]))
    if rows:
        caption = "How far single modalities decide the same; kappa corrects for chance (Cohen 1960)."
        yield Table("agreement", caption, "Between", ["Where", "Same decision", "Kappa"], rows, folded=True)


def _sweeps(run: RunFolder) -> Iterator[Block]:
    section = run.section("stress")
    if section.get("reason"):
        yield Text(f"{upper_first(section['reason'])}.")
    drawings: list[Drawing] = []
    tables: list[Table] = []
    for name, keys, x, does in (
        ("missingness", ("pattern", "trained"), "rate", "Rate at which modalities are taken away"),
        ("noise", ("modality", "noise"), "level", "Level of noise, 0 is clean"),
    ):
        if points := section.get(name):
            drawn = _drawn_sweep(run, name, keys, x, does, points)
            drawings += [drawn] if drawn else []
            tables.append(_swept(name, keys, x, does, points))
    yield from drawings
    yield from tables
    if not section.get("missingness") and not section.get("noise") and run.sectioned:
        yield Note("How metrics fall as modalities go missing or become noisy was not measured.", run.stress)
    if robustness := {k: own for k, own in (section.get("robustness") or {}).items() if isinstance(own, dict)}:
        columns = list(dict.fromkeys(m for own in robustness.values() for m in own))
        entries = [e for own in robustness.values() for e in own.values()]
        caption = (
            "Robustness as MultiBench defines it (Liang et al. 2021): relative, the mean of the metric over the sweep; effective, how much less "
            f"it falls than the baseline's. {rests_on(entries)}."
        )
        rows = [(_words(k), [own.get(c) for c in columns]) for k, own in robustness.items()]
        yield Table("robustness", caption, "Sweep", [title(c) for c in columns], rows)


def _drawn_sweep(run: RunFolder, name: str, keys: tuple[str, str], x: str, does: str, points: list[dict[str, Any]]) -> Drawing | None:
    metric = next((m for m in (run.primary, *SWEPT) if any(known(p.get(m)) for p in points)), "")
    if not metric:
        return None
    curves, entries = [], []
    several = len({str(p.get(keys[1], "")) for p in points}) > 1

    def key(point: dict[str, Any]) -> tuple[str, str]:
        return str(point.get(keys[0], "")), str(point.get(keys[1], ""))

    for k, (of, own) in enumerate(groupby(sorted(points, key=key), key=key)):
        place = sorted((p for p in own if known(p.get(metric))), key=lambda p: p[x])
        label = _words(of[0]) + (f", {_words(of[1])}" if several and of[1] else "")
        found = [p[metric] for p in place]
        entries += found
        value, low, high = ([e.get(part) for e in found] for part in ("value", "low", "high"))
        curves.append(Curve(label, [p[x] for p in place], value, low, high, series=k, marks=True))
    what = {"missingness": "Modalities missing", "noise": "Noisy modalities"}[name]
    caption = f"{title(metric)} on the test rows as the imperfection grows; bands are pointwise 95 % intervals. {rests_on(entries)}."
    return Drawing(name, what, caption, lines(curves, does, title(metric)))


def _swept(name: str, keys: tuple[str, str], x: str, does: str, points: list[dict[str, Any]]) -> Table:
    columns = [m for m in dict.fromkeys(m for p in points for m in p) if any(known(p.get(m)) for p in points)]
    rows = [(_words(str(p.get(keys[0], ""))), [_words(str(p.get(keys[1], ""))), p.get(x), *(p.get(m) for m in columns)]) for p in points]
    heads = [title(keys[1]), title(x), *map(title, columns)]
    return Table(name, f"All numbers of the figure: {does.lower()}.", title(keys[0]), heads, rows, folded=True)


def _words(name: str) -> str:
    """A pattern of absence or another name of a sweep in words."""
    told = {"every": "every modality", "sicker": "more of the sick"}.get(name) or name.removeprefix("only_").replace("_", " ")
    return f"{told} missing" if name.startswith("only_") else told


def harm_sentence(run: RunFolder) -> str:
    """Where fusion hurts, for the summary; "" where it isn't known."""
    value = run.section("modality_value")
    harm = value.get("harm_retrained") or value.get("harm") or {}
    entries = harm.get("entries") or {}
    if not known(entries.get("harmed")) or not known(entries.get("helped")):
        return ""
    n = entries["harmed"].get("n", harm.get("n"))
    rows = count(n, "row") if isinstance(n, int) else "rows"
    singles = dict.fromkeys(str(b["modality"]) for b in harm.get("best") or [] if "modality" in b)
    named = joined(map(plain, singles), "or") + (" by fold and seed" if len(singles) > 1 else "")
    return (
        f"In {percent(entries['harmed'])} of {rows} the best single modality{f', {named},' if singles else ''} is right where all together are "
        f"wrong; the converse holds in {percent(entries['helped'])}."
    )


def _best(harms: Iterable[dict[str, Any]]) -> str:
    """The best single modality; several where models of different folds or seeds have different ones."""
    return joined(dict.fromkeys(str(b["modality"]) for harm in harms for b in harm.get("best") or [] if "modality" in b))
