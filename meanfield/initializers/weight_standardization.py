"""Scaled weight standardization: each unit's incoming weights have mean 0 and variance gamma^2 / fan_in, always."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ..blocks.block import Activate, Serial
from ..blocks.normalization import WeightStandardized as WeightStandardizedBlock
from ..gaussian.activation import Activation
from ..interface.numbers import Scalar
from .named import gain as gain_of
from .rule import Rule, canonicalize_sigmas, fans, normal

_SMALLEST = 1e-4


@dataclass(frozen=True)
class WeightStandardized(Rule):
    """Kernels standardized over the fan-in: gamma (W - mean) / sqrt(fan_in Var W) (Brock, De & Smith 2021).

    gamma = Var[phi(z)]^(-1/2) keeps the variance of the pre-activations, since weights that sum to zero remove E[phi];
    `weight_standardized(phi)` computes it exactly. As a rule it draws kernels that are standardized initially;
    `mf.networks.WSLinear`, `WSConv` (NNX) and `mf.networks.linen.WSDense`, `WSConv` keep them standardized in training.
    The unit-wise gradient clipping used with it is `optax.adaptive_grad_clip` (eps 1e-3), the same formula on dense
    kernels and on two- and three-dimensional convolutions.

    `block(phi)` is `mf.Activate(phi) >> mf.WeightStandardized(gamma, sigma_b)`, whose variance map omits E[phi]^2.

    >>> print(f"{weight_standardized('relu').gamma:.6f}")
    1.712859
    """

    gamma: Scalar = 1.0
    sigma_b: Scalar = 0.0

    def __post_init__(self) -> None:
        canonicalize_sigmas(self, "gamma", "sigma_b")

    @property
    def sigma_w(self) -> Scalar:
        """gamma: sigma_w^2 = fan_in E[W^2]."""
        return self.gamma

    def block(self, phi: str | Callable | Activation, shape: Sequence[int] | None = None) -> Serial:
        """The block of layers that stay standardized.

        >>> import meanfield as mf
        >>> round(float(mf.variance_map(weight_standardized("relu").block("relu"), 1.0)), 9)
        1.0
        """
        return Activate(phi) >> WeightStandardizedBlock(self.sigma_w_at(shape), self.sigma_b)

    def standardize(self, kernel: Array) -> Array:
        """The standardized kernel of a kernel (*window, c_in, c_out), unit by unit over all axes but the last.

        fan_in Var W below 1e-4 counts as 1e-4, as published: a unit of equal weights becomes 0.
        """
        axes = tuple(range(kernel.ndim - 1))
        fan_in = fans(kernel.shape)[0]
        centred = kernel - jnp.mean(kernel, axes, keepdims=True)
        size = fan_in * jnp.mean(centred**2, axes, keepdims=True)
        return jnp.asarray(self.gamma, kernel.dtype) * centred * lax.rsqrt(jnp.maximum(size, _SMALLEST))

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A standardized Gaussian kernel."""
        return self.standardize(normal(key, shape, dtype, out_sharding))

    def gain(self, shape: Sequence[int]) -> float:
        """1 on every shape with a fan_in of 2 or more; a single weight standardized is 0."""
        return 1.0 if fans(shape)[0] > 1 else 0.0


def weight_standardized(phi: str | Callable | Activation = "linear", sigma_b: Any = 0.0) -> WeightStandardized:
    """`WeightStandardized` with gamma = Var[phi]^(-1/2) at q = 1, exact; "linear" gives 1, for a network's first layer.

    Published constants are Monte Carlo estimates, off by 1e-3.

    >>> print(f"{weight_standardized('silu').gamma:.6f}")
    1.787187
    """
    return WeightStandardized(gain_of(phi, "variance").sigma_w, sigma_b)
