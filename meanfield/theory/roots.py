"""Roots of a function of one positive variable: a sign scan, then bracketed Newton, differentiable at the end."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..gaussian.control import repeat_while

MOST_ROOTS = 5
_ITERATIONS = 60


@jax.jit
def significant_signs(values: Array, noise: Array, below: Array) -> Array:
    """Signs in {-1, 0, 1}; what is within the noise takes the sign `below` the first entry, the next one's where that is 0.

    `below` holds up to the first significant entry only. All zero where nothing is significant.
    """
    count = values.size
    signs = jnp.where(jnp.isnan(values), 0.0, jnp.sign(values) * (jnp.abs(values) > noise))
    place = jnp.arange(count)
    following = lax.cummin(jnp.where(signs != 0, place, count), axis=0, reverse=True)
    last = jnp.max(jnp.where(signs != 0, place, 0))
    # Noise at the upper end has nothing after it and takes what comes before.
    filled = signs[jnp.where(following == count, last, following)]
    bottom = (place < following[0]) & (following[0] < count) & (below != 0)
    return jnp.where(bottom, below, filled)


@jax.jit
def brackets(signs: Array, grid: Array) -> tuple[Array, Array]:
    """Ends (MOST_ROOTS,) of the intervals of the grid where the sign changes, NaN where there are fewer."""
    changes = signs[1:] * signs[:-1] < 0
    (where,) = jnp.nonzero(changes, size=MOST_ROOTS, fill_value=-1)
    lo = jnp.where(where >= 0, grid[where], jnp.nan)
    return lo, jnp.where(where >= 0, grid[where + 1], jnp.nan)


def bracketed_newton(f: Callable[[Array], tuple[Array, Array]], lo: Array, hi: Array) -> Array:
    """The roots of f between lo and hi by Newton's method, halving a bracket wherever Newton would leave it.

    f maps arrays like lo elementwise to value and derivative; its signs at the two ends differ. NaN ends give NaN.
    """
    rising = f(hi)[0] > 0

    def step(state: tuple) -> tuple:
        i, lo, hi, x, _ = state
        return (i + 1, *_newton_step(*f(x), rising, lo, hi, x))

    def unfinished(state: tuple) -> Array:
        return (state[0] < _ITERATIONS) & ~jnp.all(state[4])

    return repeat_while(unfinished, step, (jnp.int32(0), lo, hi, (lo + hi) / 2, jnp.isnan(lo)))[3]


@jax.jit
def _newton_step(value: Array, slope: Array, rising: Array, lo: Array, hi: Array, x: Array) -> tuple:
    above = (value > 0) == rising
    lo, hi = jnp.where(above, lo, x), jnp.where(above, x, hi)
    newton = x - value / slope
    new = jnp.where((newton > lo) & (newton < hi), newton, (lo + hi) / 2)
    new = jnp.where(value == 0, x, new)
    return lo, hi, new, (jnp.abs(new - x) <= 2 * jnp.finfo(x.dtype).eps * (jnp.abs(x) + 1e-3)) | jnp.isnan(x)


def polish(f: Callable[[Array], Array], root: Array, steps: int) -> Array:
    """Newton steps from a root that is held constant: n of them carry derivatives of order 2^n - 1 of the true root.

    f closes over the quantities to differentiate by. This is the implicit function theorem written as arithmetic: it
    works in forward and reverse mode and under vmap.
    """
    x = lax.stop_gradient(root)
    for _ in range(steps):
        value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
        usable = jnp.isfinite(slope) & (slope != 0) & jnp.isfinite(value)
        x = jnp.where(usable, x - jnp.where(usable, value, 0.0) / jnp.where(usable, slope, 1.0), x)
    return x
