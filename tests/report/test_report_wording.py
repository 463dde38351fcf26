"""Numbers in words: signs, digits that never hide what an interval excludes, units and what figures rest on."""

import pytest

from mmdx.report.wording import (
    beyond,
    broken,
    count,
    digits_of,
    in_sentence,
    joined,
    number,
    p_value,
    percent,
    plain,
    rests_on,
    subset,
    title,
    value,
    with_article,
    without_folders,
)

ENTRY = {"value": 0.87, "low": 0.82, "high": 0.91, "n": 412, "unit": "patient", "n_units": 398, "method": "bca"}


def between(low, value, high):
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("given", "told"),
    [((-0.004, 2), "0.00"), ((-0.05, 2), "−0.05"), ((0.05, 2, True), "+0.05"), ((0.0, 2, True), "0.00"), ((-0.001, 2, True), "0.00")],
)
def test_minus_is_a_minus_and_zero_has_no_sign(given, told):
    assert number(*given) == told


def test_value_names_interval_and_unit():
    assert value(ENTRY, rests_on=True) == "0.87 (95 % interval 0.82 to 0.91; 398 patients)"
    assert value({"value": 0.5, "low": None, "high": None}) == "0.50 (no interval)"
    assert value({"value": None, "reason": "only one class among the 9 rows"}) == "not defined (only one class among the 9 rows)"


def test_an_interval_without_width_is_none():
    same = between(1.0, 1.0, 1.0) | {"reason": "all units or resamples gave the same value, so the interval says nothing"}
    assert beyond(same, 0.5) == 0
    assert value(same) == "1.00 (no interval: all resamples agree)"
    assert percent(same) == "100 % (no interval: all resamples agree)"
    assert value({"value": 0.5, "low": None, "high": None, "reason": "no interval from one patient"}) == "0.50 (no interval from one patient)"
    undefined = {"value": 0.5, "low": None, "high": None, "reason": "no interval: undefined in 30 of 50 resamples"}
    assert value(undefined) == "0.50 (no interval: undefined in 30 of 50 resamples)"
    assert value(between(0.9, 1.0, 1.0) | {"reason": "nothing varies"}) == "1.00 (95 % interval 0.90 to 1.00, though nothing varies)"


def test_digits_fit_the_width_of_the_interval():
    assert value(between(0.0005, 0.0012, 0.003)) == "0.001 (95 % interval 0.001 to 0.003)"
    assert digits_of(between(0.82, 0.87, 0.91), None) == 2
    assert digits_of({"value": 0.0012, "low": None, "high": None}, None) == 3
    assert percent(between(0.001, 0.004, 0.009)) == "0.4 % (95 % interval 0.1 to 0.9)"


def test_folders_are_left_out_of_paths():
    assert without_folders("/home/a/data/x.png, row 4: cannot be read") == "x.png, row 4: cannot be read"
    assert without_folders("of ~/data/x.png and C:\\Users\\a\\y.png") == "of x.png and y.png"
    assert without_folders("images/x.png is 3/4 of and/or") == "images/x.png is 3/4 of and/or"


def test_long_words_may_be_broken_and_nothing_else():
    assert broken(["a b"]) == [["a b"]]
    (cut,) = broken(["x " + "A" * 1000 + " y"])
    assert "".join(cut) == "x " + "A" * 1000 + " y"
    assert [len(part) for part in cut] == [202, 200, 200, 200, 202]
    marked = broken(["A" * 150] * 4)
    assert ["".join(part) for part in marked] == ["A" * 150] * 4
    assert [len(part) - 1 for part in marked] == [0, 1, 1, 0]
    accents = broken(["e\u0301" * 300])[0]
    assert all(not part.startswith("\u0301") for part in accents) and max(map(len, accents)) <= 202
    assert sum(map(len, broken(["\u0301" * 3000])[0])) == 3000 and len(broken(["\u0301" * 3000])[0]) > 5


def test_an_interval_that_excludes_zero_does_not_look_as_if_it_touched_it():
    own = between(0.003, 0.021, 0.036)
    assert digits_of(own, 0.0) == 3
    assert value(own, 0.0, signed=True) == "+0.021 (95 % interval +0.003 to +0.036)"
    assert digits_of(between(-0.02, 0.02, 0.06), 0.0) == 2
    assert digits_of(between(0.5, 0.8, 0.996), 1.0) == 3


def test_sides_of_a_reference():
    assert [beyond(between(*e)) for e in ((0.1, 0.2, 0.3), (-0.1, 0.2, 0.3), (-0.3, -0.2, -0.1))] == [1, 0, -1]
    assert beyond({"value": 0.2, "low": None, "high": None}) == 0
    assert beyond(None) == 0


def test_words():
    assert subset("audio+image+text") == "audio, image and text"
    assert joined([]) == ""
    assert count(1, "patient or sample") == "1 patient or sample"
    assert count(1234, "patient or sample") == "1,234 patients or samples"
    assert [in_sentence(m) for m in ("auroc", "brier", "balanced_accuracy", "c_index", "ppv")] == [
        "AUROC", "Brier score", "balanced accuracy", "C-index", "PPV",
    ]  # fmt: skip
    assert [with_article(m) for m in ("auroc", "r2", "ppv", "accuracy", "brier", "qwk", "c_index")] == [
        "an AUROC", "an R²", "a PPV", "an accuracy", "a Brier score", "a quadratic weighted kappa", "a C-index",
    ]  # fmt: skip
    assert title("something_new") == "Something new"
    assert percent(between(0.7, 0.805, 0.9)) == "80 % (95 % interval 70 to 90)"
    assert [p_value(p) for p in (0.0001, 0.034, 0.4)] == ["p < 0.001", "p = 0.034", "p = 0.40"]


def test_what_a_figure_rests_on():
    assert rests_on([ENTRY, ENTRY | {"method": "percentile"}]) == (
        "n = 412 rows of 398 patients; 95 % intervals (BCa bootstrap, percentile bootstrap), unit: patient"
    )
    assert rests_on([ENTRY | {"method": None, "unit": "sample", "n_units": 412}]) == "n = 412 rows; no intervals"
    assert rests_on([{"value": None}]) == ""


def test_labels_of_figures_hold_no_control_or_direction_characters():
    assert plain("a\u202eb\x00c\u200fd\n$x_1$") == "abcd $x_1$"
    assert plain("\u202e\u2066") == "(no name)"
    assert len(plain("w" * 100)) == 44
