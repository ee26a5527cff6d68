"""Many (sigma_w, sigma_b) at once, from one activation's table: the fast path of phase diagrams.

For each point the variance map is sigma_w^2 M(q) + sigma_b^2 with one M for all. Where M rises, and V(q) - q changes
sign once on the scan grid, the fixed point is Newton's from that interval; every other point (several fixed points, a
falling M, signs that drown in rounding) is told apart and left to the general solver. Pairs follow panel by panel: one
matrix product gives each point its own polynomial in the angle, and a few Newton steps on it give c*.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .fixed_point import Variances, scan_grid
from .table import ANGLES, MomentTable, TableBuilder

ROWS = 8192
"""Points per compiled chunk: a few megabytes of work."""
_NEWTON = 6
_ANGLE_STEPS = 12


class Scan(NamedTuple):
    """The scan grid of q, and the table's E[phi^2] on it."""

    q: Array
    second: Array


def scan_of(builder: TableBuilder) -> Scan:
    """The scan of one activation."""
    q = jnp.asarray(scan_grid(np.float64))
    return Scan(q, builder.table.moments(None, q)[1])


@jax.jit
def variances(table: MomentTable, scan: Scan, sigma_w: Array, sigma_b: Array, q0: Array) -> tuple[Variances, Array]:
    """The variance half at points (n,), and which of them need the general solver."""
    w_var, b_var = sigma_w**2, sigma_b**2

    def look(point: tuple[Array, Array]) -> tuple[Array, Array, Array, Array]:
        w, b = point
        excess = w * scan.second + b - scan.q
        noisy = jnp.abs(excess) <= 64 * jnp.finfo(excess.dtype).eps * scan.q
        above = excess > 0
        changes = above[1:] != above[:-1]
        return jnp.sum(changes), jnp.argmax(changes), above[0], jnp.any(noisy)

    count, place, first_above, noisy = lax.map(look, (w_var, b_var), batch_size=256)
    rests = ~first_above & (count == 0) & (b_var == 0) & (table.at_zero == 0)
    simple = ~noisy & ((first_above & (count <= 1)) | rests)
    found = first_above & (count == 1)
    lo, hi = scan.q[place], scan.q[place + 1]
    q = _newton(table, w_var, b_var, lo, hi)
    q = jnp.where(found, q, jnp.where(rests, 0.0, 1.0))
    return _describe(table, w_var, b_var, q, found, rests), ~simple


def _newton(table: MomentTable, w_var: Array, b_var: Array, lo: Array, hi: Array) -> Array:
    """Newton's method in log q from the middle of each interval, kept inside it; then one step in q."""

    def step(_: int, q: Array) -> Array:
        second, growth = table.second_and_growth(q)
        excess = w_var * second + b_var - q
        log = jnp.log1p(jnp.clip(-excess / (w_var * growth * q - q), -0.9, 9.0))
        return jnp.clip(q * jnp.exp(log), lo, hi)

    return lax.fori_loop(0, _NEWTON, step, jnp.sqrt(lo * hi))


def _describe(
    table: MomentTable, w_var: Array, b_var: Array, q: Array, found: Array, rests: Array
) -> Variances:
    second, growth = table.second_and_growth(jnp.maximum(q, 1e-26))
    slope, slope_growth = table.slope_and_growth(q)
    eps = jnp.finfo(q.dtype).eps
    chi_1, chi_q = w_var * slope, w_var * growth
    known = found | rests
    error = w_var * table.error_at(q) * second + 4 * eps * (w_var * second + b_var)
    q_error = jnp.where(found, error / jnp.maximum(jnp.abs(1 - chi_q), eps), 0.0)
    chi_error = 8 * eps * (1 + chi_1) + jnp.where(found, jnp.abs(w_var * slope_growth) * q_error, 0.0)
    side = jnp.where(jnp.abs(chi_1 - 1) <= chi_error, 1, jnp.where(chi_1 < 1, 0, 2))
    phase = jnp.where(known, side, 3)
    status = jnp.where(found, 0, jnp.where(rests, 1, 3))
    q_star = jnp.where(known, q, jnp.inf)
    nan = jnp.full((*q.shape, 4), jnp.nan)

    def first(value: Array) -> Array:
        return jnp.concatenate([jnp.where(found, value, jnp.nan)[..., None], nan], -1)

    chaotic = found & (phase == 2)
    return Variances(q_star, q, status, phase, chaotic, chi_1, chi_q, q_error, first(q), first(chi_q))


@jax.jit
def pairs(table: MomentTable, panel: Array, q: Array, chi_1: Array) -> tuple[Array, Array]:
    """1 - c* and chi_c of chaotic points (n,) whose variances lie in one panel of the table.

    1 / chi_1 = 1 - (mean deficit of the slope up to c*), with both deficits v times a polynomial in v.
    """
    coefficients = jnp.tensordot(table.pairs[panel], table.rows(q), ((0,), (1,)))
    local, mean = coefficients[:, 0], coefficients[:, 1]
    target = 1 - 1 / chi_1
    at_end = jnp.sum(mean, 0)
    v = _angle_of(mean, target)
    v = jnp.where(at_end <= target * (1 + 32 * jnp.finfo(q.dtype).eps), 1.0, v)
    chi_c = chi_1 * (1 - v * _clenshaw(local, v)[0])
    return table.e_of(q, v), chi_c


def _angle_of(mean: Array, target: Array) -> Array:
    """v with v * polynomial(v) = target, by Newton's method on the power law that fits value and slope."""

    def step(_: int, state: tuple) -> tuple:
        lo, hi, v = state
        value, slope = _clenshaw(mean, v)
        deficit, slope = v * value, value + v * slope
        above = deficit > target
        lo, hi = jnp.where(above, lo, v), jnp.where(above, v, hi)
        power = v * slope / deficit
        fitted = v * (target / deficit) ** (1 / power)
        trial = jnp.where((power > 0.5) & (power < 4), fitted, v - (deficit - target) / slope)
        return lo, hi, jnp.where((trial > lo) & (trial < hi), trial, (lo + hi) / 2)

    one = jnp.ones_like(target)
    return lax.fori_loop(0, _ANGLE_STEPS, step, (0 * one, one, 0.7 * one))[2]


def _clenshaw(coefficients: Array, v: Array) -> tuple[Array, Array]:
    """Value and slope at v in [0, 1] of Chebyshev sums; coefficients (ANGLES, n), v (n,)."""
    t = 2 * v - 1
    b1, b2, d1, d2 = (jnp.zeros_like(t) for _ in range(4))
    for k in range(ANGLES - 1, 0, -1):
        b1, b2, d1, d2 = coefficients[k] + 2 * t * b1 - b2, b1, 2 * b1 + 2 * t * d1 - d2, d1
    return coefficients[0] + t * b1 - b2, 2 * (b1 + t * d1 - d2)

