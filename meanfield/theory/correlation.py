"""The fixed gap of a pair: c* found in sqrt(1 - c), with the trivial root c = 1 divided out."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..gaussian.control import repeat_while
from .block import Block
from .kernel import Kernel

_ITERATIONS = 60


def next_gap(block: Block, q: Array, gap: Array) -> Array:
    """The gap of a pair of variance q, one block later."""
    return block(Kernel.pair(q, gap)).gap


def slope_at_gap(block: Block, q: Array, gap: Array) -> Array:
    """d gap'/d gap at a finite gap: the slope of the correlation map at q*, Price's E[phi'(u) phi'(v)] for an MLP."""
    return jax.jvp(partial(next_gap, block, q), (gap,), (jnp.ones_like(gap),))[1]


def ratio(block: Block, q: Array, gap: Array) -> Array:
    """gap'/gap - 1: c = 1 is always a fixed point, and a double one at criticality; dividing by the gap removes it."""
    return next_gap(block, q, gap) / gap - 1


def fixed_gap(block: Block, q: Array, chi_1: Array, chaotic: Array) -> Array:
    """The stable fixed gap at variance q: 0 unless `chaotic`, else where gap'/gap = 1; a root, not differentiable.

    gap'/gap falls with the gap, since the correlation map of one activation is convex on [0, 1], so that the root is
    unique. With a = chi_1 - 1 at gap 0, the ratio is close to a - b s^p in s = sqrt(gap / q), p = 2 where phi is
    smooth and 1 where it has kinks: each step fits b and p to the value and the slope at s, inside a bracket. The
    first step is at c = 0, which is the root where an odd activation without bias decorrelates completely.
    """
    block, q, chi_1 = lax.stop_gradient((block, q, chi_1))
    a = jnp.where(jnp.isfinite(chi_1), chi_1 - 1, jnp.inf)

    def value_and_slope(s: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda s: ratio(block, q, q * s**2), (s,), (jnp.ones_like(s),))

    def step(state: tuple) -> tuple:
        i, lo, hi, s, _ = state
        return (i + 1, *_fitted_step(*value_and_slope(s), a, i, lo, hi, s))

    state = (jnp.int32(0), jnp.zeros_like(q), jnp.ones_like(q), jnp.ones_like(q), ~chaotic)
    s = repeat_while(lambda state: (state[0] < _ITERATIONS) & ~state[4], step, state)[3]
    return jnp.where(chaotic, q * s**2, 0.0)


@jax.jit
def _fitted_step(value: Array, slope: Array, a: Array, i: Array, lo: Array, hi: Array, s: Array) -> tuple:
    eps = jnp.finfo(s.dtype).eps
    lo, hi = jnp.where(value > 0, s, lo), jnp.where(value > 0, hi, s)
    drop = a - value
    power = -s * slope / drop
    fitted = s * (a / drop) ** (1 / power)
    usable = jnp.isfinite(fitted) & (drop > 0) & (power > 0.5) & (power < 4)
    trial = jnp.where(usable, fitted, s - value / slope)
    inside = (trial > lo) & (trial < hi)
    new = jnp.where(inside, trial, jnp.where(lo > 0, jnp.sqrt(lo * hi), hi / 4))
    at_end = (i == 0) & (value > -32 * eps)
    new = jnp.where((value == 0) | at_end, s, new)
    return lo, hi, new, jnp.abs(new - s) <= 4 * eps * s


def attach(block: Block, q: Array, gap: Array, chaotic: Array) -> Array:
    """The fixed gap with its dependence on the block and on q: one Newton step, its slope held (implicit function)."""
    held = lax.stop_gradient((block, q))
    safe = lax.stop_gradient(jnp.where(chaotic & (gap < q), gap, 0.5 * jnp.where(q > 0, q, 1.0)))
    slope = lax.stop_gradient(slope_at_gap(*held, safe) - 1) / safe
    value = ratio(block, q, safe) - lax.stop_gradient(ratio(*held, safe))
    moved = safe - jnp.where(slope != 0, value / jnp.where(slope != 0, slope, 1.0), 0.0)
    return jnp.where(chaotic, jnp.where(gap < q, moved, q), 0.0)
