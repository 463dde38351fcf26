"""Does a task keep its contract?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from mmdx.errors import InputError
from mmdx.evaluation.predictions import checked
from mmdx.types import Calibrated, Task


def check_task(build: Callable[[], Task], table: pd.DataFrame) -> None:
    """Check a task on a data set's table: targets encode, the loss is finite and differentiable and smaller for right logits than for
    wrong ones, the predictions are those of its kind, and the fitted state is JSON and loads into another copy, with what a task learns from
    the trained model's outputs too.
    """
    task, twin = build(), build()
    target = task.encode(table)
    assert len(target) == len(table), "encode must give one target a row"
    twin.load(json.loads(json.dumps(task.fit(target), allow_nan=False)))
    encoded = torch.as_tensor(target)
    logits = torch.zeros(len(target), task.outputs, requires_grad=True)
    loss = task.loss(logits, encoded)
    assert loss.ndim == 0 and loss.isfinite(), "loss must be one finite number"
    assert torch.equal(loss, twin.loss(logits, encoded)), "a task with the loaded state has another loss"
    (gradient,) = torch.autograd.grad(loss, logits)
    better, worse = (task.loss(-sign * gradient, encoded) for sign in (1, -1))
    assert better < loss < worse, "the loss does not fall along its own gradient"
    drawn = torch.randn(len(target), task.outputs, generator=torch.Generator().manual_seed(0))
    if isinstance(task, Calibrated):
        twin.load(json.loads(json.dumps(task.calibrate(drawn, encoded), allow_nan=False)))
    columns, again = task.predict(drawn), twin.predict(drawn)
    assert columns.keys() == again.keys() and all(np.array_equal(columns[c], again[c]) for c in columns), "a loaded state predicts otherwise"
    _check_columns(task, columns, table)
    assert isinstance(task.score(drawn, encoded), float), "score must be one number"


def _check_columns(task: Task, columns: Mapping[str, np.ndarray], table: pd.DataFrame) -> None:
    """Names and ranges of the predictions, and that mmdx's own scorer takes them for the task's kind."""
    for name, values in columns.items():
        assert len(values) == len(table) and np.isfinite(values).all(), f"{name} must be finite, one value a row"
        bounded = name.startswith(("prob", "survival_")) or name == "vacuity"
        assert bounded or name in ("prediction", "risk"), f"predict gives a column {name!r}; not one that a task predicts"
        assert not bounded or np.all((values >= 0) & (values <= 1)), f"{name} must be in 0 to 1"
    ids = pd.DataFrame({"sample_id": [str(i) for i in range(len(table))]})
    try:
        checked(ids.assign(**task.columns(table), **columns), kind=task.kind)
    except InputError as fault:
        raise AssertionError(f"columns and predict are not those of kind {task.kind}: {fault}") from None
