"""Recalibration: a map of a finished model's probabilities, fitted on validation rows and applied to others.

Every map is a handful of numbers that JSON can hold. Probabilities are kept 1e-7 away from 0 and 1 before a logarithm is taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from mmdx.errors import InputError
from mmdx.evaluation.calibration_line import CalibrationLine, clipped
from mmdx.evaluation.metrics import weighted

BINARY_METHODS = ("temperature", "platt", "isotonic", "beta")
CLASS_METHODS = ("temperature", "dirichlet")
METHODS = ("temperature", "platt", "isotonic", "beta", "dirichlet")
MINIMUM_ROWS, MINIMUM_OF_CLASS = 20, 5
TEMPERATURES = (-7.0, 7.0)  # of its logarithm
STRENGTHS = (10.0, 1.0, 1e-1, 1e-2, 1e-3)
FOLDS = 3
State = dict[str, Any]


@dataclass(frozen=True)
class Recalibration:
    """A fitted map.

    - ``temperature``: softmax(ln p / T), for two classes sigmoid(logit(p) / T); state ``temperature`` (Guo et al. 2017).
    - ``platt``: sigmoid(slope logit(p) + intercept); state ``slope``, ``intercept`` (Platt 1999, on the logit, without his smoothed targets).
    - ``isotonic``: the best map that never decreases; state ``prob``, ``value``, linear between and level beyond (Zadrozny and Elkan 2002).
    - ``beta``: sigmoid(a ln p - b ln(1 - p) + c) with a, b >= 0; state ``a``, ``b``, ``c`` (Kull, Silva Filho and Flach 2017).
    - ``dirichlet``: softmax(W ln p + b); state ``weights`` [K, K], ``intercepts`` [K], ``strength`` (Kull et al. 2019).

    Attributes:
        method: one of these.
        state: numbers and lists of numbers.
    """

    method: str
    state: State

    def apply(self, prob: np.ndarray) -> np.ndarray:
        """Recalibrated probabilities, in the shape of those given.

        Args:
            prob: [n] of a yes-or-no outcome, or [n, K] of classes, as the map was fitted on.

        Raises:
            InputError: where the shape is another or a probability is not within 0 to 1.
        """
        prob = _probabilities(self.method, prob)
        shapes = {"temperature": (1, 2), "dirichlet": (2,)}.get(self.method, (1,))
        if prob.ndim not in shapes or (self.method == "dirichlet" and prob.shape[1] != len(self.state["intercepts"])):
            raise InputError(f"{self.method}: prob has shape {list(prob.shape)}; give probabilities of the kind that the map was fitted on.")
        return _APPLY[self.method](self.state, prob)


def fit(method: str, prob: np.ndarray, target: np.ndarray) -> Recalibration:
    """Fit a map on validation rows.

    ``temperature``, ``platt`` and ``beta`` have the largest likelihood; ``beta`` leaves out a term whose weight would be negative, as its authors do.
    ``dirichlet`` has the largest likelihood less ODIR's penalty (Kull et al. 2019): strength times the mean square of the off-diagonal weights and
    of the intercepts, against the mean log loss; of the strengths 10, 1, ... 0.001 the one with the least log loss in three-fold cross-validation.

    Args:
        method: ``temperature``, ``platt``, ``isotonic`` or ``beta`` for a yes-or-no outcome, ``temperature`` or ``dirichlet`` for classes.
        prob: [n] of the outcome, or [n, K] of the classes.
        target: [n] of 0 and 1, or of 0 to K - 1.

    Raises:
        InputError: for another method, shapes that do not fit, fewer than 20 rows or fewer than 5 of a class, or rows whose classes the
            probabilities tell apart without an error, where no finite map is best.
    """
    if method not in METHODS:
        raise InputError(f"method={method}: must be one of {', '.join(METHODS)}.")
    prob = _probabilities(method, prob)
    fitting = BINARY_METHODS if prob.ndim == 1 else CLASS_METHODS
    if method not in fitting:
        raise InputError(f"{method}: prob has shape {list(prob.shape)}, which {', '.join(fitting)} are for.")
    return Recalibration(method, _FIT[method](prob, _targets(method, prob, target)))


def _probabilities(method: str, prob: np.ndarray) -> np.ndarray:
    prob = np.asarray(prob, dtype=np.float64)
    if prob.ndim not in (1, 2) or (prob.ndim == 2 and prob.shape[1] < 2):
        raise InputError(f"{method}: prob has shape {list(prob.shape)}; it must be [n] of an outcome or [n, K] of K classes.")
    outside = ~((prob >= 0) & (prob <= 1))
    if outside.any():
        raise InputError(f"{method}: prob holds {prob[outside][0]:g}; a probability must lie in 0 to 1.")
    return prob


def _targets(method: str, prob: np.ndarray, target: np.ndarray) -> np.ndarray:
    given = np.asarray(target, dtype=np.float64)
    classes = 2 if prob.ndim == 1 else prob.shape[1]
    if given.shape != (len(prob),) or not np.isin(given, range(classes)).all():
        raise InputError(f"{method}: target must be {len(prob)} numbers, each one of 0 to {classes - 1}, as prob has {len(prob)} rows.")
    of_class = np.bincount(given.astype(int), minlength=classes)
    if len(given) < MINIMUM_ROWS or of_class.min() < MINIMUM_OF_CLASS:
        few = f"{len(given)} validation rows, of which the rarest class has {of_class.min()}"
        raise InputError(f"{method}: {few}; fitting needs at least {MINIMUM_ROWS}, and {MINIMUM_OF_CLASS} of each class.")
    return given.astype(int)


def _no_best(method: str) -> InputError:
    return InputError(f"{method}: the probabilities of the validation rows tell the classes apart without an error, so no finite map is best.")


def _log_prob(prob: np.ndarray) -> np.ndarray:
    """Logarithms [n, K] of the probabilities of classes; of an outcome those of no and of yes."""
    return np.log(clipped(prob if prob.ndim == 2 else np.stack([1 - prob, prob], axis=1)))


def _fit_temperature(prob: np.ndarray, target: np.ndarray) -> State:
    scores, rows = _log_prob(prob), np.arange(len(target))
    others = scores.copy()
    others[rows, target] = -np.inf
    if (scores[rows, target] >= others.max(axis=1)).all():
        raise _no_best("temperature")
    found = minimize_scalar(
        lambda log_t: -log_softmax(scores / np.exp(log_t), axis=1)[rows, target].mean(),
        bounds=TEMPERATURES, method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    return {"temperature": float(np.exp(found.x))}


def _apply_temperature(state: State, prob: np.ndarray) -> np.ndarray:
    if prob.ndim == 1:
        return expit(logit(clipped(prob)) / state["temperature"])
    return softmax(np.log(clipped(prob)) / state["temperature"], axis=1)


def _fit_platt(prob: np.ndarray, target: np.ndarray) -> State:
    line = weighted(CalibrationLine(target, prob, np.arange(len(prob))), np.ones(len(prob)))
    if np.isnan(line["slope"]):
        raise InputError("platt: all probabilities of the validation rows are the same.") if np.ptp(prob) == 0 else _no_best("platt")
    return {"slope": line["slope"], "intercept": line["intercept_joint"]}


def _apply_platt(state: State, prob: np.ndarray) -> np.ndarray:
    return expit(state["slope"] * logit(clipped(prob)) + state["intercept"])


def _fit_isotonic(prob: np.ndarray, target: np.ndarray) -> State:
    from sklearn.isotonic import IsotonicRegression

    found = IsotonicRegression(y_min=0, y_max=1, increasing=True, out_of_bounds="clip").fit(prob, target)
    return {"prob": found.X_thresholds_.tolist(), "value": found.y_thresholds_.tolist()}


def _apply_isotonic(state: State, prob: np.ndarray) -> np.ndarray:
    return np.interp(prob, state["prob"], state["value"])


def _fit_beta(prob: np.ndarray, target: np.ndarray) -> State:
    _fit_platt(prob, target)  # has no finite map where this one has none
    p = clipped(prob)
    features = {"a": np.log(p), "b": -np.log1p(-p)}
    while features:
        weights, intercept = _logistic(np.stack(list(features.values()), axis=1), target)
        found = dict(zip(features, weights, strict=True))
        negative = [name for name, weight in found.items() if weight < 0]
        if not negative:
            return {"a": 0.0, "b": 0.0} | found | {"c": intercept}
        del features[negative[0]]
    return {"a": 0.0, "b": 0.0, "c": float(logit(target.mean()))}


def _logistic(features: np.ndarray, target: np.ndarray) -> tuple[list[float], float]:
    """Weights and intercept of the logistic regression on features [n, F]."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that are nearly a line, where any of several equally good answers will do
        found = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=200).fit(features, target)
    return found.coef_[0].tolist(), float(found.intercept_[0])


