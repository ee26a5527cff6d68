"""`Kernel`: the second moments of a pair of inputs, as a layer hands them to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Kernel:
    """Variances q1, q2 of a pair's pre-activations and their gap = sqrt(q1 q2) - q12 = sqrt(q1 q2) (1 - c).

    The gap is carried, not the covariance, so that 1 - c keeps its digits down to 1e-16 and below: an affine layer
    scales it, and no layer has to subtract to find it. Scalars, or arrays of one shape.

    gap None       : a single input; blocks map q1 alone
    equal          : (static) q2 is q1 and the covariance is not negative, which halves the work
    infinitesimal  : (static) the pair is at distance zero and `gap` is its first-order germ, which every block maps
                     linearly. Its factor through a block is chi, the perpendicular susceptibility.
    gaussian       : (static) whether the pre-activations are Gaussian, which an activation must know
    error          : a bound on q1's absolute error from quadrature in the last block
    """

    q1: Any
    q2: Any
    gap: Any = None
    error: Any = 0.0
    equal: bool = field(default=False, metadata={"static": True})
    infinitesimal: bool = field(default=False, metadata={"static": True})
    gaussian: bool = field(default=True, metadata={"static": True})

    @classmethod
    def single(cls, q: Array) -> Kernel:
        """One input of variance q, without a companion."""
        return cls(q, q, None, jnp.zeros_like(q), equal=True)

    @classmethod
    def pair(cls, q: Array, gap: Array) -> Kernel:
        """Two inputs of one variance q, `gap` <= q apart."""
        return cls(q, q, gap, jnp.zeros_like(q), equal=True)

    @classmethod
    def coincident(cls, q: Array) -> Kernel:
        """Two inputs that coincide, with a unit germ of a gap: a block maps it to chi."""
        return cls(q, q, jnp.ones_like(q), jnp.zeros_like(q), equal=True, infinitesimal=True)

    @property
    def length(self) -> Array:
        """sqrt(q1 q2)."""
        return self.q1 if self.equal else jnp.sqrt(self.q1 * self.q2)

    @property
    def one_minus_c(self) -> Array:
        """1 - c = gap / sqrt(q1 q2); NaN where a length is 0."""
        return self.gap / self.length

    def replace(self, **changes: Any) -> Kernel:
        """A copy with some fields changed."""
        return replace(self, **changes)
