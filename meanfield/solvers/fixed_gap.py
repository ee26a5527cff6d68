"""The fixed gap of a pair: c* found in sqrt(1 - c), with the trivial root c = 1 divided out."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Block, repeated
from ..blocks.kernel import Kernel
from .roots import attach

_ITERATIONS = 60


def next_gap(block: Block, q: Array, gap: Array) -> Array:
    """The gap of a pair of variance q and correlation c >= 0, one block later."""
    return block(repeated(block, Kernel.pair(q, gap))).gap


def slope_at_gap(block: Block, q: Array, gap: Array) -> Array:
    """d gap'/d gap at a finite gap: the slope of the correlation map at q*, Price's E[phi'(u) phi'(v)] for an MLP."""
    return jax.jvp(partial(next_gap, block, q), (gap,), (jnp.ones_like(gap),))[1]


def ratio(block: Block, q: Array, gap: Array) -> Array:
    """gap'/gap - 1: c = 1 is always a fixed point, and a double one at criticality; dividing by the gap removes it."""
    return next_gap(block, q, gap) / gap - 1


def fixed_gap(
    block: Block, q: Array, chi_1: Array, chaotic: Array, start: Array | None = None, tolerance: Array | float = 0.0
) -> tuple[Array, Array]:
    """The stable fixed gap at variance q, where gap'/gap = 1, and chi_c there; gap 0 and chi_1 unless `chaotic`.

    gap'/gap decreases with the gap, since the correlation map of one activation is convex on [0, 1]; so the root is
    unique. With a = chi_1 - 1 at gap 0, the ratio is close to a - b s^p in s = sqrt(gap / q), p = 2 where phi is smooth
    and 1 where it has kinks: each step fits b and p to the value and the slope at s, inside a bracket. The first step
    is at s = `start`, else at c = 0, the root if an odd activation without bias decorrelates completely. If the block
    maps a pair to NaN both are NaN.

    Differentiable by the implicit function theorem.
    """
    start = jnp.ones_like(q) if start is None else start
    return _fixed_gap(block, q, chi_1, chaotic, start, jnp.asarray(tolerance, q.dtype))


@jax.custom_jvp
def _fixed_gap(
    block: Block, q: Array, chi_1: Array, chaotic: Array, start: Array, tolerance: Array
) -> tuple[Array, Array]:
    a = jnp.where(jnp.isfinite(chi_1), chi_1 - 1, jnp.inf)

    def step(state: tuple) -> tuple:
        i, lo, hi, s, _, _ = state
        gap = q * s**2
        image, chi_c = jax.jvp(partial(next_gap, block, q), (gap,), (jnp.ones_like(gap),))
        value = image / gap - 1
        lo, hi, new, done = _fitted_step(value, 2 * (chi_c - 1 - value) / s, a, tolerance, lo, hi, s)
        return i + 1, lo, hi, new, chi_c, done

    one = jnp.ones_like(q)
    state = (np.int32(0), 0 * one, one, start, one, ~chaotic)
    state = lax.while_loop(lambda state: (state[0] < _ITERATIONS) & ~state[-1], step, state)
    _, _, _, s, chi_c, _ = state
    gap = jnp.where(jnp.isnan(chi_c), jnp.nan, q * s**2)
    return jnp.where(chaotic, gap, 0.0), jnp.where(chaotic, chi_c, chi_1)


def _fitted_step(value: Array, slope: Array, a: Array, tolerance: Array, lo: Array, hi: Array, s: Array) -> tuple:
    eps = jnp.finfo(s.dtype).eps
    lo, hi = jnp.where(value > 0, s, lo), jnp.where(value > 0, hi, s)
    drop = a - value
    power = -s * slope / drop
    fitted = s * (a / drop) ** (1 / power)
    usable = jnp.isfinite(fitted) & (drop > 0) & (power > 0.5) & (power < 4)
    trial = jnp.where(usable, fitted, s - value / slope)
    inside = (trial > lo) & (trial < hi)
    new = jnp.where(inside, trial, jnp.where(lo > 0, jnp.sqrt(lo * hi), hi / 4))
    at_end = (s == 1) & (value > -32 * eps)
    # Where the ratio is 1 to rounding another step would follow its noise.
    new = jnp.where((jnp.abs(value) <= 2 * eps) | at_end, s, new)
    return lo, hi, new, jnp.abs(new - s) <= jnp.maximum(4 * eps, tolerance) * s


@_fixed_gap.defjvp
def _fixed_gap_jvp(primals: tuple, tangents: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    block, q, chi_1, chaotic, *_ = primals
    d_block, d_q, d_chi_1, *_ = tangents
    gap, chi_c = _fixed_gap(*primals)
    inside = chaotic & (gap < q)
    safe = jnp.where(inside, gap, 0.5 * q)
    moved = jax.jvp(lambda block, q: ratio(block, q, safe), (block, q), (d_block, d_q))[1]
    fall = jnp.where(inside & (chi_c != 1), 1 - chi_c, 1.0)
    # At c* = 0 the gap is q itself.
    d_gap = jnp.where(inside, moved * safe / fall, jnp.where(chaotic, d_q, 0.0))
    there = jnp.where(chaotic, gap, 0.5 * q)
    d_slope = jax.jvp(slope_at_gap, (block, q, there), (d_block, d_q, d_gap))[1]
    return (gap, chi_c), (d_gap, jnp.where(chaotic, d_slope, d_chi_1))


def noisy_gap(block: Block, q: Array, start: Array | None = None) -> tuple[Array, Array]:
    """The fixed gap at variance q of a block that separates identical inputs, and chi_c there.

    gap' - gap is positive at 0 and concave in the gap, since the correlation map is convex in c on [0, 1]: it has one
    root, to which Newton's method descends from c = 0 (`start` None) without overshooting; a bracket guards against
    rounding. Differentiable by the implicit function theorem.
    """
    frozen = lax.stop_gradient((block, q))

    def step(state: tuple) -> tuple:
        i, lo, hi, gap, _ = state
        value, slope = jax.jvp(lambda gap: _gap_excess(gap, *frozen), (gap,), (jnp.ones_like(gap),))
        lo, hi = jnp.where(value > 0, gap, lo), jnp.where(value > 0, hi, gap)
        trial = gap - value / slope
        new = jnp.where((trial >= lo) & (trial <= hi), trial, (lo + hi) / 2)
        new = jnp.where(value == 0, gap, new)
        return i + 1, lo, hi, new, jnp.abs(new - gap) <= 4 * jnp.finfo(gap.dtype).eps * gap

    most = frozen[1]
    start = most if start is None else lax.stop_gradient(start)
    state = (np.int32(0), 0 * most, most, start, np.bool_(False))
    gap = lax.while_loop(lambda state: (state[0] < _ITERATIONS) & ~state[-1], step, state)[3]
    gap = attach(_gap_excess, gap, block, q)
    return gap, slope_at_gap(block, q, gap)


def _gap_excess(gap: Array, block: Block, q: Array) -> Array:
    return next_gap(block, q, gap) - gap
