"""Many (sigma_w, sigma_b) at once, from one activation's table: the fast path of phase diagrams.

V(q) = sigma_w^2 M(q) + sigma_b^2 with one M for all points: `crossings` brackets its fixed points, and Newton's method
on the table refines them. Points where rounding or the table could hide or fake a crossing, or where M decreases and
there are several, are left to the general solver. Pairs follow piece by piece of the pair table: points of one piece
side by side, two polynomials, in y and in r, give c*.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..interface.labels import Phase, Status
from ..interface.numbers import Numbers
from ..solvers.fixed_variance import Variances
from ..solvers.roots import MOST_ROOTS
from .atlas import Atlas
from .chunks import fetch, in_chunks
from .crossings import DOUBT, Crossings, crossings, stable_order
from .moment_polynomials import MomentTable
from .moment_table import Table
from .pair_panel import FINEST, NODES, horner

ROWS = 8192
"""Points per compiled chunk: a megabyte or two of work."""
BLOCK, BLOCKS = 64, 128
"""Pairs of one piece of the table side by side, and such blocks in a compiled chunk."""
_NEWTON, _STEPS = 3, 40


class Points(NamedTuple):
    """Points of the diagram, flattened [sigma_b, sigma_w]: the variance half, and where to look up the pairs.

    y : arcsinh(sqrt(q) / scale) in units of a panel's height; r : see `moment_table`, NaN where chi_1 < 1
    """

    one: Variances
    y: Any
    r: Any


def points(table: Table, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> tuple[Points, np.ndarray]:
    """Every point of the grid from the table, and which of them need the general solver."""
    shape = sigma_b.size, sigma_w.size
    w_var, b_var = (np.broadcast_to(a, shape).ravel() for a in (sigma_w**2, sigma_b[:, None] ** 2))
    cross = crossings(table, sigma_w**2, sigma_b**2)
    solve = partial(_solve, table.moments, table.unit)
    at = fetch(in_chunks(solve, ROWS, w_var[cross.point], b_var[cross.point], cross.step, cross.place, cross.rising))
    excess = w_var * table.second_moment(q0) + b_var - q0
    reached = _reached(cross, at.q, excess > 0, q0)
    found = reached >= 0
    stays_down = ~found & (excess <= 0)
    rests = stays_down & (b_var == 0) & (table.moments.at_zero == 0)
    hard = cross.doubtful | (stays_down & ~rests) | (np.abs(excess) <= DOUBT * q0)
    hard[cross.point[~at.converged]] = True
    if not table.rising:
        # d ln M / d ln q >= -1/2 for any activation, so that a unique fixed point is reached from everywhere; a V that
        # falls may jump over one of several.
        hard |= np.bincount(cross.point, minlength=w_var.size) != 1
    return _points(cross, at, reached, rests, w_var * table.slope_at_zero), hard


def _reached(cross: Crossings, q: np.ndarray, up: np.ndarray, q0: float) -> np.ndarray:
    """The crossing that iteration of a rising V reaches, -1 if none: the next above q0 if V(q0) > q0, or below."""
    reached = np.full(up.size, -1)
    entries = np.arange(cross.point.size)
    grows = up[cross.point]
    above, below = grows & (q > q0), ~grows & (q < q0)
    reached[cross.point[above][::-1]] = entries[above][::-1]
    reached[cross.point[below]] = entries[below]
    return reached


class _At(NamedTuple):
    q: Numbers
    chi_1: Numbers
    chi_q: Numbers
    q_error: Numbers
    y: Numbers
    r: Numbers
    side: Numbers  # of chi_1 against 1, as the phase's code
    converged: Numbers


class _Search(NamedTuple):
    steps: Array
    t: Array
    lo: Array
    hi: Array
    converged: Array


@jax.jit
def _solve(
    table: MomentTable, unit: tuple, w_var: Array, b_var: Array, step: Array, place: Array, rising: Array
) -> _At:
    """Newton's method from a position inside each interval, with bisection as fallback; and the results at its end."""

    def variance_and_second(t: Array) -> tuple:
        return jax.jvp(lambda t: table.variance_and_second(t, step), (t,), (jnp.ones_like(t),))

    def newton(t: Array) -> tuple[Array, Array, Array]:
        """The next position, whether this one is below the root, and d ln q / dt here."""
        (q, second), (stretch, growth) = variance_and_second(t)
        excess, fall = w_var * second + b_var - q, stretch - w_var * growth
        return t + excess / jnp.where(fall == 0, 1.0, fall), (excess > 0) == rising, stretch / q

    def met(t: Array, before: Array, speed: Array) -> Array:
        # A last move by a relative d leaves an error of d^2.
        return jnp.abs((t - before) * speed) <= 1e-7

    def halve(state: _Search) -> _Search:
        """Newton's step if it stays in the bracket, else half the bracket."""
        following, below, speed = newton(state.t)
        lo, hi = jnp.where(below, state.t, state.lo), jnp.where(below, state.hi, state.t)
        t = jnp.where((following >= lo) & (following <= hi), following, (lo + hi) / 2)
        return _Search(state.steps + 1, t, lo, hi, met(t, state.t, speed))

    t = place
    for _ in range(_NEWTON - 1):
        t = jnp.clip(newton(t)[0], -1.0, 1.0)
    before, (following, _, speed) = t, newton(t)
    t = jnp.clip(following, -1.0, 1.0)
    start = _Search(jnp.int32(0), t, -jnp.ones_like(t), jnp.ones_like(t), met(following, before, speed))
    found = lax.while_loop(lambda s: (s.steps < _STEPS) & ~jnp.all(s.converged), halve, start)
    t = found.t
    (q, second), (stretch, growth) = variance_and_second(t)
    slope, slope_growth = jax.jvp(lambda t: table.slope_at(t, step), (t,), (jnp.ones_like(t),))
    eps = jnp.finfo(q.dtype).eps
    chi_1, chi_q = w_var * slope, w_var * growth / stretch
    error = w_var * jnp.asarray(table.error)[step] * second + 4 * eps * (w_var * second + b_var)
    q_error = error / jnp.maximum(jnp.abs(1 - chi_q), eps)
    chi_error = 8 * eps * (1 + chi_1) + jnp.abs(w_var * slope_growth / stretch) * q_error
    side = jnp.where(chi_1 < 1, Phase.ORDERED.code, Phase.CHAOTIC.code)
    side = jnp.where(jnp.abs(chi_1 - 1) <= chi_error, Phase.CRITICAL.code, side)
    # What the table does not decide is left to the general solver.
    decided = chi_error + jnp.asarray(table.slope_error)[step] * chi_1 < jnp.maximum(1e-6, jnp.abs(chi_1 - 1))
    y, r = looked_up(unit, w_var, b_var, q, chi_1, table.mean_at(t, step))
    return _At(q, chi_1, chi_q, q_error, y, r, side, found.converged & decided)


