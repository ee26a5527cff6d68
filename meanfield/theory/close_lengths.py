"""One layer of a pair of nearly equal lengths, whose difference is carried and not subtracted.

The difference of the lengths feeds the gap with its square, and may be all that is left of it after many layers of the
ordered phase: it must keep its digits where q1 - q2 has lost them. At a given mean length and correlation what follows
is an even or odd function of the difference, so that a layer is evaluated at a few larger differences and interpolated.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Block
from ..blocks.kernel import Kernel

# Relative differences, where subtracting costs two digits; the error of four is their eighth power.
_AT = np.array([0.0, 0.01, 0.02, 0.03, 0.04])


class Apart(NamedTuple):
    """The differences of a pair's variances and of its channel means."""

    q: Array
    m: Array

    def scaled(self, s: Array) -> Apart:
        """Those of s times the inputs."""
        return Apart(s**2 * self.q, s * self.m)


class _Layer(NamedTuple):
    """What a layer leaves: sums and differences over the pair, and the gap."""

    sum_q: Array
    sum_m: Array
    gap: Array
    q: Array
    m: Array


def next_pair(block: Block, pair: Kernel, apart: Apart) -> tuple[Kernel, Apart]:
    """The kernel one block later, and its differences."""
    after = block(pair).as_arrays()
    if pair.equal:
        return after, apart
    q, m = (pair.q1 + pair.q2) / 2, (pair.m1 + pair.m2) / 2
    safe = jnp.where(q > 0, q, 1.0)
    size = jnp.maximum(jnp.abs(apart.q) / safe, jnp.abs(apart.m) / jnp.sqrt(safe))
    near = (q > 0) & (size > 0) & (size < _AT[1])
    unit = jnp.where(near, size, 1.0)
    e = jnp.where(near, pair.one_minus_c, 0.0)

    def layer(h: Array) -> _Layer:
        dq, dm = (h / unit * d / 2 for d in apart)
        # The correlation is held and not the gap, which may be as large as the lengths allow.
        own = pair.replace(q1=q + dq, q2=q - dq, m1=m + dm, m2=m - dm)
        there = block(own.replace(gap=own.length * e)).as_arrays()
        return _Layer(there.q1 + there.q2, there.m1 + there.m2, there.gap, there.q1 - there.q2, there.m1 - there.m2)

    nothing = _Layer(*[jnp.zeros_like(q)] * len(_Layer._fields))
    # Only what is near pays for more than one evaluation.
    images = lax.map(lambda h: lax.cond(near, layer, lambda h: nothing, h), jnp.asarray(_AT, q.dtype))
    found = _interpolated(images, jnp.where(near, size, _AT[1]))
    exact = after.replace(
        q1=(found.sum_q + found.q) / 2,
        q2=(found.sum_q - found.q) / 2,
        m1=(found.sum_m + found.m) / 2,
        m2=(found.sum_m - found.m) / 2,
        gap=found.gap,
    )
    direct = Apart(after.q1 - after.q2, after.m1 - after.m2)
    return jax.tree.map(lambda yes, no: jnp.where(near, yes, no), (exact, Apart(found.q, found.m)), (after, direct))


def _interpolated(images: _Layer, h: Array) -> _Layer:
    """The layer at h, from those at `_AT`: polynomials in h^2, times h where they are odd."""
    x, at = h**2, jnp.asarray(_AT[1:], h.dtype)
    square = at**2
    weights = [jnp.prod(jnp.stack([(x - b) / (a - b) for b in _others(square, i)])) for i, a in enumerate(square)]
    weight = jnp.stack(weights)

    def even(values: Array) -> Array:
        return values[0] + x * jnp.sum(weight * (values[1:] - values[0]) / square)

    def odd(values: Array) -> Array:
        return h * jnp.sum(weight * values[1:] / at)

    return _Layer(even(images.sum_q), even(images.sum_m), even(images.gap), odd(images.q), odd(images.m))


def _others(values: Array, i: int) -> list[Array]:
    return [value for j, value in enumerate(values) if j != i]
