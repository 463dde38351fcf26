"""Facts about tabular encoders."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmdx.encoders.tabular import MISSING, UNSEEN, FTTransformer, TabularMLP, TabularTransform
from mmdx.errors import InputError, SampleError
from mmdx.testing import check_encoder

ROWS = [
    {"age": 70, "sex": "M", "view": "PA", "flag": 1},
    {"age": None, "sex": "F", "view": "AP", "flag": 1.0},
    {"age": float("nan"), "sex": None, "flag": np.int64(1)},
    {"age": 30.0, "sex": " ", "view": "PA", "empty": None},
]
BOTH = pytest.mark.parametrize("encoder", [TabularMLP, FTTransformer])


def fitted(rows=ROWS, **options):
    transform = TabularTransform(**options)
    transform.fit([transform.prepare(row) for row in rows])
    return transform


def item(transform, row):
    return transform(transform.prepare(row), None)


def stack(transform, rows):
    items = [item(transform, row) for row in rows]
    return {k: torch.stack([one[k] for one in items]) for k in items[0]}


@BOTH
@pytest.mark.parametrize("columns", [None, ("age", "flag"), ("sex", "view")])
def test_the_contract_holds_with_both_kinds_of_column_or_one(encoder, columns):
    rows = [{c: v for c, v in row.items() if columns is None or c in columns} for row in ROWS]
    check_encoder(lambda transform: encoder(transform, width=16), TabularTransform(), rows)


def test_kinds_are_inferred_and_empty_columns_left_out():
    transform = fitted()
    assert list(transform.numeric) == ["age", "flag"]
    assert list(transform.categorical) == ["sex", "view"]


def test_numbers_are_standardised_by_the_training_split_and_missing_ones_are_said():
    transform = fitted()
    assert item(transform, {"age": 70})["numeric"].tolist() == [1.0, 0.0]  # mean 50, sd 20
    assert item(transform, {"age": 90})["numeric"].tolist() == [2.0, 0.0]
    for row in ({}, {"age": None}, {"age": np.nan}, {"age": pd.NA}, {"age": ""}):
        made = item(transform, row)
        assert made["numeric"].tolist() == [0.0, 0.0] and made["missing"].tolist() == [1.0, 1.0]


def test_missing_and_unseen_categories_have_indices_of_their_own():
    transform = fitted()
    index = [int(item(transform, {"sex": sex})["categorical"][0]) for sex in (None, "X", "F", "M")]
    assert index == [MISSING, UNSEEN, 2, 3]


def test_a_column_that_is_constant_in_training_says_nothing_later():
    assert item(fitted(), {"flag": 1e9})["numeric"].tolist() == [0.0, 0.0]


def test_a_number_in_a_categorical_column_is_one_category_however_it_is_written():
    transform = fitted(rows=[{"grade": 1}, {"grade": "2"}])
    assert [int(item(transform, {"grade": grade})["categorical"][0]) for grade in (1, 1.0, "1", 2.0)] == [2, 2, 2, 3]


def test_declared_columns_are_used_and_must_exist():
    transform = fitted(numeric=["age"])
    assert list(transform.numeric) == ["age"] and not transform.categorical
    with pytest.raises(InputError, match="no tabular column agee; there are age"):
        fitted(numeric=["agee"])
    with pytest.raises(InputError, match="sex in both"):
        TabularTransform(numeric=["sex"], categorical=["sex"])
    with pytest.raises(InputError, match="no tabular column to be used has a value"):
        fitted(rows=[{"age": None}])


def test_what_is_no_number_is_named_with_its_column():
    with pytest.raises(SampleError, match="column 'age' is 'old'; expected a number"):
        item(fitted(), {"age": "old"})
    with pytest.raises(SampleError, match="column 'age' is infinite"):
        fitted().prepare({"age": np.inf})
    with pytest.raises(SampleError, match="column 'age' is list"):
        fitted().prepare({"age": [1]})
    with pytest.raises(SampleError, match="expected a dict"):
        fitted().prepare([1, 2])


def test_the_order_of_rows_and_columns_does_not_change_the_state():
    states = [TabularTransform().fit([TabularTransform().prepare(row) for row in rows]) for rows in (ROWS, ROWS[:1] + ROWS[1:])]
    flipped = TabularTransform().fit([TabularTransform().prepare(dict(reversed(row.items()))) for row in ROWS])
    assert states[0] == states[1] == flipped and list(states[0]["numeric"]) == list(flipped["numeric"])


@BOTH
def test_unseen_categories_are_neutral_before_training(encoder):
    transform = fitted()
    torch.manual_seed(0)
    model = encoder(transform, width=16).eval()
    with torch.no_grad():
        tokens = model(stack(transform, [{"age": 50, "sex": None}, {"age": 50, "sex": "X"}])).tokens
    torch.testing.assert_close(tokens[0], tokens[1])


def test_one_token_a_column_after_the_class_token():
    transform = fitted()
    model = FTTransformer(transform, width=16)
    assert model(stack(transform, ROWS)).tokens.shape == (4, 1 + 2 + 2, 16)


def test_the_order_of_columns_is_of_no_account_to_an_ft_transformer():
    transform = fitted(rows=[{"a": 1, "b": 2, "c": 3}, {"a": 3, "b": 1, "c": 7}])
    torch.manual_seed(0)
    model = FTTransformer(transform, width=16).eval()
    items, order = stack(transform, [{"a": 2, "b": 5, "c": None}]), torch.tensor([2, 0, 1])
    with torch.no_grad():
        before = model(items).tokens
        for parameter in (model.columns.weight, model.columns.missing, model.columns.bias):
            parameter.copy_(parameter[order].clone())
        after = model({**items, "numeric": items["numeric"][:, order], "missing": items["missing"][:, order]}).tokens
    torch.testing.assert_close(after[:, 0], before[:, 0])
    torch.testing.assert_close(after[:, 1:], before[:, 1:][:, order])


def test_the_first_layers_attention_is_not_normalised_before_as_in_the_paper():
    model = FTTransformer(fitted(), width=16, layers=2)
    assert isinstance(model.blocks[0].before_attention, torch.nn.Identity)
    assert isinstance(model.blocks[1].before_attention, torch.nn.LayerNorm)
