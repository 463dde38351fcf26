"""Can the target be had without the medicine?  Each text, column, file property, absence and site is asked for it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from mmdx.audit.describe import Description, describe
from mmdx.audit.probes import accuracy, auroc, content_probe, count_words, out_of_fold, question_of, table_probe, take, text_probe
from mmdx.audit.verdicts import ROLES, RULES, verdict
from mmdx.errors import InputError, SampleError
from mmdx.types import Dataset

MISSING = "(missing)"
CARRIED_BY = 5
"""An n-gram is shown only where it is in the texts of at least this many patients."""


def audit(dataset: Dataset, roles: Mapping[str, str], words: Sequence[str] = (), seed: int = 0,
          progress: Callable[[str], None] = lambda what: None) -> list[dict[str, Any]]:
    """Every row of the audit: ``feature``, ``kind``, ``role``, ``auroc``, ``low``, ``high``, ``n``, ``verdict``, ``advice``, and for texts ``terms``.

    Args:
        dataset: the cohort; one with a ``record`` (a frame of its source's columns, in the order of ``table``) has these asked too.
        roles: of columns and modalities, from ``ROLES``; a text without one is taken for a report, anything else for prior information.
        words: names and synonyms of the diagnosis.
        seed: of folds and resamples.
        progress: is told what is being done.

    Raises:
        InputError: where a role is unknown or the target has one class only.
    """
    return list(Audit(dataset, roles, words, seed, progress).rows())


class Audit:
    """One pass over a data set, and the questions put to what was found; see ``audit``."""

    def __init__(
        self, dataset: Dataset, roles: Mapping[str, str], words: Sequence[str], seed: int, progress: Callable[[str], None]
    ) -> None:
        for name, role in roles.items():
            if role not in ROLES:
                raise InputError(f"data.roles.{name}={role}: must be one of {', '.join(ROLES)}.")
        self.roles, self.seed, self.progress = dict(roles), seed, progress
        table = dataset.table
        labels = [c for c in table if str(c).startswith("target_")]
        self.groups = table["patient_id"].fillna(table["sample_id"]).to_numpy()
        self.question = question_of(table["target"] if "target" in table else table[labels], self.groups)
        self.names = [re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE) for word in words or named_in(self.question.names)]
        self.site = table["site"].fillna(MISSING) if table["site"].notna().any() else None
        progress("reading every sample")
        self.described = _describe_all(dataset)
        self.modalities = [m for m in dataset.modalities if any(m in d for d in self.described)]
        self.record = _record(dataset, self.described, self.modalities)
        unknown = set(self.roles) - set(map(str, self.record)) - set(self.modalities)
        if unknown:
            there = ", ".join([*map(str, self.record), *self.modalities])
            raise InputError(f"data.roles.{min(unknown)}: no such column or modality; there are {there}.")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Texts, columns, absence, files, site."""
        for name in map(str, self.record):
            column = self.record[name]
            yield from self._text(name, column) if is_text(column) else self._column(name, column)
        yield from self._absences()
        yield from self._files()
        if self.site is not None and self.site.nunique() > 1:
            yield self._row("site", "column", "site", table_probe, pd.DataFrame({"site": self.site.astype(object)}))
            yield from self._site_from(self.site)

    def _text(self, name: str, column: pd.Series) -> Iterator[dict[str, Any]]:
        there = column.notna().to_numpy()
        texts = column.fillna("").astype(str)
        role = self.roles.get(name, "report")
        counts, names = count_words(texts.tolist())
        row = self._row(name, "free text", role, text_probe, counts, there)
        named = int(sum(any(p.search(text) for p in self.names) for text in texts))
        yield {**row, "terms": self._terms(counts, names, there), "names_the_target": named}
        if named:
            masked, _ = count_words([mask(text, self.names) for text in texts])
            yield self._row(f"{name}, names masked", "free text", role, text_probe, masked, there)

    def _column(self, name: str, column: pd.Series) -> Iterator[dict[str, Any]]:
        if column.nunique() > 1:
            yield self._row(name, "column", self.roles.get(name, "prior"), table_probe, pd.DataFrame({name: as_column(column)}))

    def _absences(self) -> Iterator[dict[str, Any]]:
        absent = {m: np.array([m not in d for d in self.described]) for m in self.modalities}
        absent |= {str(c): self.record[c].isna().to_numpy() for c in self.record}
        seen: set[bytes] = set()
        for name, where in absent.items():
            if 0 < where.mean() < 1 and where.tobytes() not in seen:
                seen.add(where.tobytes())
                yield self._row(f"{name} absent", "absence", "absence", table_probe, pd.DataFrame({"absent": where.astype(float)}))

    def _files(self) -> Iterator[dict[str, Any]]:
        for m in self.modalities:
            frame = pd.DataFrame([d[m].file if m in d else {} for d in self.described]).astype(float)
            frame = frame.loc[:, frame.nunique() > 1]
            there = np.array([m in d for d in self.described])
            if frame.shape[1]:
                yield {**self._row(f"{m} file ({', '.join(map(str, frame))})", "file", "file", table_probe, frame, there)}

    def _site_from(self, site: pd.Series) -> Iterator[dict[str, Any]]:
        """How well the site is told from each modality; nothing of the target is used."""
        question = question_of(site, self.groups)
        for m in self.modalities:
            there = np.array([m in d and d[m].content is not None for d in self.described])
            contents = [d[m].content for d, here in zip(self.described, there, strict=True) if here]
            if not contents:
                continue
            part = question.of(there)
            inputs: Any
            if isinstance(contents[0], str):
                probe, inputs = text_probe, count_words([str(c) for c in contents])[0]
            else:
                probe, inputs = content_probe, _frame(contents)
            self.progress(f"site from {m}")
            scored = out_of_fold(probe, inputs, part, self.seed)
            row = _row(f"site from {m}", "site", "site", auroc(scored, part, self.seed), int(there.sum()))
            yield {**row, "accuracy": round(accuracy(scored, part), 4)}

    def _row(self, name: str, kind: str, role: str, probe: Callable[[], Any], inputs: Any, there: np.ndarray | None = None) -> dict[str, Any]:
        self.progress(name)
        rows = np.arange(len(self.groups)) if there is None else np.flatnonzero(there)
        part = self.question.of(rows)
        try:
            found = auroc(out_of_fold(probe, take(inputs, rows), part, self.seed), part, self.seed)
        except InputError:
            return {**_row(name, kind, role, None, len(rows)), "advice": "too few samples of a class have it to measure"}
        return _row(name, kind, role, found, len(rows))

    def _terms(self, counts: Any, words: np.ndarray, there: np.ndarray) -> list[str]:
        """The n-grams that carry a text's probe, the strongest first, in the texts of at least ``CARRIED_BY`` patients."""
        known = there & ~np.isnan(self.question.target[:, 0])
        weights = text_probe().fit(counts[known], self.question.target[known, 0])[1].coef_[0]
        groups = self.question.groups[known]
        carried = []
        for k in np.argsort(-np.abs(weights))[:60]:
            if len(np.unique(groups[counts[known][:, [k]].toarray()[:, 0] > 0])) >= CARRIED_BY:
                carried.append(f"{'+' if weights[k] > 0 else '-'}{words[k]}")
        return carried[:10]


def named_in(names: Sequence[str]) -> list[str]:
    """Words of three letters and more in the names of the outcomes; none where these are numbers."""
    return sorted({word for name in names for word in re.findall(r"[^\W\d_]{3,}", name)})


def mask(text: str, names: Sequence[re.Pattern[str]]) -> str:
    """A text without the given names."""
    for name in names:
        text = name.sub(" ", text)
    return text


def is_text(column: pd.Series) -> bool:
    """Whether a column holds free text: strings of three words and more on average."""
    cells = column.dropna()
    return len(cells) > 0 and all(isinstance(c, str) for c in cells) and sum(len(c.split()) for c in cells) >= 3 * len(cells)


def as_column(column: pd.Series) -> pd.Series:
    """Numbers as float with NaN, anything else as text with missing ones named."""
    numbers = pd.to_numeric(column, errors="coerce")
    if (numbers.notna() == column.notna()).all():
        return numbers.astype(float)
    return pd.Series([MISSING if v is None or v != v else str(v) for v in column], index=column.index, dtype=object)


def _describe_all(dataset: Dataset) -> list[dict[str, Description]]:
    paths: Callable[[int], dict[str, Any]] = getattr(dataset, "paths_of", lambda index: {})

    def one(index: int) -> dict[str, Description]:
        try:
            inputs = dataset[index].inputs
        except SampleError:
            return {}  # mmdx data check says which and why
        return {m: describe(raw, paths(index).get(m)) for m, raw in inputs.items()}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, range(len(dataset))))


