"""Can the target be had without the medicine?  Each text, column, file property, absence and site is asked for it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from mmdx.audit.association import p_value
from mmdx.audit.describe import Description, describe
from mmdx.audit.encode import MISSING, encode_table, encode_texts, is_text
from mmdx.audit.probes import Question, accuracy, auroc, out_of_fold, probe, question_of
from mmdx.audit.record import record_of
from mmdx.audit.verdicts import MASK, OK, ROLES, RULES, is_nuisance, verdict
from mmdx.data.masking import Masking
from mmdx.data.tables import as_classes
from mmdx.errors import InputError, SampleError
from mmdx.evaluation.intervals import Interval
from mmdx.evaluation.multiplicity import holm
from mmdx.types import Dataset

CARRIED_BY, SHOWN, WEIGHT = 5, 10, 0.5
"""An n-gram is named where it is in the texts of at least this many patients; at most this many, of at least this share of the largest weight."""

Row = dict[str, Any]


def audit(dataset: Dataset, roles: Mapping[str, str], words: Sequence[str] = (), seed: int = 0,
          progress: Callable[[str], None] = lambda what: None, masks: Mapping[str, Sequence[str]] | None = None) -> list[Row]:
    """Every row of the audit, see ``Audit.rows``.

    Args:
        dataset: the cohort; one with a ``record`` (a frame of its source's columns, in the order of ``table``) has these asked too.
        roles: of columns and modalities, from ``ROLES``; a text without one is taken for a report, anything else for prior information.
        words: names and synonyms of the diagnosis.
        seed: of folds and resamples.
        progress: is told what is being done.
        masks: of each modality of texts what is taken out of it before anything is asked.

    Raises:
        InputError: where a role is unknown or the target has one class only.
    """
    return Audit(dataset, roles, words, seed, progress, masks).rows()


class Audit:
    """One pass over a data set, and the questions put to what was found; takes what ``audit`` takes."""

    def __init__(
        self, dataset: Dataset, roles: Mapping[str, str], words: Sequence[str] = (), seed: int = 0,
        progress: Callable[[str], None] = lambda what: None, masks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        for name, role in roles.items():
            if role not in ROLES:
                raise InputError(f"data.roles.{name}={role}: must be one of {', '.join(ROLES)}.")
        self.roles, self.seed, self.progress = dict(roles), seed, progress
        self.table = table = dataset.table
        groups = table["patient_id"].fillna(table["sample_id"]).to_numpy()
        self.question = question_of(as_classes(table), groups)
        self.words = [str(word) for word in words] or named_in(self.question.names)
        self.masking = Masking(self.words)
        self.site = table["site"].fillna(MISSING) if table["site"].notna().any() else None
        progress("reading every sample")
        self.described = _describe_all(dataset)
        self.modalities = [m for m in dataset.modalities if any(m in d for d in self.described)]
        self.record, self.columns = record_of(dataset, self.described, self.modalities)
        self.masks = {name: list(words) for name, words in (masks or {}).items()}
        self._mask()
        unknown = set(self.roles) - set(map(str, self.record)) - set(self.modalities)
        if unknown:
            there = ", ".join([*map(str, self.record), *self.modalities])
            raise InputError(f"data.roles.{min(unknown)}: no such column or modality; there are {there}.")

    def _mask(self) -> None:
        """Take ``masks`` out of the modalities and out of the columns that they are."""
        for name, words in self.masks.items():
            if name not in self.columns:
                raise InputError(f"data.masks.{name}: no modality of texts; there are {', '.join(self.columns) or 'none'}.")
            masking = Masking(words)
            self.record[self.columns[name]] = [masking(t) if isinstance(t, str) else t for t in self.record[self.columns[name]]]
            for d in self.described:
                if name in d:
                    d[name] = d[name]._replace(content=masking(str(d[name].content)))

    def rows(self) -> list[Row]:
        """Of each thing asked ``feature``, ``kind``, ``role``, ``auroc``, ``low``, ``high``, ``n``, ``p`` (of a nuisance, corrected for all
        that were asked), ``verdict`` and ``advice``; of a text also ``terms`` and ``names_the_target``, of a site told from a modality ``accuracy``.
        """
        return judged(list(self.asked()))

    def asked(self) -> Iterator[Row]:
        """The rows of texts, columns, absence, files and site, with p-values of their own and not judged yet."""
        for name in map(str, self.record):
            column = self.record[name]
            yield from self._text(name, column) if is_text(column) else self._column(name, column)
        yield from self._absences()
        yield from self._files()
        if self.site is not None and self.site.nunique() > 1:
            yield self._row("site", "column", "site", encode_table(pd.DataFrame({"site": self.site.astype(object)})))
            yield from self._site_from(self.site)

    def _text(self, name: str, column: pd.Series) -> Iterator[Row]:
        there = np.flatnonzero(column.notna())
        texts = column.iloc[there].astype(str).tolist()
        role = self.roles.get(name, "report")
        row = self._row(name, "free text", role, encode_texts(texts)[0], there)
        masked = [self.masking(text) for text in texts]
        named = sum(a != b for a, b in zip(masked, texts, strict=True))
        yield {**row, "terms": self._terms(texts, there), "names_the_target": named}
        if named:
            yield self._row(_masked_name(name), "free text", role, encode_texts(masked)[0], there)

    def _column(self, name: str, column: pd.Series) -> Iterator[Row]:
        if column.nunique() > 1:
            yield self._row(name, "column", self.roles.get(name, "prior"), encode_table(pd.DataFrame({name: column})))

    def _absences(self) -> Iterator[Row]:
        absent = {m: np.array([m not in d for d in self.described]) for m in self.modalities}
        absent |= {str(c): self.record[c].isna().to_numpy() for c in self.record}
        seen: set[bytes] = set()
        for name, where in absent.items():
            if 0 < where.mean() < 1 and where.tobytes() not in seen:
                seen.add(where.tobytes())
                yield self._row(f"{name} absent", "absence", "absence", csr_matrix(where.astype(float)[:, None]))

    def _files(self) -> Iterator[Row]:
        for m in self.modalities:
            there = np.array([m in d for d in self.described])
            frame = pd.DataFrame([d[m].file for d in self.described if m in d]).astype(float)
            frame = frame.loc[:, frame.nunique() > 1]
            if frame.shape[1]:
                name = f"{m} file ({', '.join(map(str, frame))})"
                yield self._row(name, "file", "file", encode_table(frame), np.flatnonzero(there))

    def _site_from(self, site: pd.Series) -> Iterator[Row]:
        """How well the site is told from each modality; nothing of the target is used."""
        question = question_of(site, self.question.groups)
        for m in self.modalities:
            there = np.array([m in d and d[m].content is not None for d in self.described])
            contents: list[Any] = [d[m].content for d, here in zip(self.described, there, strict=True) if here]
            if contents:
                text = isinstance(contents[0], str)
                inputs = encode_texts(contents)[0] if text else encode_table(pd.DataFrame(contents).rename(columns=str))
                yield self._row(f"site from {m}", "site", "site", inputs, np.flatnonzero(there), question)

    def _row(
        self, name: str, kind: str, role: str, inputs: csr_matrix, there: np.ndarray | None = None, question: Question | None = None
    ) -> Row:
        """One thing asked, not judged yet; ``inputs`` has the rows that are ``there``."""
        self.progress(name)
        rows = np.arange(len(self.table)) if there is None else there
        part = (question or self.question).of(rows)
        row: Row = {"feature": name, "kind": kind, "role": role, "auroc": None, "low": None, "high": None, "n": len(rows), "p": None}
        try:
            scored = out_of_fold(inputs, part, self.seed)
        except InputError:
            return {**row, "found": None, "verdict": OK, "advice": "too few samples of a class have it to measure"}
        found = auroc(scored, part, self.seed)
        row |= {key: None if v != v else round(v, 4) for key, v in (("auroc", found.value), ("low", found.low), ("high", found.high))}
        row["p"] = p_value(inputs, part) if is_nuisance(role) else None
        return {**row, "found": found, "verdict": OK, "advice": ""} | ({} if question is None else {"accuracy": round(accuracy(scored, part), 4)})

    def proposed_masks(self, rows: Sequence[Row]) -> dict[str, list[str]]:
        """Masks for each modality of texts: those in force, the target's names, and of one that is not in order the n-grams that carry it.

        N-grams are learnt, so they come from the rows whose ``split`` is "train" and from nowhere else: without such a column there are none.
        """
        train = (self.table["split"] == "train").to_numpy() if "split" in self.table else np.zeros(len(self.table), dtype=bool)
        verdicts = {row["feature"]: row["verdict"] for row in rows}
        proposed = {}
        for m, name in self.columns.items():
            masks = {*self.masks.get(m, []), *self.words}
            there = np.flatnonzero(self.record[name].notna() & train)
            if verdicts.get(name, OK) != OK and len(there):
                texts = [self.masking(text) for text in self.record[name].iloc[there].astype(str)]
                masks |= {term[1:] for term in self._terms(texts, there)}
            if masks:
                proposed[m] = sorted(masks)
        return proposed

    def _terms(self, texts: list[str], rows: np.ndarray) -> list[str]:
        """The n-grams that carry the probe of some rows' texts, with the sign of their weight, the strongest first."""
        part = self.question.of(rows)
        inputs, words = encode_texts(texts)
        known = ~np.isnan(part.target[:, 0])
        inputs, target, groups = inputs[known], part.target[known, 0], part.groups[known]
        if len(np.unique(target)) < 2:
            return []
        weights = probe().fit(inputs, target).coef_[0].copy()
        patients = csr_matrix((np.ones(len(groups)), (groups, np.arange(len(groups)))), shape=(groups.max() + 1, len(groups)))
        weights[(patients @ (inputs > 0)).getnnz(axis=0) < CARRIED_BY] = 0.0
        strongest = np.argsort(-np.abs(weights), kind="stable")[:SHOWN]
        least = WEIGHT * np.abs(weights).max()
        return [f"{'+' if weights[k] > 0 else '-'}{words[k]}" for k in strongest if 0 < least <= abs(weights[k])]


def judged(asked: Sequence[Row]) -> list[Row]:
    """The rows with Holm's p-values, verdicts and advice."""
    rows = [dict(row) for row in asked]
    nuisances = [row for row in rows if row["p"] is not None]
    for row, p in zip(nuisances, holm([row["p"] for row in nuisances]), strict=True):
        row["p"] = round(p, 4)
    for row in rows:
        found: Interval | None = row.pop("found")
        row["verdict"] = OK if found is None else verdict(row["role"], found, row["p"])
        row["advice"] = row["advice"] if row["verdict"] == OK else RULES[row["role"]].advice
    in_order = {row["feature"] for row in rows if row["verdict"] == OK}
    for row in rows:
        if row["verdict"] != OK and _masked_name(row["feature"]) in in_order:
            row["advice"] = MASK
    return rows


def _masked_name(name: str) -> str:
    return f"{name}, names masked"


def named_in(names: Sequence[str]) -> list[str]:
    """Words of three letters and more in the names of the outcomes; none where these are numbers."""
    return sorted({word for name in names for word in re.findall(r"[^\W\d_]{3,}", name)})


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
