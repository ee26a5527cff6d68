"""`Network`: the finite network of a block, its layers one stack of parameters scanned over the depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from ..blocks.block import Block, check_block
from ..errors import InputError, shown
from ..interface.arguments import MOST_LAYERS, float_dtype, function, instance_of, random_key, whole
from ..interface.settings import in_own_settings
from .finite import first_layer, positions, read_out, realize
from .layer import Layer

__all__ = ["Network", "parameter_count"]

Initializer = Callable[..., Array]
MOST_PARAMETERS = 2**33
_PARTS = ("first_", "", "last_")


class Network(nnx.Module):
    """The finite Flax NNX network whose infinite-width limit a block describes; any block, including your own.

    h^0 = W x + b with the sigmas of the block's last layer that has a sigma_w, then h^{l+1} = block(h^l) for l < depth,
    each with its own parameters. `depth` counts the blocks after the first layer, as `mf.trajectory` does, so that row
    l of `preactivations` is its index l. With `d_out`, a readout follows: one more block whose last layer has d_out
    units, or a dense layer after a block that does not end with random weights (a residual one).

    block: any block; your own defines `finite(self, x, layer)`, see `meanfield.networks.layer`. width: units
    per layer; d_in, d_out: sizes of inputs and outputs. rngs: `nnx.Rngs`, of which `params` is used, and `noise` by
    blocks with dropout or noise. kernel_init: another rule for the weights, called (key, shape, dtype). dtype: of the
    parameters.

    Inputs are (..., d_in), with positions or tokens before the last axis for convolutions and attention (the outputs
    are then averaged over them); batch normalization takes its statistics over the first axis of each batch.
    Parameters: `first_kernel`, `first_bias`; the layers', stacked along a leading axis that counts layers, named in
    `stacked` (`kernel`, `bias`, `scale`, a second one `kernel_2`); `last_...` for the readout. They are scanned, so
    that compile time does not grow with the depth. InputError for a block without finite realization or one that
    changes the number of units, and a size that is not a positive integer.

    >>> import meanfield as mf
    >>> block = mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3))
    >>> net = Network(block, depth=20, width=50, d_in=64, d_out=10, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((3, 64))
    >>> net(x).shape, net.preactivations(x).shape, net.kernel.shape
    ((3, 10), (21, 3, 50), (20, 50, 50))
    """

    @in_own_settings
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
        dtype: DTypeLike = jnp.float32,
    ):
        check_block(block)
        whole("depth", depth, least=0, below=MOST_LAYERS)
        for name, size in (("width", width), ("d_in", d_in), ("d_out", d_out)):
            if not (name == "d_out" and size is None):
                whole(name, size)
        # A block is a pytree: its leaves may be traced.
        self.block = nnx.data(block)
        instance_of("rngs", rngs, (nnx.Rngs,))
        if kernel_init is not None:
            function("kernel_init", kernel_init, "give a rule (key, shape, dtype), like mf.initializers.he")
        float_dtype("dtype", dtype)
        self.depth, self.width, self.d_in, self.d_out = int(depth), int(width), int(d_in), d_out
        self.deterministic = False
        first, body, last = _declared(block, width, d_in, d_out, kernel_init, dtype)
        _demand_memory(first, body, last, depth, width)
        self.stacked = tuple(body.declared)
        stacks = {name: declared.times(depth) for name, declared in body.declared.items()}
        self._stack_axes = tuple((name, declared.stacked) for name, declared in stacks.items())
        for name, declared in {**first.declared, **stacks, **last.declared}.items():
            setattr(self, name, nnx.Param(declared.rule(rngs.params(), declared.shape, dtype)))
        self.noise = nnx.data(rngs.noise.fork() if body.noisy else None)
        self._names = tuple(tuple(layer.declared) for layer in (first, body, last))

    @property
    def stack_axes(self) -> dict[str, int]:
        """How many first axes of each stacked parameter count layers: 2 inside an `mf.Repeat`, else 1."""
        return dict(self._stack_axes)

    @property
    def positions(self) -> tuple[int, ...]:
        """The minimal numbers of positions or tokens of an input, () if the block has none."""
        return positions(self.block)

    @in_own_settings
    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """The outputs (..., d_out) for inputs (..., d_in); without a readout, the last pre-activations (..., width).

        key: for the noise, if the block has any; None takes the next key of the stream `noise`.
        """
        keys = self._noise_keys(key)

        def layer(h: Array, part: tuple[dict[str, Array], Array | None]) -> tuple[Array, None]:
            return self._next(h, *part), None

        h, _ = jax.lax.scan(layer, self._first(x), (self._stacks(), _part(keys, slice(self.depth))))
        return h if self.d_out is None else self._last(h, self.d_out, _part(keys, self.depth))

    @in_own_settings
    def preactivations(self, x: Array, shift: Array | None = None, *, key: Array | None = None) -> Array:
        """h^0, ..., h^depth for inputs x (..., d_in): an array (depth + 1, ..., width).

        `shift`, of the same shape, is added to the pre-activations of every layer. The derivative in it at 0 is that in
        all layers' pre-activations at once. key: of the noise, as for a call.
        """
        first = self._first(x) if shift is None else self._first(x) + shift[0]
        shifts, keys = None if shift is None else shift[1:], _part(self._noise_keys(key), slice(self.depth))

        def layer(h: Array, part: tuple[dict[str, Array], Array | None, Array | None]) -> tuple[Array, Array]:
            values, shift, noise = part
            after = self._next(h, values, noise)
            after = after if shift is None else after + shift
            return after, after

        _, rest = jax.lax.scan(layer, first, (self._stacks(), shifts, keys))
        return jnp.concatenate([first[None], rest])

    def _next(self, h: Array, values: dict[str, Array], noise: Array | None) -> Array:
        return realize(self.block, h, self._layer(values, noise)).astype(h.dtype)

    def _first(self, x: Array) -> Array:
        if not (hasattr(x, "shape") and hasattr(x, "dtype")) or np.ndim(x) < 1 or np.shape(x)[-1] != self.d_in:
            raise InputError(f"{shown('x', x)} must be an array (..., {self.d_in}), as d_in={self.d_in} says")
        return realize(first_layer(self.block), x, replace(self._layer(self._values(0), None), prefix="first_"))

    def _last(self, h: Array, d_out: int, noise: Array | None) -> Array:
        layer = replace(self._layer(self._values(2), noise), prefix="last_")
        return read_out(self.block, h, layer, d_out).astype(h.dtype)

    def _layer(self, values: dict[str, Array], noise: Array | None) -> Layer:
        return Layer(self.width, values=values, noise=noise)

    def _values(self, part: int) -> dict[str, Array]:
        return {name: getattr(self, name)[...] for name in self._names[part]}

    def _stacks(self) -> dict[str, Array]:
        return self._values(1)

    def _noise_keys(self, key: Array | None) -> Array | None:
        """A key for every layer and the readout, (depth + 1,); None without noise."""
        if self.noise is None or self.deterministic:
            return None
        return jax.random.split(self.noise() if key is None else random_key("key", key), self.depth + 1)


def _declared(
    block: Block, width: int, d_in: int, d_out: int | None, kernel_init: Initializer | None, dtype: DTypeLike
) -> tuple[Layer, Layer, Layer]:
    """The first layer, one block and the readout, each with its declared parameters."""
    first, body, last = (Layer(width, dtype, kernel_init, prefix=prefix) for prefix in _PARTS)
    first.declare(partial(realize, first_layer(block)), jax.ShapeDtypeStruct((1, d_in), dtype))
    inside = jax.ShapeDtypeStruct((2, *positions(block), width), dtype)
    after = body.declare(partial(realize, block), inside)
    if after != inside.shape:
        raise InputError(f"block={block!r} turns {width} units into {after[-1]}; end it with a layer, as mf.Dense")
    if d_out is not None:
        last.declare(partial(read_out, block, d_out=d_out), inside)
    return first, body, last


def parameter_count(block: Block, *, depth: int, width: int, d_in: int, d_out: int) -> int:
    """The number of parameters of a network.

    >>> import meanfield as mf
    >>> parameter_count(mf.MLP("tanh", 1.0), depth=4, width=32, d_in=64, d_out=10)
    6634
    """
    return _count(*_declared(block, width, d_in, d_out, None, jnp.float32), depth)


def _demand_memory(first: Layer, body: Layer, last: Layer, depth: int, width: int) -> None:
    count = _count(first, body, last, depth)
    if count > MOST_PARAMETERS:
        raise InputError(f"{shown('width', width)} makes {count:.2g} parameters; give sizes of at most 2^33 together")


def _count(first: Layer, body: Layer, last: Layer, depth: int) -> int:
    ends = [*first.declared.values(), *last.declared.values()]
    return sum(math.prod(d.shape) for d in ends) + depth * sum(math.prod(d.shape) for d in body.declared.values())


def _part(keys: Array | None, at: int | slice) -> Array | None:
    return None if keys is None else keys[at]