def _apply_beta(state: State, prob: np.ndarray) -> np.ndarray:
    p = clipped(prob)
    return expit(state["a"] * np.log(p) - state["b"] * np.log1p(-p) + state["c"])


def _fit_dirichlet(prob: np.ndarray, target: np.ndarray) -> State:
    from sklearn.model_selection import StratifiedKFold

    _fit_temperature(prob, target)  # has no finite map where this one has none
    scores = _log_prob(prob)
    loss = np.zeros(len(STRENGTHS))
    for one, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(scores, target):
        found = None
        for k, strength in enumerate(STRENGTHS):  # from the strongest on, each from where the last one ended
            found = dirichlet_map(scores[one], target[one], strength, found)
            loss[k] += _class_loss(*found, scores[rest], target[rest]) * len(rest)
    strength = STRENGTHS[int(np.argmin(loss))]
    weights, intercepts = dirichlet_map(scores, target, strength)
    return {"weights": weights.tolist(), "intercepts": intercepts.tolist(), "strength": strength}


def _class_loss(weights: np.ndarray, intercepts: np.ndarray, scores: np.ndarray, target: np.ndarray) -> float:
    return float(-log_softmax(scores @ weights.T + intercepts, axis=1)[np.arange(len(target)), target].mean())


def dirichlet_map(
    scores: np.ndarray, target: np.ndarray, strength: float, start: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [K, K] and intercepts [K] of the Dirichlet map with a given strength of ODIR's penalty.

    Args:
        scores: [n, K], ln p.
        target: [n] of 0 to K - 1.
        strength: of the penalty, 0 for none.
        start: weights and intercepts to begin at; the map that changes nothing where not given.
    """
    n, classes = scores.shape
    truth = np.eye(classes)[target]
    penalised = strength * np.hstack([(1 - np.eye(classes)) / (classes * (classes - 1)), np.full((classes, 1), 1 / classes)])
    inputs = np.hstack([scores, np.ones((n, 1))])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(classes, classes + 1)
        logs = log_softmax(inputs @ w.T, axis=1)
        gradient = (np.exp(logs) - truth).T @ inputs / n + 2 * penalised * w
        return float(-(truth * logs).sum() / n + (penalised * w**2).sum()), gradient.ravel()

    weights, intercepts = start or (np.eye(classes), np.zeros(classes))
    begin = np.hstack([weights, intercepts[:, None]]).ravel()
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-10, "gtol": 1e-6})
    w = found.x.reshape(classes, classes + 1)
    return w[:, :classes], w[:, classes]


def _apply_dirichlet(state: State, prob: np.ndarray) -> np.ndarray:
    return softmax(np.log(clipped(prob)) @ np.array(state["weights"]).T + np.array(state["intercepts"]), axis=1)


_FIT: dict[str, Callable[[np.ndarray, np.ndarray], State]] = {
    "temperature": _fit_temperature, "platt": _fit_platt, "isotonic": _fit_isotonic, "beta": _fit_beta, "dirichlet": _fit_dirichlet,
}  # fmt: skip
_APPLY: dict[str, Callable[[State, np.ndarray], np.ndarray]] = {
    "temperature": _apply_temperature, "platt": _apply_platt, "isotonic": _apply_isotonic, "beta": _apply_beta, "dirichlet": _apply_dirichlet,
}  # fmt: skip
