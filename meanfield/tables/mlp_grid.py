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
from jax import Array, lax

from ..interface.devices import over_devices
from ..interface.precision import local_devices
from ..solvers.fixed_variance import Variances
from ..solvers.roots import MOST_ROOTS
from .moment_table import MomentTable, Table
from .pair_panel import FINEST, NODES, horner, powers

ROWS = 8192
"""Points per compiled chunk: a megabyte or two of work."""
BLOCK, BLOCKS = 64, 128
"""Pairs of one piece of the table side by side, and such blocks in a compiled chunk."""
_NEWTON, _STEPS = 3, 40
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


class Points(NamedTuple):
    """Points of the diagram, flattened [sigma_b, sigma_w]: what one input decides, and where its pairs are looked up.

    y : arcsinh(sqrt(q) / scale) in units of a panel's height; r : see `table`, NaN where chi_1 < 1
    """

    one: Variances
    y: np.ndarray
    r: np.ndarray


class _Crossings(NamedTuple):
    """Fixed points before they are found, ascending in q within each point of the diagram; arrays (k,).

    point : index into the flattened [sigma_b, sigma_w]; step : the interval of the scan grid; place : a first guess
    in [-1, 1] of where in it; rising : whether H rises there; doubtful : (points,)
    """

    point: np.ndarray
    step: np.ndarray
    place: np.ndarray
    rising: np.ndarray
    doubtful: np.ndarray