def _record(dataset: Dataset, described: list[dict[str, Description]], modalities: Sequence[str]) -> pd.DataFrame:
    """The source's columns, the texts and tables of the modalities that are not among them, and what is there to audit subgroups by."""
    record = getattr(dataset, "record", pd.DataFrame(index=dataset.table.index)).reset_index(drop=True)
    columns: dict[str, list[Any]] = {}
    for m in modalities:
        contents = [d[m].content if m in d else None for d in described]
        if any(isinstance(c, str) for c in contents):
            columns[m] = contents
        for key in sorted({k for c in contents if isinstance(c, dict) for k in c}):
            columns[key] = [c.get(key) if isinstance(c, dict) else None for c in contents]
    columns |= {str(c).removeprefix("meta_"): dataset.table[c].tolist() for c in dataset.table if str(c).startswith("meta_")}
    known = {tuple(_plain(record[c])) for c in record}
    new = {name: values for name, values in columns.items() if name not in record and tuple(_plain(values)) not in known}
    return pd.concat([record, pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in new.items()}, index=record.index)], axis=1)


def _plain(values: Any) -> list[str]:
    return ["" if v is None or v != v else str(v) for v in values]


def _frame(contents: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(contents)
    return pd.DataFrame({str(c): as_column(frame[c]) for c in frame})


def _row(name: str, kind: str, role: str, found: Any, n: int) -> dict[str, Any]:
    values = [None, None, None] if found is None else [found.value, found.low, found.high]
    value, low, high = (None if v is None or v != v else round(float(v), 4) for v in values)
    said = "ok" if found is None else verdict(role, found)
    return {
        "feature": name, "kind": kind, "role": role, "auroc": value, "low": low, "high": high, "n": n, "verdict": said,
        "advice": RULES[role].advice if said != "ok" else "",
    }  # fmt: skip
