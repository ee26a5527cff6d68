"""Ranges (lo, hi, n) and lists of values."""

from __future__ import annotations

import numpy as np
import pytest

from meanfield.errors import InputError
from meanfield.interface.ranges import sigma_values, values_of, whole_values


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((0.0, 1.0, 0), "the number of points must be at least 1"),
        ((0.0, 1.0, True), "with an integer n"),
        ((1, 2, 2.5), r"for three values give a list, \[1, 2, 2.5\]"),
        ((1, 2, 3), r"can be three values or a range; for three values give a list, \[1, 2, 3\]"),
        ((0.0, 1.0, 10**9), "at most 100000"),
        (np.zeros(100_001), "at most 100000"),
        (b"12", "must be a number"),
        ([1j, 2.0], "must be a number"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), "must be a number"),
        ((1.0, 0.0, 3), r"give \(lo, hi, n\) with finite lo <= hi"),
        ((0.0, np.inf, 3), r"give \(lo, hi, n\) with finite lo <= hi"),
        (("0", 1.0, 3), r"give \(lo, hi, n\) with finite lo <= hi"),
        ("tanh", r"must be a number; give \(lo, hi, n\)"),
        ([], "one-dimensional array of finite numbers"),
        ([1.0, np.nan], "one-dimensional array of finite numbers"),
        ([[1.0]], "one-dimensional array of finite numbers"),
    ],
)
def test_bad_ranges(given, says):
    with pytest.raises(InputError, match=f"^x=.*{says}"):
        values_of("x", given)


def test_a_list_of_three_is_values():
    assert values_of("x", [1, 2, 3]).tolist() == [1.0, 2.0, 3.0]
    assert values_of("x", (1, 2, 5)).tolist() == [1.0, 1.25, 1.5, 1.75, 2.0]
    assert values_of("x", sigma_values("x", [1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]
    assert values_of("x", 4.0).tolist() == [4.0]


def test_geometric_ranges_start_above_zero():
    assert values_of("q", (0.01, 1.0, 3), geometric=True).tolist() == pytest.approx([0.01, 0.1, 1.0], rel=1e-15)
    with pytest.raises(InputError, match="starts above 0"):
        values_of("q", (0, 1.0, 3), geometric=True)


def test_standard_deviations_read_as_a_person_writes_them():
    assert sigma_values("sigma_w", (1.0, 2.0, 11))[7] == 1.7
    assert sigma_values("sigma_w", [1.7000000000000002]) == (1.7000000000000002,)
    with pytest.raises(InputError, match="sigma_w=-1.0 must be finite"):
        sigma_values("sigma_w", [-1.0, 1.0])


def test_whole_values():
    assert whole_values("depths", 8) == (8,)
    assert whole_values("depths", np.array([8, 4])) == (4, 8)
    for given, says in (("8", "must be integers"), (None, "must be integers"), ((), "is empty"), ((0,), ">= 1")):
        with pytest.raises(InputError, match=f"^depths=.*{says}"):
            whole_values("depths", given)