def points(table: Table, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> tuple[Points, np.ndarray]:
    """Every point of the grid by the table, and which of them need the general solver."""
    shape = sigma_b.size, sigma_w.size
    w_var, b_var = (np.broadcast_to(a, shape).ravel() for a in (sigma_w**2, sigma_b[:, None] ** 2))
    cross = _crossings(table, sigma_w**2, sigma_b**2)
    solve = partial(_solve, table.moments, table.unit)
    columns = w_var[cross.point], b_var[cross.point], cross.step, cross.place, cross.rising
    at = fetch(in_chunks(solve, ROWS, *columns))
    excess = w_var * table.second_moment(q0) + b_var - q0
    up = excess > 0
    # Where a rising V takes the iteration: the smallest fixed point above q0 if V(q0) > q0, else the largest below.
    reached = np.full(w_var.size, -1)
    entries = np.arange(cross.point.size)
    grows = up[cross.point]
    above, below = grows & (at.q > q0), ~grows & (at.q < q0)
    reached[cross.point[above][::-1]] = entries[above][::-1]
    reached[cross.point[below]] = entries[below]
    found = reached >= 0
    rests = ~found & ~up & (b_var == 0) & (table.moments.at_zero == 0)
    hard = cross.doubtful | (~found & ~up & ~rests) | (np.abs(excess) <= _DOUBT * q0)
    hard[cross.point[~at.converged]] = True
    if not table.rising:
        # d ln M / d ln q >= -1/2 for any activation, so that an only fixed point is reached from everywhere; a V that
        # falls may jump over one of several.
        hard |= np.bincount(cross.point, minlength=w_var.size) != 1
    return _points(cross, at, reached, rests, w_var * table.slope_at_zero), hard


def _crossings(table: Table, w_var: np.ndarray, b_var: np.ndarray) -> _Crossings:
    q = table.moments.grid
    # Without weights V is sigma_b^2, infinite moments or not.
    needed = q - w_var[:, None] * np.where(w_var[:, None] > 0, table.scan, 0.0)
    order = np.argsort(b_var)
    ranked = b_var[order]
    lower, upper = (_ranks(ranked, needed + s * _DOUBT * q, side) for s, side in ((-1, "left"), (1, "right")))
    doubtful = np.zeros((b_var.size, w_var.size), bool)
    _, column, row = _spread(lower, upper)
    doubtful[order[row], column] = True
    step, column, row = _spread(np.minimum(upper[:, 1:], upper[:, :-1]), np.maximum(upper[:, 1:], upper[:, :-1]))
    first = needed[column, step]
    rise = needed[column, step + 1] - first
    # A rise of 0 is one of rounding, and doubtful already.
    share = (ranked[row] - first) / np.where(rise == 0, 1.0, rise)
    point = order[row] * w_var.size + column
    # Steps of one point ascend already.
    ascending = _order(point, doubtful.size)
    place = np.clip(2 * share - 1, -1.0, 1.0)
    return _Crossings(*(a[ascending] for a in (point, step, place, rise > 0)), doubtful.ravel())


def _ranks(ranked: np.ndarray, values: np.ndarray, side: str) -> np.ndarray:
    """np.searchsorted, where most values lie outside."""
    inside = (values >= ranked[0]) & (values <= ranked[-1])
    found = np.where(values > ranked[-1], ranked.size, 0)
    found[inside] = np.searchsorted(ranked, values[inside], side)
    return found


def _order(numbers: np.ndarray, below: int) -> np.ndarray:
    """A stable argsort of integers from 0 and below a bound; NumPy's is ten times faster where they are short."""
    return np.argsort(numbers.astype(np.uint16) if below <= 2**16 else numbers, kind="stable")


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
    y: Array
    r: Array
    side: Array  # of chi_1 against 1, as the phase's code
    converged: Array


class _Search(NamedTuple):
    count: Array
    t: Array
    lo: Array
    hi: Array
    converged: Array


@jax.jit
def _solve(
    table: MomentTable, unit: tuple, w_var: Array, b_var: Array, step: Array, place: Array, rising: Array
) -> _At:
    """Newton's method from a place inside each interval, with halving where it fails; and what is known at its end."""

    def variance_and_second(t: Array) -> tuple:
        return jax.jvp(lambda t: table.variance_and_second(t, step), (t,), (jnp.ones_like(t),))

    def newton(t: Array) -> tuple[Array, Array, Array]:
        """The next place, whether this one is below the root, and d ln q / dt here."""
        (q, second), (stretch, growth) = variance_and_second(t)
        excess, fall = w_var * second + b_var - q, stretch - w_var * growth
        return t + excess / jnp.where(fall == 0, 1.0, fall), (excess > 0) == rising, stretch / q

    def met(t: Array, before: Array, speed: Array) -> Array:
        # A last move by a relative d leaves an error of d^2.
        return jnp.abs((t - before) * speed) <= 1e-7

    def halve(state: _Search) -> _Search:
        """Newton's step where it stays in the bracket, half the bracket where not."""
        following, below, speed = newton(state.t)
        lo, hi = jnp.where(below, state.t, state.lo), jnp.where(below, state.hi, state.t)
        t = jnp.where((following >= lo) & (following <= hi), following, (lo + hi) / 2)
        return _Search(state.count + 1, t, lo, hi, met(t, state.t, speed))

    t = place
    for _ in range(_NEWTON):
        before, (following, _, speed) = t, newton(t)
        t = jnp.clip(following, -1.0, 1.0)
    start = _Search(jnp.int32(0), t, -jnp.ones_like(t), jnp.ones_like(t), met(following, before, speed))
    found = lax.while_loop(lambda s: (s.count < _STEPS) & ~jnp.all(s.converged), halve, start)
    t = found.t
    (q, second), (stretch, growth) = variance_and_second(t)
    slope, slope_growth = jax.jvp(lambda t: table.slope_at(t, step), (t,), (jnp.ones_like(t),))
    eps = jnp.finfo(q.dtype).eps
    chi_1, chi_q = w_var * slope, w_var * growth / stretch
    error = w_var * jnp.asarray(table.error)[step] * second + 4 * eps * (w_var * second + b_var)
    q_error = error / jnp.maximum(jnp.abs(1 - chi_q), eps)
    chi_error = 8 * eps * (1 + chi_1) + jnp.abs(w_var * slope_growth / stretch) * q_error
    side = jnp.where(jnp.abs(chi_1 - 1) <= chi_error, 1, jnp.where(chi_1 < 1, 0, 2)).astype(jnp.int8)
    y, r = looked_up(unit, w_var, b_var, q, chi_1, table.mean_at(t, step))
    return _At(q, chi_1, chi_q, q_error, y, r, side, found.converged)


def looked_up(unit: tuple, w_var: Array, b_var: Array, q: Array, chi_1: Array, mean: Array) -> tuple[Array, Array]:
    """y and r of points of which q*, chi_1 and E[phi] there are known; `unit` is the table's."""
    scale, height = unit
    c_zero = (w_var * mean**2 + b_var) / q
    return jnp.arcsinh(jnp.sqrt(q) / scale) / height, jnp.sqrt((chi_1 - 1) / (chi_1 - 1 + c_zero))


def _points(cross: _Crossings, at: _At, reached: np.ndarray, rests: np.ndarray, at_zero: np.ndarray) -> Points:
    """From fixed points to points of the diagram, `all_q` as wide as it must be; at_zero is the limit of chi_1 at 0."""
    found = reached >= 0
    everywhere = bool(found.all())

    def pick(values: np.ndarray, at_rest: Any, otherwise: Any) -> np.ndarray:
        if everywhere:
            return values[reached]
        picked = np.where(rests, at_rest, otherwise).astype(values.dtype)
        picked[found] = values[reached[found]]
        return picked

    count = np.bincount(cross.point, minlength=found.size)
    rank = np.arange(cross.point.size) - (np.cumsum(count) - count)[cross.point]
    most = max(1, int(count.max(initial=0)))
    every = np.full((2, found.size * most), np.nan)
    place = cross.point * most + rank
    every[0][place], every[1][place] = at.q, at.chi_q
    all_q, all_chi_q = every.reshape(2, found.size, most)[..., :MOST_ROOTS]
    side = np.where(np.abs(at_zero - 1) <= 1e-15, 1, np.where(at_zero < 1, 0, 2))
    phase = pick(at.side, side, 3)
    one = Variances(
        q_star=pick(at.q, 0.0, np.inf),
        q=pick(at.q, 0.0, 1.0),
        status=np.where(found, 0, np.where(rests, 1, 3)).astype(np.int8),
        phase=phase,
        chaotic=found & (phase == 2),
        chi_1=pick(at.chi_1, at_zero, np.nan),
        chi_q=pick(at.chi_q, at_zero, np.nan),
        q_error=pick(at.q_error, 0.0, 0.0),
        all_q=all_q,
        all_chi_q=all_chi_q,
    )
    return Points(one, *(pick(of, np.nan, np.nan) for of in (at.y, at.r)))


def pairs(table: Table, y: np.ndarray, r: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 - c* and chi_c of chaotic points (n,), `above` being chi_1 - 1; NaN where the table has no panel."""
    e, chi_c = np.full((2, y.size), np.nan)
    panel = table.floor(y)
    atlas = table.atlas(np.flatnonzero(np.bincount(panel)).tolist())
    piece = atlas.piece[panel, np.minimum((r * FINEST).astype(int), FINEST - 1)]
    known = np.flatnonzero(piece >= 0)
    if not known.size:
        return e, chi_c
    slots, of = _blocks(piece[known], len(atlas.corners))
    slots = known[slots]
    pieces = in_chunks(partial(_pairs, table.power), BLOCKS, atlas.coefficients[of], atlas.corners[of],
                       y[slots], r[slots], above[slots])  # fmt: skip
    e[slots], chi_c[slots] = fetch(pieces)
    return e, chi_c


def _blocks(piece: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Points piece by piece in blocks, the last of a piece filled up with one of its own.

    The indices of the points, (blocks, BLOCK), and the piece of each block.
    """
    order = _order(piece, pieces)
    count = np.bincount(piece, minlength=pieces)
    blocks = -(-count // BLOCK)
    of = np.repeat(np.arange(pieces), blocks)
    start, first_block = np.cumsum(count) - count, np.cumsum(blocks) - blocks
    rank = (np.arange(of.size) - first_block[of])[:, None] * BLOCK + np.arange(BLOCK)
    return order[start[of][:, None] + np.minimum(rank, count[of][:, None] - 1)], of


@jax.jit
def _pairs(power: Array, coefficients: Array, corners: Array, y: Array, r: Array, above: Array) -> tuple[Array, Array]:
    """1 - c* and chi_c of blocks of points (k, BLOCK), each of one piece of the atlas."""
    panel, lo, hi = jnp.moveaxis(corners[:, :, None], 1, 0)
    # One small matrix product a block: from coefficients in y and r to each point's own in r.
    of_r = (coefficients @ powers(2 * (y - panel) - 1, NODES)).reshape(len(y), 2, NODES, -1)
    rho, ratio = jnp.moveaxis(horner(jnp.moveaxis(of_r, 2, 0), (2 * (r - lo) / (hi - lo) - 1)[:, None]), 1, 0)
    squared = r**2
    odds = rho * jnp.where(power == 1, squared, squared**2)
    return odds / (1 - squared + odds), 1 - above * (ratio - 1)
