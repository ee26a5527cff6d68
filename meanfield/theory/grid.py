"""Many (sigma_w, sigma_b) at once, from one activation's table: the fast path of phase diagrams.

V(q) = sigma_w^2 M(q) + sigma_b^2 with one M for all points, so that q* solves H(q) = q - sigma_w^2 M(q) = sigma_b^2.
For each sigma_w, H on the scan grid tells between which of its points each sigma_b^2 is crossed: every fixed point of
every point of the diagram, from one sorted search. Newton's method on the table ends it. Where rounding or the table
could hide or feign a crossing, or several meet an M that falls, points are told apart and left to the general solver.
Pairs follow piece by piece of the pair table: points of one piece side by side, one matrix product and one polynomial
give c*.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..sharding import over_devices
from .fixed_point import Variances
from .panels import NODES, polynomials
from .precision import local_devices
from .roots import MOST_ROOTS
from .table import MomentTable, Table

ROWS = 8192
"""Points per compiled chunk: a megabyte or two of work."""
BLOCK, BLOCKS = 128, 64
"""Pairs of one piece of the table side by side, and such blocks in a compiled chunk."""
_NEWTON = 3
# Closer to a crossing than this, relative to q, the scan does not trust the table.
_DOUBT = 1e-10


class Pending(NamedTuple):
    """Results on their way, in pieces of one size, of which the first `count` rows are wanted."""

    pieces: list
    count: int


def in_chunks(compute: Callable, size: int, *columns: np.ndarray) -> Pending:
    """compute(*columns) in pieces of one size, so that one program serves every grid; not waited for.

    Where the size is a multiple of the number of devices, the rows of a piece are spread over them.
    """
    count = len(columns[0])
    devices = local_devices()
    spread = over_devices(devices) if size % len(devices) == 0 else None
    pieces = []
    for start in range(0, max(count, 1), size):
        piece = [_filled(c[start : start + size], size) for c in columns]
        pieces.append(compute(*(piece if spread is None else jax.device_put(piece, spread))))
    return Pending(pieces, count)


def _filled(column: np.ndarray, size: int) -> np.ndarray:
    rest = [(0, size - len(column))] + [(0, 0)] * (column.ndim - 1)
    return np.pad(column, rest, mode="edge" if len(column) else "constant") if rest[0][1] else column


def fetch(pending: Pending) -> Any:
    """What `in_chunks` computes, as writable NumPy arrays."""
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: pending.count], *pending.pieces)


class _Crossings(NamedTuple):
    """Fixed points before they are found, ascending in q within each point of the diagram; arrays (k,).

    point : index into the flattened [sigma_b, sigma_w]; step : the interval of the scan grid; start : a first guess
    doubtful : (points,)
    """

    point: np.ndarray
    step: np.ndarray
    start: np.ndarray
    doubtful: np.ndarray


def variances(table: Table, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> tuple[Variances, np.ndarray]:
    """The variance half at every point of the grid, flattened [sigma_b, sigma_w], and which need the general solver."""
    shape = sigma_b.size, sigma_w.size
    w_var, b_var = (np.broadcast_to(a, shape).ravel() for a in (sigma_w**2, sigma_b[:, None] ** 2))
    cross = _crossings(table, sigma_w**2, sigma_b**2)
    solve = partial(_solve, table.moments)
    at = fetch(in_chunks(solve, ROWS, w_var[cross.point], b_var[cross.point], cross.step, cross.start))
    excess = w_var * float(_second_at(table.moments, q0)) + b_var - q0
    up = excess > 0
    # Where a rising V takes the iteration: the smallest fixed point above q0 if V(q0) > q0, else the largest below.
    reached = np.full(w_var.size, -1)
    entries = np.arange(cross.point.size)
    rising = up[cross.point]
    above, below = rising & (at.q > q0), ~rising & (at.q < q0)
    reached[cross.point[above][::-1]] = entries[above][::-1]
    reached[cross.point[below]] = entries[below]
    found = reached >= 0
    rests = ~found & ~up & (b_var == 0) & (table.moments.at_zero == 0)
    hard = cross.doubtful | (~found & ~up & ~rests) | (np.abs(excess) <= _DOUBT * q0)
    hard[cross.point[~at.settled]] = True
    if not table.rising:
        # d ln M / d ln q >= -1/2 for any activation, so that an only fixed point is reached from everywhere; a V that
        # falls may jump over one of several.
        hard |= np.bincount(cross.point, minlength=w_var.size) != 1
    return _points(table, cross, at, reached, rests, w_var), hard


def _crossings(table: Table, w_var: np.ndarray, b_var: np.ndarray) -> _Crossings:
    q = table.moments.grid
    needed = q - w_var[:, None] * table.scan
    order = np.argsort(b_var)
    ranked = b_var[order]
    lower, upper = (np.searchsorted(ranked, needed + s * _DOUBT * q, side) for s, side in ((-1, "left"), (1, "right")))
    doubtful = np.zeros((b_var.size, w_var.size), bool)
    _, column, row = _spread(lower, upper)
    doubtful[order[row], column] = True
    step, column, row = _spread(np.minimum(upper[:, 1:], upper[:, :-1]), np.maximum(upper[:, 1:], upper[:, :-1]))
    ends = needed[column, step], needed[column, step + 1]
    share = np.clip((ranked[row] - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)
    point = order[row] * w_var.size + column
    ascending = np.argsort(point * q.size + step)
    start = q[step] + share * (q[step + 1] - q[step])
    return _Crossings(point[ascending], step[ascending], start[ascending], doubtful.ravel())


def _spread(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(step, column, row) of every row in [first, last) of arrays (columns, steps)."""
    column, step = np.nonzero(last > first)
    low = first[column, step]
    count = last[column, step] - low
    start = np.cumsum(count) - count
    row = np.arange(count.sum()) + np.repeat(low - start, count)
    return np.repeat(step, count), np.repeat(column, count), row


