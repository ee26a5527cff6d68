"""How each shipped block is realized as a layer of a finite network; your own block defines `finite` instead.

The registry below has one function per block, (block, x, layer) -> activations after it, with x (inputs, ..., channels)
and positions or tokens on the axes before the last. A block that defines `finite(self, x, layer)` needs no entry.
"""

from __future__ import annotations

from functools import partial, singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike

from ..blocks.attention import Attention
from ..blocks.block import Activate, Block, Dense, Serial, sub_blocks
from ..blocks.convolution import Convolution
from ..blocks.gated import GLU
from ..blocks.noise import Dropout, Noise, NReLU
from ..blocks.normalization import BatchNorm, LayerNorm, RMSNorm, WeightStandardized
from ..blocks.residual import Repeat, Residual, Sum
from ..errors import InputError
from ..initializers.weight_standardization import WeightStandardized as Standardized
from .layer import Layer

__all__ = ["first_layer", "positions", "read_out", "realize"]


def realize(block: Block, x: Array, layer: Layer) -> Array:
    """Activations after one layer of a block: by the block's own `finite(x, layer)`, else by the registry.

    InputError for a block of your own without `finite`.

    >>> import meanfield as mf
    >>> layer = Layer(width=4)
    >>> layer.declare(partial(realize, mf.Residual(mf.MLP("tanh", 1.5))), jnp.ones((2, 4)))
    (2, 4)
    """
    own = getattr(block, "finite", None)
    return _shipped(block, x, layer) if own is None else own(x, layer)


@singledispatch
def _shipped(block: Block, x: Array, layer: Layer) -> Array:
    raise InputError(
        f"block={block!r} has no finite network; define finite(self, x, layer) on {type(block).__name__}, "
        "which returns the activations after it"
    )


def first_layer(block: Block) -> Dense:
    """The layer that embeds the inputs: sigma_w and sigma_b are those of the block's last layer that has a sigma_w.

    Dense(1, 0) where no layer has one.

    >>> import meanfield as mf
    >>> first_layer(mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", 1.5, 0.3)))
    Dense(sigma_w=1.5, sigma_b=0.3)
    """
    for part in reversed(list(sub_blocks(block))):
        sigma_w = getattr(part, "sigma_w", None)
        if sigma_w is not None:
            return Dense(sigma_w, getattr(part, "sigma_b", 0.0))
    return Dense()


def read_out(block: Block, x: Array, layer: Layer, d_out: int) -> Array:
    """Outputs (inputs, d_out) from pre-activations: one more block, whose last layer has d_out units.

    A block that does not end with random weights (a residual one) is followed by a dense layer like the first.
    Positions are averaged.
    """
    chain = block.blocks if isinstance(block, Serial) else (block,)
    if not chain[-1].independent_weights:
        chain = (first_layer(block),)
    for part in chain[:-1]:
        x = realize(part, x, layer)
    layer.width = d_out
    x = realize(chain[-1], x, layer)
    axes = len(positions(block))
    return x.mean(tuple(range(-1 - axes, -1))) if axes else x


def positions(block: Block) -> tuple[int, ...]:
    """The minimal numbers of positions or tokens on the axes between inputs and channels; () for none.

    A block of your own may define an attribute `positions`.

    >>> import meanfield as mf
    >>> positions(mf.Activate("tanh") >> mf.Conv("uniform", size=5)), positions(mf.Dense())
    ((5,), ())
    """
    found = [own for part in sub_blocks(block) if (own := _own_positions(part))]
    if len({len(own) for own in found}) > 1:
        raise InputError(f"block={block!r} has convolutions with different numbers of axes; give them the same number")
    return tuple(map(max, zip(*found, strict=True)))


def _own_positions(part: Block) -> tuple[int, ...]:
    if isinstance(part, Convolution):
        return np.shape(part.profile)
    return (part.tokens,) if isinstance(part, Attention) else getattr(part, "positions", ())


@_shipped.register
def _(block: Serial, x: Array, layer: Layer) -> Array:
    for part in block.blocks:
        x = realize(part, x, layer)
    return x


@_shipped.register
def _(block: Residual, x: Array, layer: Layer) -> Array:
    return jnp.asarray(block.skip * x + block.scale * realize(block.branch, x, layer))


@_shipped.register
def _(block: Sum, x: Array, layer: Layer) -> Array:
    first, *rest = (realize(branch, x, layer) for branch in block.branches)
    return sum(rest, first)


@_shipped.register
def _(block: Repeat, x: Array, layer: Layer) -> Array:
    return layer.repeat(partial(realize, block.block), block.depth, x)


@_shipped.register
def _(block: Activate, x: Array, layer: Layer) -> Array:
    return block.phi.apply(x)


