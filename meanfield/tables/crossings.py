"""Where V(q) = q for every (sigma_w, sigma_b) of a grid at once: crossings of H(q) = q - sigma_w^2 M(q) and sigma_b^2.

M = E[phi^2] is one function for the whole grid. For each sigma_w, H on the scan grid shows between which of its points
each sigma_b^2 is crossed: one sorted search finds every fixed point of the whole grid.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from .moment_table import Table

# Closer to a crossing than this, relative to q, the scan does not trust the table.
DOUBT = 1e-10


class Crossings(NamedTuple):
    """Bracketed fixed points, ascending in q within each point of the diagram; arrays (k,).

    point : index into the flattened [sigma_b, sigma_w]; step : the interval of the scan grid; place : a first guess
    in [-1, 1] of the position in it; rising : whether H rises there; doubtful : (points,)
    """

    point: np.ndarray
    step: np.ndarray
    place: np.ndarray
    rising: np.ndarray
    doubtful: np.ndarray


def crossings(table: Table, w_var: np.ndarray, b_var: np.ndarray) -> Crossings:
    """Every crossing on the grid of sigma_w^2 (n,) and sigma_b^2 (m,)."""
    q = table.moments.grid
    # Without weights V is sigma_b^2 even if the moments are infinite.
    needed = q - w_var[:, None] * np.where(w_var[:, None] > 0, table.scan, 0.0)
    order = np.argsort(b_var)
    ranked = b_var[order]
    lower, upper = _ranks(ranked, needed - DOUBT * q, "left"), _ranks(ranked, needed + DOUBT * q, "right")
    doubtful = np.zeros((b_var.size, w_var.size), bool)
    _, column, row = _spread(lower, upper)
    doubtful[order[row], column] = True
    step, column, row = _spread(np.minimum(upper[:, 1:], upper[:, :-1]), np.maximum(upper[:, 1:], upper[:, :-1]))
    first = needed[column, step]
    rise = needed[column, step + 1] - first
    # A rise of 0 is due to rounding, and already marked doubtful.
    share = (ranked[row] - first) / np.where(rise == 0, 1.0, rise)
    point = order[row] * w_var.size + column
    # Steps of one point are already ascending.
    ascending = stable_order(point, doubtful.size)
    place = np.clip(2 * share - 1, -1.0, 1.0)
    point, step, place, rises = (a[ascending] for a in (point, step, place, rise > 0))
    return Crossings(point, step, place, rises, doubtful.ravel())


def _ranks(ranked: np.ndarray, values: np.ndarray, side: Literal["left", "right"]) -> np.ndarray:
    """np.searchsorted, for values that mostly lie outside."""
    inside = (values >= ranked[0]) & (values <= ranked[-1])
    found = np.where(values > ranked[-1], ranked.size, 0)
    found[inside] = np.searchsorted(ranked, values[inside], side)
    return found


def stable_order(numbers: np.ndarray, below: int) -> np.ndarray:
    """A stable argsort of integers in [0, bound); NumPy's is ten times faster for short integers."""
    return np.argsort(numbers.astype(np.uint16) if below <= 2**16 else numbers, kind="stable")


def _spread(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(step, column, row) of every row in [first, last) of arrays (columns, steps)."""
    column, step = np.nonzero(last > first)
    low = first[column, step]
    count = last[column, step] - low
    start = np.cumsum(count) - count
    row = np.arange(count.sum()) + np.repeat(low - start, count)
    return np.repeat(step, count), np.repeat(column, count), row
