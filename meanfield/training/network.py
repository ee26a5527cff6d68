"""The network that a sweep trains: a constant-width MLP whose layers are stacked along a leading axis.

A scan over the stack keeps the compiled program, and so the compile time, the same at every depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Params", "draw", "logits", "parameter_count"]


class Params(NamedTuple):
    """The weights of one MLP of depth L, float32, with the hidden layers stacked.

    `first_w` (d_in, n), `first_b` (n,); `hidden_w` (L - 1, n, n), `hidden_b` (L - 1, n); `last_w` (n, d_out),
    `last_b` (d_out,). Depth counts the blocks phi-then-dense that follow the first layer, the readout being the
    last of them, which is how `meanfield.trajectory` and `meanfield.nngp` count.

    >>> import jax
    >>> draw(jax.random.key(0), 1.5, 0.3, d_in=64, width=32, depth=5, d_out=10).hidden_w.shape
    (4, 32, 32)
    """

    first_w: jax.Array
    first_b: jax.Array
    hidden_w: jax.Array
    hidden_b: jax.Array
    last_w: jax.Array
    last_b: jax.Array


def draw(key: jax.Array, sigma_w, sigma_b, *, d_in: int, width: int, depth: int, d_out: int) -> Params:
    """Draw W ~ N(0, sigma_w^2 / fan_in) and b ~ N(0, sigma_b^2), every layer alike (Poole et al. 2016).

    `key` is a JAX key; `sigma_w`, `sigma_b` are standard deviations, scalars, traced or not. Float32.

    >>> import jax
    >>> params = draw(jax.random.key(0), 2.0, 0.0, d_in=64, width=256, depth=3, d_out=10)
    >>> abs(float(params.hidden_w.std()) * 256**0.5 - 2.0) < 0.02
    True
    """
    # One stretch of normals cut into leaves: six separate draws take six times as long to compile, 5 s and more.
    count = parameter_count(d_in=d_in, width=width, depth=depth, d_out=d_out)
    normals = jax.random.normal(key, (count,), jnp.float32)
    used = 0

    def cut(scale, *shape):
        nonlocal used
        first, used = used, used + math.prod(shape)
        # A sigma that arrives as float64 under a global x64 flag must not widen the network.
        return jnp.asarray(scale, jnp.float32) * normals[first:used].reshape(shape)

    return Params(
        first_w=cut(sigma_w / d_in**0.5, d_in, width),
        first_b=cut(sigma_b, width),
        hidden_w=cut(sigma_w / width**0.5, depth - 1, width, width),
        hidden_b=cut(sigma_b, depth - 1, width),
        last_w=cut(sigma_w / width**0.5, width, d_out),
        last_b=cut(sigma_b, d_out),
    )


def logits(params: Params, phi: Callable, x: jax.Array) -> jax.Array:
    """The output of one network: h^1 = x W + b, then h^{l+1} = phi(h^l) W + b; x (..., d_in) -> (..., d_out).

    >>> import jax, jax.numpy as jnp
    >>> params = draw(jax.random.key(0), 1.5, 0.3, d_in=64, width=32, depth=5, d_out=10)
    >>> logits(params, jnp.tanh, jnp.ones((7, 64))).shape
    (7, 10)
    """

    def layer(h, weights):
        w, b = weights
        return phi(h) @ w + b, None

    h = x @ params.first_w + params.first_b
    h, _ = jax.lax.scan(layer, h, (params.hidden_w, params.hidden_b))
    return phi(h) @ params.last_w + params.last_b


def parameter_count(*, d_in: int, width: int, depth: int, d_out: int) -> int:
    """How many numbers one network has.

    >>> parameter_count(d_in=64, width=32, depth=5, d_out=10)
    6634
    """
    return (d_in + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * d_out
