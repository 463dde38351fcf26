"""What a probe reads keeps missing values, rare values and order apart."""

import numpy as np
import pandas as pd

from mmdx.audit.encode import BINS, FEWEST, encode_table, encode_texts


def test_a_category_has_an_indicator_where_enough_rows_have_it():
    cells = ["a"] * 8 + [None] * 6 + ["rare"] * (FEWEST - 1)
    assert encode_table(pd.DataFrame({"c": cells})).toarray().sum(axis=0).tolist() == [8, 6]


def test_a_number_has_a_rank_and_quantiles_and_missing_is_a_value():
    values = np.r_[np.arange(200.0), [np.nan] * 10]
    encoded = encode_table(pd.DataFrame({"x": values})).toarray()
    assert encoded.shape[1] == 1 + BINS + 1 and (np.diff(encoded[:200, 0]) > 0).all() and np.abs(encoded[:, 0]).max() < 1
    assert (encoded[200:, 0] == 0).all() and (encoded[:, 1:].sum(axis=1) == 1).all()


def test_infinite_and_constant_columns_are_no_error():
    assert encode_table(pd.DataFrame({"x": [np.inf, 1.0, 2.0] * 5, "y": [3.0] * 15, "z": [np.nan] * 15})).shape[0] == 15


def test_single_letters_are_words():
    """So that a pair of words that is shown stands in the text as it is shown, and can be masked."""
    assert "x ray" in encode_texts(["chest x-ray", "an X ray"])[1]
