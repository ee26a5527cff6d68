"""A fully connected network whose hidden layers are one stack of weights, scanned over the depth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from ..blocks.block import Block, mlp_parts
from ..initializers import Scaled
from ..interface.arguments import sigma, whole

__all__ = ["MLP"]

Initializer = Callable[..., Array]


class MLP(nnx.Module):
    """The finite network that `mf.MLP` is the infinite-width limit of (Poole et al. 2016), in Flax NNX.

    h^0 = W x + b and h^{l+1} = W phi(h^l) + b for l < depth, with W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2)
    in every layer. `depth` counts the blocks after the first layer, as `mf.trajectory` does, so that row l of
    `preactivations` belongs to its index l. With `d_out` one more block of that kind reads the outputs out.

    block: an `mf.MLP(phi, sigma_w=, sigma_b=)`; width: units per layer; d_in, d_out: sizes of inputs and outputs.
    rngs: `nnx.Rngs`, of which `params` is used. kernel_init: another rule for the weights, called
    (key, shape, dtype), instead of `mf.initializers.Scaled(sigma_w)`. dtype: of the parameters, float32.

    Parameters: `first_kernel` (d_in, width), `first_bias` (width,); `kernel` (depth, width, width), `bias`
    (depth, width), stacked along the layers and scanned, so that compile time does not grow with the depth;
    `last_kernel` (width, d_out), `last_bias` (d_out,) where there is a readout. InputError: a block of another kind,
    a size that is not a positive integer.

    >>> import meanfield as mf
    >>> block = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
    >>> net = MLP(block, depth=20, width=50, d_in=64, d_out=10, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((3, 64))
    >>> net(x).shape, net.preactivations(x).shape
    ((3, 10), (21, 3, 50))
    """

    stacked = ("kernel", "bias")  # the parameters whose first axis counts layers

    def __init__(
        self,
        block: Block,
        *,
        depth: int,
        width: int,
        d_in: int,
        d_out: int | None = None,
        rngs: nnx.Rngs,
        kernel_init: Initializer | None = None,
        dtype: Any = jnp.float32,
    ):
        phi, dense = mlp_parts(block)
        for name, size in (("depth", depth), ("width", width), ("d_in", d_in), ("d_out", d_out)):
            if not (name == "d_out" and size is None):
                whole(name, size)
        sigma("sigma_w", dense.sigma_w, single=True)
        weights = Scaled(dense.sigma_w) if kernel_init is None else kernel_init
        sigma("sigma_b", dense.sigma_b, single=True)
        biases = partial(_biases, dense.sigma_b)
        # An activation is a pytree: its parameters may be traced.
        self.phi = nnx.data(phi)
        self.depth, self.width = int(depth), int(width)
        self.first_kernel = nnx.Param(weights(rngs.params(), (d_in, width), dtype))
        self.first_bias = nnx.Param(biases(rngs.params(), (width,), dtype))
        self.kernel = nnx.Param(_stack(weights, rngs.params(), depth, (width, width), dtype))
        self.bias = nnx.Param(biases(rngs.params(), (depth, width), dtype))
        if d_out is not None:
            self.last_kernel = nnx.Param(weights(rngs.params(), (width, d_out), dtype))
            self.last_bias = nnx.Param(biases(rngs.params(), (d_out,), dtype))
        self.d_in, self.d_out = int(d_in), d_out

    def __call__(self, x: Array) -> Array:
        """The outputs (..., d_out) of inputs (..., d_in); without a readout, the last pre-activations (..., width)."""

        def layer(h: Array, weights: tuple[Array, Array]) -> tuple[Array, None]:
            return self._next(h, *weights), None

        h, _ = jax.lax.scan(layer, self._first(x), (self.kernel[...], self.bias[...]))
        return h if self.d_out is None else self._next(h, self.last_kernel[...], self.last_bias[...])

    def preactivations(self, x: Array, shift: Array | None = None) -> Array:
        """h^0, ..., h^depth for inputs x (..., d_in): an array (depth + 1, ..., width).

        `shift`, of that same shape, is added to the pre-activations where they arise. Its derivative at 0 is the
        derivative with respect to every layer's pre-activations at once.
        """
        shift = jnp.zeros((self.depth + 1, *x.shape[:-1], self.width), self.kernel.dtype) if shift is None else shift

        def layer(h: Array, weights: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            kernel, bias, moved = weights
            h = self._next(h, kernel, bias) + moved
            return h, h

        first = self._first(x) + shift[0]
        _, rest = jax.lax.scan(layer, first, (self.kernel[...], self.bias[...], shift[1:]))
        return jnp.concatenate([first[None], rest])

    def _first(self, x: Array) -> Array:
        return x @ self.first_kernel[...] + self.first_bias[...]

    def _next(self, h: Array, kernel: Array, bias: Array) -> Array:
        return self.phi(h) @ kernel + bias


def _stack(rule: Initializer, key: Array, depth: int, shape: tuple[int, int], dtype: Any) -> Array:
    """`depth` independent kernels, (depth, *shape), drawn one after the other to hold one layer's scratch at a time."""
    keys = jax.random.split(key, depth)
    if isinstance(keys, jax.core.Tracer):
        return jax.lax.map(lambda key: rule(key, shape, dtype), keys)
    # A loop runs what is compiled already; a map over a new function would compile for every network.
    return jnp.stack([rule(key, shape, dtype) for key in keys])


def _biases(sigma: Any, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jax.random.normal(key, shape, dtype) * jnp.asarray(sigma, dtype)
