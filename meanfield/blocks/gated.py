"""Gated units: one projection multiplied by an activation of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ..gaussian.named import activation
from .block import Activate, Pointwise, as_activation, check_parameters
from .kernel import Kernel


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GLU(Pointwise):
    """The gated linear unit phi(u) v, u and v two projections by layers of the same sigmas (Shazeer 2020).

    q -> E[phi^2] q, q12 -> E[phi phi] q12. "silu" makes SwiGLU, "gelu" GEGLU, "sigmoid" the first GLU; a `Dense` comes
    before and after. phi is what `mf.activation` takes.

    >>> import meanfield as mf
    >>> print(f"{mf.variance_map(mf.GLU('linear') >> mf.Dense(1.0), 3.0):.1f}")
    9.0
    """

    phi: Any
    integrates_mixtures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "phi", as_activation(self.phi))

    def check(self) -> None:
        activation(self.phi)

    def check_numbers(self, single: bool) -> None:
        check_parameters(self.phi, single)

    def pair(self, kernel: Kernel) -> Kernel:
        gate = Activate(self.phi).pair(kernel)
        gap, length = None, kernel.length
        if kernel.gap is not None:
            # The gap of a product of covariances, without a subtraction; to first order q12 is the length.
            q12 = length if kernel.infinitesimal else length - kernel.gap
            gap = gate.length * kernel.gap + gate.gap * q12
        none = jnp.zeros_like(gate.q1)
        return gate.replace(
            q1=gate.q1 * kernel.q1, q2=gate.q2 * kernel.q2, gap=gap, error=gate.error * kernel.q1, m1=none, m2=none
        )