class _At(NamedTuple):
    q: Array
    chi_1: Array
    chi_q: Array
    q_error: Array
    side: Array  # of chi_1 against 1, as the phase's code
    settled: Array


@jax.jit
def _second_at(table: MomentTable, q: Array) -> Array:
    return table.moments(None, q).second


@jax.jit
def _solve(table: MomentTable, w_var: Array, b_var: Array, step: Array, start: Array) -> _At:
    """Newton's method from inside each interval, kept there; and what is to be known at its end."""
    grid = jnp.asarray(table.grid)
    lo, hi = grid[step], grid[step + 1]

    def second_and_growth(q: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda q: table.second_moment(q, step), (q,), (jnp.ones_like(q),))

    q = start
    for _ in range(_NEWTON):
        second, growth = second_and_growth(q)
        fall = 1 - w_var * growth
        move = (w_var * second + b_var - q) / jnp.where(fall == 0, 1.0, fall)
        q = jnp.clip(q + move, lo, hi)
    slope, slope_growth = jax.jvp(lambda q: table.slope_moment(q, step), (q,), (jnp.ones_like(q),))
    second, growth = second_and_growth(q)
    eps = jnp.finfo(q.dtype).eps
    chi_1, chi_q = w_var * slope, w_var * growth
    error = w_var * jnp.asarray(table.error)[step] * second + 4 * eps * (w_var * second + b_var)
    q_error = error / jnp.maximum(jnp.abs(1 - chi_q), eps)
    chi_error = 8 * eps * (1 + chi_1) + jnp.abs(w_var * slope_growth) * q_error
    side = jnp.where(jnp.abs(chi_1 - 1) <= chi_error, 1, jnp.where(chi_1 < 1, 0, 2)).astype(jnp.int8)
    # A last move by a relative d leaves an error of d^2.
    return _At(q, chi_1, chi_q, q_error, side, jnp.abs(move) <= 1e-7 * q)


def _points(
    table: Table, cross: _Crossings, at: _At, reached: np.ndarray, rests: np.ndarray, w_var: np.ndarray
) -> Variances:
    """From fixed points to points of the diagram."""
    found = reached >= 0
    # One entry past the end stands for a point with nothing to pick.
    entry = np.where(found, reached, at.q.size)

    def pick(values: np.ndarray, otherwise: Any) -> np.ndarray:
        return np.where(found, np.append(values, values.dtype.type(0))[entry], otherwise)

    first = np.searchsorted(cross.point, cross.point)
    rank = np.arange(cross.point.size) - first
    kept = rank < MOST_ROOTS
    every = np.full((2, w_var.size, MOST_ROOTS), np.nan)
    for values, of in zip(every, (at.q, at.chi_q), strict=True):
        values[cross.point[kept], rank[kept]] = of[kept]
    at_zero = w_var * table.slope_at_zero
    side = np.where(np.abs(at_zero - 1) <= 1e-15, 1, np.where(at_zero < 1, 0, 2))
    phase = pick(at.side, np.where(rests, side, 3)).astype(np.int8)
    status = np.where(found, 0, np.where(rests, 1, 3)).astype(np.int8)
    return Variances(
        q_star=pick(at.q, np.where(rests, 0.0, np.inf)),
        q=pick(at.q, np.where(rests, 0.0, 1.0)),
        status=status,
        phase=phase,
        chaotic=found & (phase == 2),
        chi_1=pick(at.chi_1, np.where(rests, at_zero, np.nan)),
        chi_q=pick(at.chi_q, np.where(rests, at_zero, np.nan)),
        q_error=pick(at.q_error, 0.0),
        all_q=every[0],
        all_chi_q=every[1],
    )


