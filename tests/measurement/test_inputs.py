"""Which rows become pairs, and the kernel of the first layer in closed numbers."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.measurement.inputs import arranged, input_kernel, input_pairs

ROWS = np.arange(12.0).reshape(6, 2)


def refusal(*args) -> str:
    """The one line with which `input_pairs` refuses."""
    with pytest.raises(InputError) as caught:
        input_pairs(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "first", "second"),
    [
        (None, [0, 2, 4], [1, 3, 5]),
        (1, [0], [1]),
        (2, [0, 2], [1, 3]),
        (np.int64(3), [0, 2, 4], [1, 3, 5]),
        ([(5, 0)], [5], [0]),
        (np.array([[0, 1], [0, 2], [3, 3]]), [0, 0, 3], [1, 2, 3]),
    ],
)
def test_rows_that_become_pairs(pairs, first, second):
    found = input_pairs(ROWS, pairs)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([ROWS[first], ROWS[second]]))


def test_without_x_it_is_the_first_training_digits():
    x = mf.data.load("digits").x_train
    np.testing.assert_array_equal(input_pairs(), np.stack([x[0:8:2], x[1:8:2]]))
    np.testing.assert_array_equal(input_pairs(pairs=[(7, 1000)])[:, 0], x[[7, 1000]])


def test_four_pairs_unless_there_are_fewer():
    assert input_pairs(np.ones((40, 3))).shape == (2, 4, 3)
    assert input_pairs(np.ones((5, 3))).shape == (2, 2, 3)  # the fifth row has no partner


@pytest.mark.parametrize("x", [ROWS.tolist(), ROWS.astype(int), jnp.asarray(ROWS), ROWS.reshape(6, 1, 2, 1)])
def test_x_of_other_kinds(x):
    np.testing.assert_array_equal(input_pairs(x), input_pairs(ROWS))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        ([["a", "b"], ["c", "d"]], "x must be an array of numbers"),
        ([[1.0, 2.0], [3.0]], "x must be an array of numbers"),
        (ROWS[0], "x has shape (2,)"),
        (ROWS[:1], "x has shape (1, 2)"),
        (3.0, "x has shape ()"),
        ([[1.0, math.nan], [0.0, 1.0]], "x holds values that are not finite"),
        ([[1.0, math.inf], [0.0, 1.0]], "x holds values that are not finite"),
    ],
    ids=["text", "ragged", "one axis", "one row", "scalar", "nan", "inf"],
)
def test_x_that_is_none(x, says):
    assert refusal(x).startswith(says)


@pytest.mark.parametrize("pairs", [0, -1, 2.5, True, "2"], ids=str)
def test_numbers_of_pairs_that_are_none(pairs):
    assert refusal(ROWS, pairs) == f"pairs={pairs!r} must be an integer >= 1"


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (4, "pairs=4 needs 8 inputs, but x has 6"),
        ([(0, 6)], "rows are 0 to 5"),
        ([(-1, 0)], "rows are 0 to 5"),
        ([], "row numbers of shape (P, 2)"),
        ([0, 1], "row numbers of shape (P, 2)"),
        ([(0, 1, 2)], "row numbers of shape (P, 2)"),
        ([(0.0, 1.0)], "row numbers of shape (P, 2)"),
        ([(False, True)], "row numbers of shape (P, 2)"),
        ([(0, 1), (2,)], "pairs="),
    ],
    ids=str,
)
def test_rows_that_x_does_not_have(pairs, says):
    line = refusal(ROWS, pairs)
    assert line.startswith("pairs=") and says in line


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "x", [np.full((2, 3), 1e39), np.zeros((2, 0)), 1j * ROWS], ids=["overflow", "empty", "complex"]
)
def test_x_that_float32_cannot_hold(x):
    with pytest.raises(InputError, match="^x"):
        input_kernel(mf.Dense(1.0, 0.0), input_pairs(x))


KERNELS = [
    # x, x', sigma_w, sigma_b -> q1, q2, c by hand: K = sigma_w^2 x.x'/d + sigma_b^2
    ([1, 0], [0, 1], 2.0, 1.0, 3.0, 3.0, 1 / 3),
    ([3, 4], [4, 3], 1.0, 0.0, 12.5, 12.5, 24 / 25),
    ([3, 4], [6, 8], 1.0, 0.0, 12.5, 50.0, 1.0),
    ([3, 4], [6, 8], 1.0, 2.0, 16.5, 54.0, 29 / math.sqrt(16.5 * 54)),
    ([1, 1], [-1, -1], 3.0, 0.0, 9.0, 9.0, -1.0),
    ([1, 1], [-1, -1], 0.0, 0.5, 0.25, 0.25, 1.0),
    ([0, 0], [2, 0], 1.0, 1.0, 1.0, 3.0, 1 / math.sqrt(3)),
]


@pytest.mark.parametrize(("x1", "x2", "sigma_w", "sigma_b", "q1", "q2", "c"), KERNELS)
def test_input_kernel(x1, x2, sigma_w, sigma_b, q1, q2, c):
    found = input_kernel(mf.Dense(sigma_w, sigma_b), input_pairs([x1, x2]))
    assert all(part.dtype == np.float64 and part.shape == (1,) for part in found)
    assert (found.q1[0], found.q2[0], found.c[0]) == pytest.approx((q1, q2, c), rel=1e-15)
    assert abs(found.c[0]) <= 1


def test_correlation_stays_within_its_range():
    x = np.random.default_rng(0).normal(size=(200, 3))
    twice = np.concatenate([x, 3 * x])  # parallel rows: rounding alone would exceed 1
    found = input_kernel(mf.Dense(1.3, 0.0), input_pairs(twice, [(i, 200 + i) for i in range(200)]))
    assert found.c.max() == 1.0 and found.c.min() == pytest.approx(
        1.0, abs=1e-7
    )  # float32 inputs are not quite parallel


def test_an_input_without_length_is_refused_where_nothing_else_gives_one():
    for sigma_w, x in ((1.0, [[0, 0], [1, 0]]), (0.0, [[1, 1], [1, 0]])):
        with pytest.raises(InputError, match="^x: an input has length 0") as caught:
            input_kernel(mf.Dense(sigma_w, 0.0), input_pairs(x))
        assert "\n" not in str(caught.value)


def test_inputs_with_positions():
    x = np.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    placed = arranged(input_pairs(x), (3, 2), (3,))
    np.testing.assert_array_equal(placed, np.stack([x[::2], x[1::2]]))
    constant = arranged(input_pairs(x), (6,), (5,))
    assert constant.shape == (2, 2, 5, 6)
    np.testing.assert_array_equal(constant[:, :, 0], constant[:, :, 4])
    assert arranged(input_pairs(x), (3, 2), ()).shape == (2, 2, 6)
