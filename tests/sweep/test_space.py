"""A space written as overrides and in YAML is the same space; ends, steps and logarithms are what they say."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mmdx.errors import InputError
from mmdx.sweep.samplers import distribution
from mmdx.sweep.space import Choice, Interval, Steps, read_space


def parameter(override):
    (found,) = read_space({}, [override]).parameters.values()
    return found


@pytest.mark.parametrize(("override", "expected"), [
    ("a=choice(1,2.5,x)", CategoricalDistribution(("1", "2.5", "x"))),
    ("a=1,2", CategoricalDistribution(("1", "2"))),
    ("a=true,false", CategoricalDistribution(("True", "False"))),
    ("a=[1,2],[3]", CategoricalDistribution(("[1,2]", "[3]"))),
    ("a=interval(0,1)", FloatDistribution(0.0, 1.0)),
    ("a=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
    ("a=int(interval(1,8))", IntDistribution(1, 8)),
    ("a=tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
    ("a=range(0,5)", IntDistribution(0, 4)),
    ("a=range(5)", IntDistribution(0, 4)),
    ("a=range(1,10,3)", IntDistribution(1, 7, step=3)),
    ("a=range(1,11,3)", IntDistribution(1, 10, step=3)),
    ("a=range(10,0,-3)", IntDistribution(1, 10, step=3)),
    ("a=range(0,1,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
    ("a=tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
    ("a=range(3,4)", IntDistribution(3, 3)),
])  # fmt: skip
def test_an_override_becomes_optunas_distribution(override, expected):
    assert distribution(parameter(override)) == expected


RANGES = ["a=range(0,1,0.1)", "a=range(1,2,0.3)", "a=range(1e-4,5e-4,1e-4)", "a=range(1,9,2)", "a=range(2,-2,-0.5)", "a=range(1.0,4)"]


@pytest.mark.parametrize("override", RANGES)
def test_a_range_holds_hydras_own_numbers(override):
    hydras = list(OverridesParser.create().parse_overrides([override])[0].sweep_iterator())
    assert sorted(hydras) == pytest.approx(sorted(float(text) for text in parameter(override).options), rel=1e-12)
    assert all(isinstance(h, int) == ("." not in text and "E" not in text) for h, text in zip(hydras, parameter(override).options, strict=True))


@pytest.mark.parametrize("override", [*RANGES, "a=1,x", "a=interval(0,1)", "a=tag(log,interval(1e-4,1e-2))", "a=tag(log,int(interval(1,64)))"])
def test_a_parameter_is_written_as_an_override_that_is_the_same_parameter(override):
    assert parameter(f"a={parameter(override)}") == parameter(override)


def test_a_sum_of_steps_is_written_without_its_rounding():
    assert parameter("a=range(0,1,0.1)").text(0.1 * 3) == "0.3"


@pytest.mark.parametrize("number", [1e-05, 0.1 + 0.2, 1 / 3, 12345.678])
def test_a_number_is_read_back_as_it_was_drawn(number):
    text = Interval("a", 0.0, 1e6).text(number)
    assert OverridesParser.create().parse_overrides([f"a={text}"])[0].value() == number


@pytest.mark.parametrize(("params", "overrides"), [
    ({"a": "tag(log,interval(1e-4,1e-2))"}, ["a=tag(log,interval(1e-4,1e-2))"]),
    ({"a": {"low": 1e-4, "high": 1e-2, "log": True}}, ["a=tag(log,interval(1e-4,1e-2))"]),
    ({"a": {"low": 1, "high": 8}}, ["a=int(interval(1,8))"]),
    ({"a": {"low": 1, "high": 64, "log": True}}, ["a=tag(log,int(interval(1,64)))"]),
    ({"a": {"low": 1, "high": 9, "step": 2}}, ["a=range(1,10,2)"]),
    ({"a": {"low": 0, "high": 0.5, "step": 0.25}}, ["a=range(0,0.75,0.25)"]),
    ({"a": [1, "x", True]}, ["a=1,x,true"]),
    ({"a": {"choices": [0.1, 0.2]}}, ["a=choice(0.1,0.2)"]),
    ({"a": "choice(0.1,0.2)", "b": 3, "c": None}, ["a=choice(0.1,0.2)", "b=3", "c=null"]),
])  # fmt: skip
def test_a_space_in_yaml_is_the_space_of_overrides(params, overrides):
    assert read_space(params, []) == read_space({}, overrides)


def test_the_command_line_goes_before_yaml():
    space = read_space({"a": "choice(1,2)", "b": "choice(1,2)"}, ["a=7", "+b=choice(3,4)"])
    assert space.fixed == ("a=7",) and space.parameters == {"+b": Choice("+b", ("3", "4"))}


@pytest.mark.parametrize(("override", "says"), [
    ("a=interval(2,1)", "a: from 2.0 to 1.0 there is no value"),
    ("a=interval(1,1)", "there is no value"),
    ("a=int(interval(4,2))", "there is no value"),
    ("a=range(5,5)", "the range holds no value"),
    ("a=range(1,5,-1)", "the range holds no value"),
    ("a=range(1,5,0)", "the step must not be 0"),
    ("a=tag(log,interval(0,1))", "must begin above 0"),
    ("a=tag(log,range(0,8))", "must begin above 0"),
    ("a=tag(log,range(1,9,2))", "no step but 1"),
    ("a=tag(size,interval(0,1))", "the tag size says nothing here"),
    ("a=tag(log,choice(1,2))", "the tag log says nothing here"),
    ("a=choice()", "cannot be read"),
    ("a=choice(1,1)", "1 is given twice"),
    ("a=3", "nothing to vary"),
])  # fmt: skip
def test_a_space_without_values_gets_one_sentence(override, says):
    with pytest.raises(InputError, match=says.replace("(", r"\(")) as fault:
        read_space({}, [override])
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(("value", "says"), [
    ({"low": 1}, "must be text such as"), ({"low": 1, "high": 2, "steps": 1}, "must be text such as"), ({"choices": []}, "no value to choose from"),
    ({"low": "a", "high": 2}, "must be numbers"), ({"low": 3, "high": 2}, "there is no value"), ({"low": 1, "high": 9, "step": 0}, "above 0"),
])  # fmt: skip
def test_a_wrong_mapping_gets_one_sentence(value, says):
    with pytest.raises(InputError, match=says):
        read_space({"a": value}, [])


def test_steps_and_intervals_say_where_they_end():
    assert parameter("a=range(1,11,3)").high == 10 and isinstance(parameter("a=range(1,11,3)"), Steps)