def pairs(
    table: Table, w_var: np.ndarray, b_var: np.ndarray, q: np.ndarray, chi_1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """1 - c* and chi_c of chaotic points (n,); NaN where the table has no panel."""
    e, chi_c = np.full((2, q.size), np.nan)
    above = chi_1 - 1
    c_zero = fetch(in_chunks(partial(_correlation_at_zero, table.moments), ROWS, w_var, b_var, q))
    r = np.sqrt(above / (above + c_zero))
    number = table.panel_of(q)
    wanted = np.unique(number).tolist()
    table.prepare(wanted)
    panels = {n: panel for n in wanted if (panel := table.pairs(n)) is not None}
    if not panels:
        return e, chi_c
    piece, place, power = np.full(q.size, -1), np.zeros(q.size), np.ones(q.size)
    pieces = 0
    for n, panel in panels.items():
        (here,) = np.nonzero(number == n)
        within = np.searchsorted(panel.edges[1:-1], r[here], side="right")
        lo, hi = panel.edges[within], panel.edges[within + 1]
        piece[here], place[here], power[here] = pieces + within, 2 * (r[here] - lo) / (hi - lo) - 1, panel.power
        pieces += len(panel.coefficients)
    known = np.nonzero(piece >= 0)[0]
    slots, of = _blocks(piece[known], pieces)
    slots = known[slots]
    coefficients = np.concatenate([panel.coefficients for panel in panels.values()])[of]
    columns = (a[slots] for a in (table.place(q, number), place, r, power, above, c_zero))
    solved = fetch(in_chunks(_pairs, BLOCKS, coefficients, *columns))
    e[slots], chi_c[slots] = solved
    return e, chi_c


def _blocks(piece: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Points piece by piece in blocks, the last of a piece filled up with one of its own.

    The indices of the points, (blocks, BLOCK), and the piece of each block.
    """
    order = np.argsort(piece, kind="stable")
    count = np.bincount(piece, minlength=pieces)
    blocks = -(-count // BLOCK)
    of = np.repeat(np.arange(pieces), blocks)
    start, first_block = np.cumsum(count) - count, np.cumsum(blocks) - blocks
    rank = (np.arange(of.size) - first_block[of])[:, None] * BLOCK + np.arange(BLOCK)
    return order[start[of][:, None] + np.minimum(rank, count[of][:, None] - 1)], of


@jax.jit
def _correlation_at_zero(table: MomentTable, w_var: Array, b_var: Array, q: Array) -> Array:
    """C(0): the correlation of the images of independent inputs."""
    return (w_var * table.mean_at(q, table.step_of(q)) ** 2 + b_var) / q


@jax.jit
def _pairs(
    coefficients: Array, y: Array, x: Array, r: Array, power: Array, above: Array, c_zero: Array
) -> tuple[Array, Array]:
    """1 - c* and chi_c of blocks of points (k, BLOCK), each with its coefficients (k, NODES, 2, NODES)."""
    # One small matrix product a block: from coefficients in q and r to each point's own in r.
    of_q = jnp.swapaxes(coefficients.reshape(len(y), NODES, 2 * NODES), 1, 2)
    of_r = (of_q @ jnp.moveaxis(polynomials(y, NODES), 0, 1)).reshape(len(y), 2, NODES, -1)
    rho, ratio = jnp.moveaxis(_clenshaw(jnp.moveaxis(of_r, 2, 0), x[:, None]), 1, 0)
    odds = rho * r ** (2 * power)
    rest = c_zero / (above + c_zero)
    return odds / (rest + odds), 1 - above * (ratio - 1)


def _clenshaw(coefficients: Array, t: Array) -> Array:
    b1, b2 = (jnp.zeros_like(coefficients[0]) for _ in range(2))
    for c in coefficients[:0:-1]:
        b1, b2 = c + 2 * t * b1 - b2, b1
    return coefficients[0] + t * b1 - b2
