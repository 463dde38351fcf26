"""A whole check: read what a cohort names, then compare it across the cohort."""

from __future__ import annotations

from collections import defaultdict

from mmdx.data.checks.alike import unlike_the_others
from mmdx.data.checks.cache import Cache
from mmdx.data.checks.cohort import Cohort
from mmdx.data.checks.duplicates import duplicates
from mmdx.data.checks.findings import Finding, in_order
from mmdx.data.checks.read import read_all, usable_cpus
from mmdx.data.checks.reading import Reading, own_findings, readings
from mmdx.data.checks.tables import table_findings


def check(cohort: Cohort, workers: int | None = None, cache: Cache | None = None) -> list[Finding]:
    """Everything that is wrong with a cohort, errors first.

    Args:
        cohort: what is to be checked.
        workers: processes that read; None takes as many as there are processors.
        cache: remembers files that did not change; None reads all.

    Raises:
        InputError: where a package that a format or comparison needs is not installed.
    """
    results = read_all(cohort, workers or usable_cpus(), cache)
    found = [*cohort.findings, *table_findings(cohort)]
    by_modality: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings(cohort, results):
        found += own_findings(reading)
        by_modality[reading.modality].append(reading)
    for group in by_modality.values():
        found += unlike_the_others(group)
        found += duplicates(group)
    return in_order(found)
