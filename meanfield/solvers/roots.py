"""Roots of a function of one positive variable: a sign scan, then bracketed Newton, with implicit derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

MOST_ROOTS = 5
_ITERATIONS = 60


def significant_signs(values: Array, noise: Array, below: Array) -> Array:
    """Signs in {-1, 0, 1}; an entry within the noise takes the sign `below` (before the first), or else the next one's.

    `below` holds up to the first significant entry only. All zero where nothing is significant.
    """
    count = values.size
    signs = jnp.where(jnp.isnan(values), 0.0, jnp.sign(values) * (jnp.abs(values) > noise))
    place = jnp.arange(count)
    following = lax.cummin(jnp.where(signs != 0, place, count), axis=0, reverse=True)
    last = jnp.max(jnp.where(signs != 0, place, 0))
    # Noise at the upper end has no successor and takes the preceding sign.
    filled = signs[jnp.where(following == count, last, following)]
    bottom = (place < following[0]) & (following[0] < count) & (below != 0)
    return jnp.where(bottom, below, filled)


class Brackets(NamedTuple):
    """Intervals (MOST_ROOTS,) in which the sign changes, and whether it rises there; NaN-padded."""

    lo: Array
    hi: Array
    rising: Array


def brackets(signs: Array, grid: Array) -> Brackets:
    """The intervals of the grid in which the sign changes."""
    changes = signs[1:] * signs[:-1] < 0
    place = jnp.sort(jnp.where(changes, jnp.arange(changes.size), changes.size))[:MOST_ROOTS]
    where = jnp.where(place < changes.size, place, -1)
    lo, hi = (jnp.where(where >= 0, grid[where + k], jnp.nan) for k in (0, 1))
    return Brackets(lo, hi, signs[where + 1] > 0)


def bracketed_newton(f: Callable[[Array], tuple[Array, Array]], between: Brackets) -> Array:
    """The roots of f in brackets by Newton's method, halving a bracket wherever Newton would leave it.

    f maps arrays like lo elementwise to value and derivative. NaN ends give NaN.
    """
    lo, hi, rising = between

    def step(state: tuple) -> tuple:
        i, lo, hi, x, _ = state
        return (i + 1, *_newton_step(*f(x), rising, lo, hi, x))

    def unfinished(state: tuple) -> Array:
        return (state[0] < _ITERATIONS) & ~jnp.all(state[4])

    return lax.while_loop(unfinished, step, (np.int32(0), lo, hi, (lo + hi) / 2, jnp.isnan(lo)))[3]


def _newton_step(value: Array, slope: Array, rising: Array, lo: Array, hi: Array, x: Array) -> tuple:
    above = (value > 0) == rising
    lo, hi = jnp.where(above, lo, x), jnp.where(above, x, hi)
    newton = x - value / slope
    new = jnp.where((newton > lo) & (newton < hi), newton, (lo + hi) / 2)
    new = jnp.where(value == 0, x, new)
    return lo, hi, new, (jnp.abs(new - x) <= 2 * jnp.finfo(x.dtype).eps * (jnp.abs(x) + 1e-3)) | jnp.isnan(x)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def attach(f: Callable[..., Array], root: Array, *args: Any) -> Array:
    """A root of f(root, *args) = 0 found elsewhere, given the derivative of the implicit function theorem.

    f is a scalar function that closes over nothing that is differentiated. Derivatives of every order, in forward and
    reverse mode; 0 where df/droot is.
    """
    return root


@attach.defjvp
def _attach_jvp(f: Callable[..., Array], primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    root, *args = primals
    root = attach(f, root, *args)
    # A NaN root has no derivative and must not contaminate those of others.
    at = jnp.where(jnp.isnan(root), 1.0, root)
    moved = jax.jvp(lambda *args: f(at, *args), tuple(args), tuple(tangents[1:]))[1]
    slope = jax.jvp(lambda root: f(root, *args), (at,), (jnp.ones_like(at),))[1]
    usable = jnp.isfinite(slope) & (slope != 0) & ~jnp.isnan(root)
    return root, jnp.where(usable, -moved / jnp.where(usable, slope, 1.0), 0.0)