@_shipped.register
def _(block: Dense, x: Array, layer: Layer) -> Array:
    return layer.dense(x, block.sigma_w, block.sigma_b)


@_shipped.register
def _(block: WeightStandardized, x: Array, layer: Layer) -> Array:
    rule = Standardized(block.gain, block.sigma_b)
    kernel = layer.parameter("kernel", (x.shape[-1], layer.width), rule)
    return x @ rule.standardize(kernel) + layer.biases(block.sigma_b)


@_shipped.register
def _(block: Convolution, x: Array, layer: Layer) -> Array:
    """A convolution with circular padding, the centre of the window at size // 2."""
    window = jnp.shape(block.profile)
    rule = partial(_filters, block.sigma_w, block.profile)
    kernel = layer.parameter("kernel", (*window, x.shape[-1], layer.width), rule)
    axes = len(window)
    around = [(size // 2, size - 1 - size // 2) for size in window]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - axes - 1) + around + [(0, 0)], mode="wrap")
    image, kernels = (0, axes + 1, *range(1, axes + 1)), (axes + 1, axes, *range(axes))
    channels_last = lax.ConvDimensionNumbers(image, kernels, image)
    flat = padded.reshape(-1, *padded.shape[-1 - axes :])
    out = lax.conv_general_dilated(flat, kernel.astype(x.dtype), (1,) * axes, "VALID", dimension_numbers=channels_last)
    return out.reshape(*x.shape[:-1], layer.width) + layer.biases(block.sigma_b)


def _filters(sigma_w: Any, profile: Any, key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Entries of variance sigma_w^2 profile / c_in."""
    deviation = jnp.asarray(sigma_w, dtype) * jnp.sqrt(jnp.asarray(profile, dtype) / shape[-2])
    return jax.random.normal(key, shape, dtype) * deviation[..., None, None]


@_shipped.register
def _(block: GLU, x: Array, layer: Layer) -> Array:
    """phi(u) v, where u and v are the two halves of the channels of one projection."""
    if x.shape[-1] % 2:
        raise InputError(f"width={x.shape[-1]} must be even: {block!r} gates half of the units by the other half")
    u, v = jnp.split(x, 2, -1)
    return block.phi.apply(u) * v


@_shipped.register
def _(block: Attention, x: Array, layer: Layer) -> Array:
    if layer.values is not None and x.shape[-2] != block.tokens:
        raise InputError(f"x has {x.shape[-2]} tokens, but the block has tokens={block.tokens}; give as many")
    return jnp.broadcast_to(layer.dense(x.mean(-2, keepdims=True), block.sigma_v), (*x.shape[:-1], layer.width))


@_shipped.register
def _(block: LayerNorm, x: Array, layer: Layer) -> Array:
    return _normalized(x - x.mean(-1, keepdims=True), -1, block.gamma, layer)


@_shipped.register
def _(block: RMSNorm, x: Array, layer: Layer) -> Array:
    return _normalized(x, -1, block.gamma, layer)


@_shipped.register
def _(block: BatchNorm, x: Array, layer: Layer) -> Array:
    """Statistics are always over the batch, the first axis of x."""
    if layer.values is not None and block.batch_size not in (None, len(x)):
        raise InputError(f"x has {len(x)} inputs, but the block has batch_size={block.batch_size}; give as many")
    return _normalized(x - x.mean(0), 0, block.gamma, layer)


def _normalized(x: Array, axis: int, gamma: Any, layer: Layer) -> Array:
    """x over the root of its mean square, times a trained scale per channel, initially gamma; 0 stays 0."""
    square = jnp.mean(x**2, axis, keepdims=True)
    inverse = jnp.where(square > 0, lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    scale = layer.parameter("scale", x.shape[-1:], lambda key, shape, dtype: jnp.full(shape, gamma, dtype))
    return x * inverse * scale


@_shipped.register
def _(block: Dropout, x: Array, layer: Layer) -> Array:
    if layer.deterministic:
        return x
    kept = 1 - jnp.asarray(block.rate, x.dtype)
    return jnp.where(jax.random.bernoulli(layer.key(), kept, x.shape), x / kept, 0.0)


@_shipped.register
def _(block: Noise, x: Array, layer: Layer) -> Array:
    times, plus = _normals(x, layer), _normals(x, layer)
    return x * (1 + block.multiplicative * times) + block.additive * plus


@_shipped.register
def _(block: NReLU, x: Array, layer: Layer) -> Array:
    return jnp.maximum(0.0, x + jnp.sqrt(jax.nn.sigmoid(x)) * _normals(x, layer))


def _normals(x: Array, layer: Layer) -> Array:
    """Independent standard normals for every input and unit; zeros where noise is off."""
    return jnp.zeros_like(x) if layer.deterministic else jax.random.normal(layer.key(), x.shape, x.dtype)