def looked_up(unit: tuple, w_var: Array, b_var: Array, q: Array, chi_1: Array, mean: Array) -> tuple[Array, Array]:
    """y and r of points with known q*, chi_1 and E[phi]; `unit` is the table's."""
    scale, height = unit
    c_zero = (w_var * mean**2 + b_var) / q
    return jnp.arcsinh(jnp.sqrt(q) / scale) / height, jnp.sqrt((chi_1 - 1) / (chi_1 - 1 + c_zero))


def _points(cross: Crossings, at: _At, reached: np.ndarray, rests: np.ndarray, at_zero: np.ndarray) -> Points:
    """From fixed points to points of the diagram, `all_q` as wide as needed; at_zero is the limit of chi_1 at 0."""
    found = reached >= 0
    everywhere = bool(found.all())
    # One fixed point each, and reached: they are in the points' own order.
    one_each = everywhere and reached.size == cross.point.size
    places = np.flatnonzero(found)
    entries = reached[places]

    def pick(values: Any, at_rest: Any, otherwise: Any) -> Any:
        if everywhere:
            return values.copy() if one_each else values[entries]
        picked = np.where(rests, at_rest, otherwise).astype(values.dtype)
        picked[places] = values[entries]
        return picked

    every: Any = [of[:, None] for of in (at.q, at.chi_q)] if one_each else _every(cross, at, found.size)
    side = np.where(at_zero < 1, Phase.ORDERED.code, Phase.CHAOTIC.code)
    side = np.where(np.abs(at_zero - 1) <= 1e-15, Phase.CRITICAL.code, side)
    phase = pick(at.side, side, Phase.UNBOUNDED.code)
    one = Variances(
        q_star=pick(at.q, 0.0, np.inf),
        q=pick(at.q, 0.0, 1.0),
        status=cast(
            Any, np.where(found, Status.CONVERGED.code, np.where(rests, Status.ZERO.code, Status.DIVERGES.code))
        ),
        phase=phase,
        chaotic=found & (phase == Phase.CHAOTIC.code),
        chi_1=pick(at.chi_1, at_zero, np.nan),
        slope_1=pick(at.chi_1, at_zero, np.nan),
        chi_q=pick(at.chi_q, at_zero, np.nan),
        q_error=pick(at.q_error, 0.0, 0.0),
        all_q=every[0],
        all_chi_q=every[1],
    )
    return Points(one, *(pick(of, np.nan, np.nan) for of in (at.y, at.r)))


