"""The space of a sweep: parameters written as Hydra's overrides or in YAML, and the override that each value makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from mmdx.errors import InputError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

TAGS = {"log"}
KEYS = ({"choices"}, {"low", "high", "step", "log"})
"""The keys of a parameter in YAML: of choices, and of numbers."""
FORMS = "choice(a,b), range(from,to[,step]), interval(low,high), int(interval(low,high)) or tag(log,interval(low,high))"


@dataclass(frozen=True)
class Choice:
    """One of several values, each kept as it is written in an override."""

    key: str
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise InputError(f"{self.key}: no value to choose from; give one or more, or another pattern.")
        for option in self.options:
            if self.options.count(option) > 1:
                raise InputError(f"{self.key}: {option} is given twice; give each value once.")

    def __str__(self) -> str:
        """As it stands in an override."""
        return f"choice({','.join(self.options)})"

    def text(self, value: Any) -> str:
        """A value as it stands in an override."""
        return str(value)


@dataclass(frozen=True)
class Interval:
    """A number between two others, both included; ``log`` spreads its logarithm evenly."""

    key: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_numbers(self.key, self.low, self.high, self.log)

    def __str__(self) -> str:
        """As it stands in an override."""
        return _tagged(f"interval({self.low},{self.high})", self.log)

    def text(self, value: float) -> str:
        """A value as it stands in an override; reading it gives the same number."""
        return repr(float(value))


@dataclass(frozen=True)
class Steps:
    """Numbers from ``low`` on, ``step`` apart: ``count`` of them; whole ones where both are whole."""

    key: str
    low: Decimal
    step: Decimal
    count: int
    log: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"{self.key}: the range holds no value; its end must lie beyond its start, in the direction of its step.")
        _check_numbers(self.key, float(self.low), float(self.high), self.log, single=True)
        if self.log and not (self.whole and self.step == 1):
            raise InputError(f"{self.key}: a logarithmic range can have no step but 1 of whole numbers; leave out the step, or log.")

    def __str__(self) -> str:
        """As it stands in an override."""
        if self.whole and self.step == 1:
            return _tagged(f"int(interval({self.low},{self.high}))", self.log)
        return f"range({self.low},{self.high + self.step},{self.step})"

    @property
    def high(self) -> Decimal:
        """The last number."""
        return self.low + self.step * (self.count - 1)

    @property
    def whole(self) -> bool:
        """Whether they are whole numbers, written so."""
        return all(number.as_tuple().exponent == 0 for number in (self.low, self.step))

    @property
    def options(self) -> tuple[str, ...]:
        """All of them, as they stand in an override."""
        return tuple(self.text(float(self.low + self.step * k)) for k in range(self.count))

    def text(self, value: float) -> str:
        """A value as it stands in an override: the number of the range itself, without the rounding of sums."""
        if self.whole:
            return str(int(value))
        return str(self.low + self.step * round((Decimal(repr(float(value))) - self.low) / self.step))


Parameter = Choice | Interval | Steps


def _tagged(text: str, log: bool) -> str:
    return f"tag(log,{text})" if log else text


def _check_numbers(key: str, low: float, high: float, log: bool, single: bool = False) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{key}: an interval from {low} to {high}; both ends must be finite numbers.")
    if high < low or (high == low and not single):
        raise InputError(f"{key}: from {low} to {high} there is no value; the upper end must be above the lower one.")
    if log and low <= 0:
        raise InputError(f"{key}: a logarithmic interval must begin above 0, not at {low}.")


@dataclass(frozen=True)
class Space:
    """What a sweep varies and what it leaves alone.

    Attributes:
        parameters: what is varied, by its key in the order given.
        fixed: overrides that every trial has.
    """

    parameters: Mapping[str, Parameter]
    fixed: tuple[str, ...]

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of one trial."""
        return [*self.fixed, *(f"{key}={self.parameters[key].text(value)}" for key, value in values.items())]

    def described(self) -> dict[str, Any]:
        """What tells one space from another, whatever the order it was written in."""
        return {"fixed": sorted(self.fixed), "parameters": {key: str(self.parameters[key]) for key in sorted(self.parameters)}}


