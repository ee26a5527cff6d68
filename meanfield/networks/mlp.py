"""The fully connected network, `Network` of an `mf.MLP`."""

from __future__ import annotations

from typing import Any

from ..blocks.block import Block, check_block, mlp_parts
from ..gaussian.activation import Activation
from ..interface.arguments import whole
from .network import Network

__all__ = ["MLP"]


class MLP(Network):
    """The finite Flax NNX network whose infinite-width limit is `mf.MLP` (Poole et al. 2016).

    h^0 = W x + b and h^{l+1} = W phi(h^l) + b for l < depth, with W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2)
    in every layer; with `d_out` one more such block is the readout. Arguments and methods are
    `Network`'s; block: an `mf.MLP(phi, sigma_w=, sigma_b=)`, depth >= 1.

    Parameters: `first_kernel` (d_in, width), `first_bias` (width,); `kernel` (depth, width, width), `bias` (depth,
    width); `last_kernel` (width, d_out), `last_bias` (d_out,) with a readout. InputError for a block of another kind
    and a size that is not a positive integer.

    >>> import jax.numpy as jnp
    >>> import meanfield as mf
    >>> from flax import nnx
    >>> block = mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3)
    >>> net = MLP(block, depth=20, width=50, d_in=64, d_out=10, rngs=nnx.Rngs(0))
    >>> x = jnp.ones((3, 64))
    >>> net(x).shape, net.preactivations(x).shape
    ((3, 10), (21, 3, 50))
    """

    def __init__(self, block: Block, *, depth: int, **options: Any):
        check_block(block)
        mlp_parts(block)
        super().__init__(block, depth=whole("depth", depth), **options)

    @property
    def phi(self) -> Activation:
        """The activation."""
        return mlp_parts(self.block)[0]