def _every(cross: Crossings, at: _At, points: int) -> np.ndarray:
    """`all_q` and `all_chi_q` (2, points, as many as a point has, MOST_ROOTS at most)."""
    count = np.bincount(cross.point, minlength=points)
    rank = np.arange(cross.point.size) - (np.cumsum(count) - count)[cross.point]
    most = max(1, int(count.max(initial=0)))
    every = np.full((2, points * most), np.nan)
    place = cross.point * most + rank
    every[0][place], every[1][place] = at.q, at.chi_q
    return every.reshape(2, points, most)[..., :MOST_ROOTS]


def panels_needed(table: Table, y: np.ndarray) -> set[int]:
    """The table's panels that contain pairs at y."""
    return set(np.flatnonzero(np.bincount(table.floor(y), minlength=1)).tolist())


def pairs(table: Table, atlas: Atlas, y: np.ndarray, r: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 - c* and chi_c of chaotic points (n,) with `above` = chi_1 - 1; NaN if the atlas has no panel there."""
    e, chi_c = np.full((2, y.size), np.nan)
    piece = atlas.piece[table.floor(y), np.minimum((r * FINEST).astype(int), FINEST - 1)]
    known = np.flatnonzero(piece >= 0)
    if not known.size:
        return e, chi_c
    slots, of = _blocks(piece[known], len(atlas.corners))
    slots = known[slots]
    columns = atlas.coefficients[of], atlas.corners[of], y[slots], r[slots], above[slots]
    e[slots], chi_c[slots] = fetch(in_chunks(partial(_pairs, table.power), BLOCKS, *columns))
    return e, chi_c


def _blocks(piece: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Points grouped by piece into blocks, the last block of a piece padded with one of its points.

    The indices of the points, (blocks, BLOCK), and the piece of each block.
    """
    order = stable_order(piece, pieces)
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
    # From a block's coefficients in y and r to each point's own in r; fused, which no matrix product would be.
    of_r = horner(jnp.moveaxis(coefficients, 2, 0)[..., None], (2 * (y - panel) - 1)[:, None])
    of_r = of_r.reshape(len(y), 2, NODES, BLOCK)
    rho, ratio = jnp.moveaxis(horner(jnp.moveaxis(of_r, 2, 0), (2 * (r - lo) / (hi - lo) - 1)[:, None]), 1, 0)
    squared = r**2
    odds = rho * jnp.where(power == 1, squared, squared**2)
    return odds / (1 - squared + odds), 1 - above * (ratio - 1)