def read_space(params: Any, arguments: Iterable[str], loader: ConfigLoader | None = None) -> Space:
    """The space of a sweep.

    Args:
        params: ``hydra.sweeper.params``: for each key an override's value as text, a list to choose from, or a mapping: ``choices``, or ``low`` and
            ``high`` with ``step`` or ``log``.
        arguments: overrides of the command line; they go before ``params`` of the same key.
        loader: Hydra's, which knows the members of config groups that a pattern such as ``fusion=glob(m*)`` chooses from.

    Raises:
        InputError: where a parameter cannot be read, has no value, or nothing is varied.
    """
    if not isinstance(params, Mapping):
        raise InputError(f"hydra.sweeper.params={params}: must be a mapping, such as '{{fusion: [gated, concat]}}'; or give fusion=gated,concat.")
    given: dict[str, Parameter | str] = {}
    parser = OverridesParser.create(config_loader=loader)
    for key, value in params.items():
        given |= _entry(str(key), value, parser)
    for argument in arguments:
        own = _parsed(argument, parser)
        name = _name(own)
        for key in [key for key in given if _bare(key) == _bare(name)]:
            del given[key]
        given[name] = _parameter(own) if own.is_sweep_override() else argument
    parameters = {key: value for key, value in given.items() if not isinstance(value, str)}
    if not parameters:
        raise InputError(f"hydra/sweeper=optuna: nothing to vary; give a key such as 'optimizer.lr={FORMS.split(' or ')[-1]}', or +sweep=heads.")
    return Space(parameters, tuple(value for value in given.values() if isinstance(value, str)))


def _entry(key: str, value: Any, parser: OverridesParser) -> dict[str, Parameter | str]:
    """One key of ``params``."""
    place = f"hydra.sweeper.params.{key}"
    if isinstance(value, list):
        return {key: Choice(key, tuple(_written(element) for element in value))}
    if isinstance(value, Mapping):
        return {key: _mapped(key, dict(value), place)}
    own = _parsed(f"{key}={'null' if value is None else _written(value) if isinstance(value, bool) else value}", parser)
    return {_name(own): _parameter(own) if own.is_sweep_override() else str(own.input_line)}


def _mapped(key: str, value: dict[str, Any], place: str) -> Parameter:
    """A parameter written as a mapping."""
    if not any(set(value) <= known for known in KEYS) or not ("choices" in value or {"low", "high"} <= set(value)):
        raise InputError(f"{place}={value}: must be text such as {FORMS}, a list, {{choices: [...]}}, or {{low: , high: }} with step: or log: true.")
    if "choices" in value:
        return Choice(key, tuple(_written(element) for element in value["choices"]))
    numbers = [value["low"], value["high"], *([value["step"]] if value.get("step") is not None else [])]
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers):
        raise InputError(f"{place}={value}: low, high and step must be numbers.")
    if all(isinstance(number, int) for number in numbers) or len(numbers) == 3:
        low, high, step = (Decimal(str(number)) for number in (*numbers, 1)[:3])
        if step <= 0:
            raise InputError(f"{place}={value}: step must be above 0.")
        if high < low:
            raise InputError(f"{key}: from {low} to {high} there is no value; the upper end must be above the lower one.")
        return Steps(key, low, step, int((high - low) / step) + 1, bool(value.get("log")))
    return Interval(key, float(value["low"]), float(value["high"]), bool(value.get("log")))


def _written(value: Any) -> str:
    """A value of YAML as it stands in an override."""
    return Override._get_value_element_as_str(value)


def _parsed(line: str, parser: OverridesParser) -> Override:
    try:
        return parser.parse_overrides([line])[0]
    except HydraException as fault:
        raise InputError(f"{line}: cannot be read ({' '.join(str(fault).split())}); a parameter is {FORMS}.") from None


def _name(own: Override) -> str:
    return str(own.get_key_element())


def _bare(key: str) -> str:
    return key.lstrip("+~")


def _parameter(own: Override) -> Parameter:
    """A parameter of an override."""
    key, value = _name(own), own._value
    tags = value.tags if isinstance(value, RangeSweep | IntervalSweep | ChoiceSweep) else set()
    if unknown := tags - (set() if isinstance(value, ChoiceSweep) else TAGS):
        raise InputError(f"{own.input_line}: the tag {sorted(unknown)[0]} says nothing here; there is log, for intervals and ranges.")
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        low, high, log = value.start, value.end, "log" in value.tags
        if isinstance(low, int) and isinstance(high, int):
            _check_numbers(key, low, high, log)
            return Steps(key, Decimal(low), Decimal(1), high - low + 1, log)
        return Interval(key, float(low), float(high), log)
    if isinstance(value, RangeSweep):
        return _range(own, value)
    try:
        return Choice(key, tuple(own.sweep_string_iterator()))
    except HydraException as fault:
        raise InputError(f"{own.input_line}: {' '.join(str(fault).split())}") from None


def _range(own: Override, value: RangeSweep) -> Steps:
    """Hydra's range, whose end is not one of its numbers; a falling one is turned round."""
    start, stop, step = (Decimal(str(number)) for number in (value.start, value.stop, value.step))
    if step == 0:
        raise InputError(f"{own.input_line}: the step must not be 0.")
    count = max(0, math.ceil((stop - start) / step))
    low = start if step > 0 else start + step * (count - 1)
    if any(number.as_tuple().exponent for number in (start, stop, step)):  # Hydra gives floats where one of the three is one
        step = step if step.as_tuple().exponent else step.quantize(Decimal("1.0"))
    return Steps(_name(own), low, abs(step), count, "log" in value.tags)
