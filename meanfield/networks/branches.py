"""Residual branches in Flax NNX that start as the identity: Fixup's, and SkipInit's or ReZero's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from ..initializers.branches import Fixup, SkipInit, skip_init

__all__ = ["FixupBranch", "SkipBranch"]


class FixupBranch(nnx.Module):
    """x + multiplier * F(x) + bias, F of `rule.layers` weight layers with a scalar bias before each layer and each phi.

    make: (kernel_init, rngs) -> a weight layer without bias; it is called once per layer, with `rule`, and for the last
    with `rule.last`, zeros, so that the branch initially adds nothing (Zhang et al. 2019). phi: the activation, a
    callable. Train the scalars (parameters `scalars` and `multiplier`) at a tenth of the learning rate.

    >>> from meanfield.initializers import fixup
    >>> def make(init, rngs):
    ...     return nnx.Linear(8, 8, use_bias=False, kernel_init=init, rngs=rngs)
    >>> branch = FixupBranch(make, rule=fixup(branches=10), phi=nnx.relu, rngs=nnx.Rngs(0))
    >>> bool((branch(jnp.ones((2, 8))) == 1).all())
    True
    """

    def __init__(self, make: Callable[..., Any], *, rule: Fixup, phi: Callable[[Array], Array], rngs: nnx.Rngs):
        inner = [make(rule, rngs) for _ in range(rule.layers - 1)]
        self.layers = nnx.List([*inner, make(rule.last, rngs)])
        # One before each layer, one before each activation, one at the end.
        self.scalars = nnx.Param(jnp.full((2 * rule.layers,), rule.bias))
        self.multiplier = nnx.Param(jnp.asarray(rule.multiplier))
        self.phi = phi

    def __call__(self, x: Array) -> Array:
        """The sum of the input and the branch; shapes are those of the layers."""
        scalars, h = self.scalars[...].astype(x.dtype), x
        phi = getattr(self.phi, "apply", self.phi)
        for i, layer in enumerate(self.layers):
            h = layer((phi(h + scalars[2 * i - 1]) if i else h) + scalars[2 * i])
        return x + self.multiplier[...].astype(x.dtype) * h + scalars[-1]


class SkipBranch(nnx.Module):
    """x + alpha F(x) with one learnable scalar (SkipInit, De & Smith 2020; ReZero, Bachlechner et al. 2021).

    branch: F, a module or a callable; rule: draws alpha, 0 by default, else e.g. `skip_init(branches=L)`.

    >>> block = SkipBranch(nnx.Linear(8, 8, rngs=nnx.Rngs(0)))
    >>> bool((block(jnp.ones((2, 8))) == 1).all())
    True
    """

    def __init__(self, branch: Callable[[Array], Array], rule: SkipInit = skip_init):
        self.branch = branch
        self.alpha = nnx.Param(jnp.asarray(rule.alpha))

    def __call__(self, x: Array) -> Array:
        """The sum of the input and alpha times the branch."""
        return x + self.alpha[...].astype(x.dtype) * self.branch(x)
