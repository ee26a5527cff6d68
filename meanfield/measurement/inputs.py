"""Pairs of inputs, and their kernel after the first layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..blocks.block import Dense
from ..data import load
from ..errors import InputError
from ..interface.arguments import whole

__all__ = ["InputKernel", "arranged", "input_kernel", "input_pairs"]

PAIRS = 4


def input_pairs(x: Any = None, pairs: Any = None) -> np.ndarray:
    """Inputs as pairs: an array (2, P, d) float32.

    x (n, d), or (n, ...) and flattened; None takes the digits' training images. pairs: how many, of consecutive rows
    (0, 1), (2, 3), ...; or row numbers (P, 2); None takes 4 pairs, or as many as x has. InputError if x is not numeric,
    not finite or has fewer than two rows, or lacks the given rows.

    >>> input_pairs().shape, input_pairs([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], pairs=[(0, 2)]).shape
    ((2, 4, 64), (2, 1, 2))
    """
    x = load("digits").x_train if x is None else _numeric(x)
    first, second = _row_numbers(pairs, len(x)).T
    return np.stack([x[first], x[second]])


def _row_numbers(pairs: Any, inputs: int) -> np.ndarray:
    """The rows (P, 2) of each pair."""
    try:
        rows: np.ndarray = np.asarray(min(PAIRS, inputs // 2) if pairs is None else pairs)
    except ValueError:  # rows of several lengths
        rows = np.zeros(1, object)
    if rows.ndim == 0:
        count = whole("pairs", rows[()] if pairs is None else pairs)
        if count > inputs // 2:
            raise InputError(
                f"pairs={count} needs {2 * count} inputs, but x has {inputs}; give more rows or fewer pairs"
            )
        return np.arange(2 * count).reshape(count, 2)
    if rows.ndim != 2 or rows.shape[1] != 2 or rows.dtype.kind not in "iu" or len(rows) == 0:
        raise InputError(f"pairs={pairs!r} must be a number of pairs or row numbers of shape (P, 2)")
    if rows.min() < 0 or rows.max() >= inputs:
        raise InputError(f"pairs={pairs!r} names rows that x does not have; rows are 0 to {inputs - 1}")
    return rows


def _numeric(x: Any) -> np.ndarray:
    try:
        x = np.asarray(x)
        if x.dtype.kind == "c":
            raise TypeError("complex")
        with np.errstate(over="ignore"):  # float32 overflow becomes inf, and is reported below
            x = x.astype(np.float32)
    except (TypeError, ValueError):
        raise InputError("x must be an array of numbers, one input per row") from None
    if x.ndim < 2 or len(x) < 2:
        raise InputError(f"x has shape {x.shape}; give at least two inputs, one per row: (n, d)")
    x = x.reshape(len(x), -1)
    if x.shape[1] == 0:
        raise InputError(f"x has shape {x.shape}, with empty inputs; give at least one number per input")
    if not np.isfinite(x).all():
        raise InputError("x holds values that are not finite; remove those inputs")
    return x


def arranged(inputs: np.ndarray, shape: tuple[int, ...], positions: tuple[int, ...]) -> np.ndarray:
    """Inputs (2, P, d) in the layout of a network with positions, (2, P, *positions, channels).

    shape: of one input as given, if it has positions; else the input is repeated at every position.

    >>> arranged(np.ones((2, 1, 6)), (6,), (5,)).shape, arranged(np.ones((2, 1, 6)), (3, 2), (5,)).shape
    ((2, 1, 5, 6), (2, 1, 3, 2))
    """
    if len(shape) == len(positions) + 1:
        return inputs.reshape(*inputs.shape[:2], *shape)
    each = inputs.reshape(*inputs.shape[:2], *(1,) * len(positions), -1)
    return np.broadcast_to(each, (*each.shape[:2], *positions, each.shape[-1]))


class InputKernel(NamedTuple):
    """Moments of the first pre-activations of P pairs: variances q1, q2 (P,) and correlation c (P,)."""

    q1: np.ndarray
    q2: np.ndarray
    c: np.ndarray


def input_kernel(dense: Dense, inputs: np.ndarray) -> InputKernel:
    """K^0 = sigma_w^2 x.x'/d + sigma_b^2 of each pair, in float64; inputs (2, P, d).

    InputError if a length is 0, since the theory is undefined there.

    >>> input_kernel(Dense(1.0, 0.0), np.ones((2, 3, 4))).c.tolist()
    [1.0, 1.0, 1.0]
    """
    x1, x2 = inputs.astype(np.float64)
    d = x1.shape[1]
    w_var, b_var = float(dense.sigma_w) ** 2, float(dense.sigma_b) ** 2
    q1, q2, q12 = (w_var * (a * b).sum(1) / d + b_var for a, b in ((x1, x1), (x2, x2), (x1, x2)))
    if not ((q1 > 0) & (q2 > 0)).all():
        raise InputError("x: an input has length 0 in the first layer; give sigma_b > 0 or remove that input")
    return InputKernel(q1, q2, np.clip(q12 / q1 * np.sqrt(q1 / q2), -1.0, 1.0))
