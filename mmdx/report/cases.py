"""The cases of a run, for the case browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmdx.report.case_inputs import Files, Input, input_of
from mmdx.report.run_folder import CASES, RunFolder
from mmdx.report.verdicts import Row, Verdict, verdict_of
from mmdx.report.wording import subset


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        number: from 1.
        sample_id: its name.
        facts: seed, fold, what it lacks, why it was chosen, which output is explained.
        verdict: None where the predictions have no row of it.
        shares: of each modality its share of all attribution.
        inputs: of each modality that it has.
    """

    number: int
    sample_id: str
    facts: list[str]
    verdict: Verdict | None
    shares: dict[str, float]
    inputs: list[Input]

    @property
    def with_overlay(self) -> bool:
        """Whether there is an attribution to show or hide."""
        return any(own.with_overlay for own in self.inputs)

    @property
    def anchor(self) -> str:
        """Id of it in the page."""
        return f"case-{self.number}"


@dataclass(frozen=True)
class CaseList:
    """All cases.

    Attributes:
        cases: in the order of the file.
        methods: how the attribution of each modality was made.
        refused: whether files were left out to keep the page small.
    """

    cases: list[Case]
    methods: dict[str, str]
    refused: bool

    @property
    def index(self) -> list[dict[str, Any]]:
        """What the browser sorts and filters by, one record a case."""
        return [
            {
                "id": case.sample_id,
                "target": case.verdict.target if case.verdict else "",
                "outcome": case.verdict.outcome if case.verdict else "",
                "error": round(case.verdict.error, 6) if case.verdict else None,
                "confidence": _rounded(case.verdict.confidence) if case.verdict else None,
                "disagreement": _rounded(case.verdict.disagreement) if case.verdict else None,
            }
            for case in self.cases
        ]

    @property
    def outcomes(self) -> list[str]:
        """Every outcome there is."""
        return sorted({case.verdict.outcome for case in self.cases if case.verdict and case.verdict.outcome})

    @property
    def targets(self) -> list[str]:
        """Every target there is."""
        return sorted({case.verdict.target for case in self.cases if case.verdict})


def case_list(run: RunFolder) -> CaseList | None:
    """The cases of a run; None where ``cases/cases.json`` isn't there or names none.

    Raises:
        InputError: where a file of a case lies outside the folder of cases.
    """
    listed = [c for c in (run.cases or {}).get("cases") or [] if isinstance(c, dict) and "sample_id" in c]
    if not listed:
        return None
    files = Files(run.path / CASES.parent)
    of_sample = _rows(run, {str(c["sample_id"]) for c in listed})
    cases = []
    for place, given in enumerate(listed, 1):
        rows = _own(of_sample.get(str(given["sample_id"]), []), given)
        verdict = verdict_of(run, rows) if run.full in rows else None
        inputs = given.get("inputs") if isinstance(given.get("inputs"), dict) else {}
        assert isinstance(inputs, dict)
        shares = {str(m): float(v) for m, v in (given.get("share") or {}).items() if isinstance(v, (int, float))}
        shown = [input_of(str(m), own, files) for m, own in inputs.items()]
        cases.append(Case(place, str(given["sample_id"]), _facts(run, given, list(map(str, inputs))), verdict, shares, shown))
    methods = (run.cases or {}).get("method")
    return CaseList(cases, {str(m): str(how) for m, how in methods.items()} if isinstance(methods, dict) else {}, files.refused)


def _rows(run: RunFolder, samples: set[str]) -> dict[str, list[Row]]:
    """Offered rows of the full set and of each modality, by sample."""
    table = run.predictions
    wanted = table["modalities"].isin([run.full, *run.modalities]) & (table["ablation"] == "offered") & table["sample_id"].isin(samples)
    found: dict[str, list[Row]] = {}
    for row in table[wanted].to_dict("records"):
        found.setdefault(str(row["sample_id"]), []).append({str(name): value for name, value in row.items()})
    return found


def _own(rows: list[Row], given: dict[str, Any]) -> dict[str, Row]:
    """Of each subset the one row that is the case's: of its split, seed and fold, where the case names them, else the first."""
    named = {name: str(given[name]) for name in ("split", "seed", "fold") if given.get(name) not in (None, "")}
    found: dict[str, Row] = {}
    for row in rows:
        if all(row[name] == value for name, value in named.items()):
            found.setdefault(str(row["modalities"]), row)
    return found


def _facts(run: RunFolder, given: dict[str, Any], there: list[str]) -> list[str]:
    told = [f"{given['split']} row"] if given.get("split") and given["split"] != "test" else []
    told += [f"{name} {given[name]}" for name in ("seed", "fold") if given.get(name) not in (None, "")]
    lacking = [m for m in run.modalities if m not in there]
    told += [f"lacks {subset('+'.join(lacking))}"] if lacking else []
    told += [f"chosen for: {given['reason']}"] if given.get("reason") else []
    return told + ([f"explained: {given['output']}"] if given.get("output") else [])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
