"""One thing that was read, beside the row that names it: what the cohort-wide checks compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mmdx.data.checks.cache import Results
from mmdx.data.checks.cohort import Cohort, Entry
from mmdx.data.checks.facts import Facts
from mmdx.data.checks.files import Task
from mmdx.data.checks.findings import WARNING, Finding


class Reading(NamedTuple):
    """A file or text with its row; ``file`` is how findings call it."""

    entry: Entry
    modality: str
    file: str
    facts: Facts

    def finding(self, kind: str, severity: str, sentence: str) -> Finding:
        """A finding about it, its row in front of the sentence."""
        where = f"{self.entry.table}, row {self.entry.row}: " if self.entry.row is not None else ""
        return Finding(self.file, self.entry.row, kind, severity, f"{where}{sentence.rstrip('.')}.")

    @property
    def row(self) -> str:
        """The row as another row's sentence names it."""
        return f"row {self.entry.row}" if self.entry.row is not None else f"sample '{self.entry.sample_id}'"

    @property
    def called(self) -> str:
        """The row and file as another row's sentence names them."""
        return f"{self.row}, '{self.file}'" if self.file not in (self.entry.table, self.entry.sample_id) else self.row


def readings(cohort: Cohort, results: Mapping[Task, Results]) -> Iterator[Reading]:
    """Every reading of a cohort, in the order of its rows."""
    for item in cohort.items:
        for modality, plain in results[item.task]:
            entry = cohort.entries[item.entry]
            yield Reading(entry, modality or item.modality, item.shown or entry.table, Facts(**plain))


def own_findings(reading: Reading) -> Iterator[Finding]:
    """What is wrong with it by itself."""
    for kind, severity, sentence in reading.facts.faults:
        yield reading.finding(kind, severity, sentence)
    if reading.facts.personal:
        names = ", ".join(reading.facts.personal)
        what = "patterns that may identify a person" if reading.facts.kind == "text" else "what de-identification takes out is still filled"
        yield reading.finding("personal", WARNING, f"{reading.modality}: {what}: {names}")
