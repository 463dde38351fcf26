"""A split that was drawn before and is taken from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mmdx.data.splits.fold import PARTS, Fold, check_split, rows_of
from mmdx.data.splits.split_file import LEFT_OUT, SplitFile, cohort_of, fingerprint
from mmdx.errors import InputError


class Saved:
    """The folds of a file that ``mmdx data split`` wrote, refused where the cohort is not the one that they were drawn for.

    Rows that a run sets aside (``data.on_error=quarantine``) or has no modality of count as gone, as the parts are then not those
    that were drawn; ``subset`` says that this is meant.

    Args:
        path: the file.
        subset: go on where rows of the file are gone, with what is left of each part. New rows, other patients, labels or sites are
            refused all the same.

    Raises:
        InputError: where the file isn't there or cannot be used.
    """

    def __init__(self, path: str | Path | None = None, subset: bool = False) -> None:
        if path is None:
            raise InputError("split=file: needs split.path=FILE, as drawn by mmdx data split SOURCE --out FILE split=kfold.")
        self.path, self.subset = Path(path).expanduser(), subset
        self.kept = SplitFile.read(self.path)

    def folds(self, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """The folds that were drawn; labels play no part.

        Raises:
            InputError: where the cohort changed, naming how many samples are new, gone or other than they were, and the first of each.
        """
        self._check(cohort_of(table))
        return self._folds(table, self.kept.frame["inner"] == "", "fold")

    def inner_folds(self, outer: Fold, table: pd.DataFrame, labels: np.ndarray | None = None) -> list[Fold]:
        """The inner folds of one of its folds, as far as the rows of that one go.

        Raises:
            InputError: where it was drawn without any.
        """
        made = self._folds(table, (self.kept.frame["inner"] != "") & (self.kept.frame["fold"] == outer.name), "inner")
        if not made:
            raise InputError(f"split.path={self.path}: has no inner folds; draw it with split=nested.")
        rows = np.concatenate([outer.train, outer.val])
        return [Fold(fold.name, *(np.intersect1d(getattr(fold, part), rows) for part in PARTS)) for fold in made]

    def _folds(self, table: pd.DataFrame, chosen: pd.Series, name: str) -> list[Fold]:
        frame, made = self.kept.frame[chosen], []
        place, samples = rows_of(frame["sample_id"], table), self.kept.frame["sample_id"].nunique()  # -1 where the row is gone
        fold, names = pd.factorize(frame[name])
        in_part = {part: (frame["part"] == part).to_numpy(dtype=bool) for part in (*PARTS, LEFT_OUT)}
        for number, called in enumerate(names):
            here = fold == number
            placed = sum(int((here & inside).sum()) for inside in in_part.values())
            if not placed == here.sum() == frame["sample_id"][here].nunique() == samples:
                raise InputError(f"split.path={self.path}: fold {called} does not give each of {samples} samples one part; draw the split anew.")
            parts = {part: np.sort(place[here & in_part[part] & (place >= 0)]) for part in PARTS}
            if empty := [part for part, rows in parts.items() if not len(rows)]:
                raise InputError(f"split.path={self.path}: no sample is left for the {empty[0]} part of fold {called}; draw the split anew.")
            made.append(check_split(Fold(str(called), **parts), table))
        return made

    def _check(self, now: pd.DataFrame) -> None:
        if fingerprint(now) == self.kept.fingerprint:
            return
        drawn = self.kept.cohort
        if fingerprint(drawn) != self.kept.fingerprint:
            raise InputError(f"split.path={self.path}: was changed after it was drawn; draw the split anew.")
        if list(drawn) != list(now):
            before, after = (", ".join(name for name in map(str, frame) if name.startswith("target")) for frame in (drawn, now))
            raise InputError(f"split.path={self.path}: was drawn for the labels {before}, and the data now has {after}; draw the split anew.")
        changes = _changes(drawn.set_index("sample_id"), now.set_index("sample_id"))
        if set(changes) == {"gone"} and self.subset:
            return
        words = ", ".join(f"{len(ids)} {kind} (first '{min(ids)}')" for kind, ids in changes.items())
        hint = ", or set split.subset=true if they are meant to be left out" if set(changes) == {"gone"} else ""
        mend = f"bring the data back, or draw the split anew{hint}"
        raise InputError(f"split.path={self.path}: the cohort is not the one it was drawn for, samples: {words}; {mend}.")


def _changes(drawn: pd.DataFrame, now: pd.DataFrame) -> dict[str, list[str]]:
    """Sample ids by what became of them, from cohorts by sample id."""
    found = {"new": now.index.difference(drawn.index), "gone": drawn.index.difference(now.index)}
    both = drawn.index.intersection(now.index)
    other = (drawn.loc[both] != now.loc[both]).to_numpy()
    kinds = np.array([{"patient_id": "with another patient", "site": "at another site"}.get(str(name), "with another label") for name in drawn])
    for kind in dict.fromkeys(kinds.tolist()):
        found[kind] = both[np.flatnonzero(other[:, kinds == kind].any(axis=1))]
    return {kind: list(map(str, ids)) for kind, ids in found.items() if len(ids)}
