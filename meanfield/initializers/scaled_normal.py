"""Independent Gaussian weights whose variance is sigma^2 / fan_in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..theory.block import check_one_sigma


@dataclass(frozen=True)
class ScaledNormal:
    """Weights W ~ N(0, sigma^2 / fan_in), the ensemble of Poole et al. (2016).

    sigma is a standard deviation, dimensionless; fan_in is the product of all axes but the last, which is right for
    dense kernels (d_in, d_out) and for convolution kernels (*window, c_in, c_out). A shape with fewer than two axes,
    a bias, has fan_in 1. Two rules are equal when their sigmas are, and a rule is hashable, so a module that holds
    one can be compiled. A negative or non-finite sigma is an InputError. The tails end where the generator's do,
    near 5.4 standard deviations in float32.

    >>> kernel = ScaledNormal(1.5)(jax.random.key(0), (400, 300))
    >>> abs(float(kernel.std()) * 400**0.5 - 1.5) < 0.02
    True
    >>> ScaledNormal(1.5) == ScaledNormal(1.5), len({ScaledNormal(1.5), ScaledNormal(1.5)})
    (True, 1)
    """

    sigma: Any = 1.0

    def __post_init__(self) -> None:
        check_one_sigma("sigma", self.sigma)
        if not isinstance(self.sigma, jax.core.Tracer):
            # A plain number, whatever it came as: rules of equal sigma are equal, and hashable.
            object.__setattr__(self, "sigma", float(self.sigma))

    def __call__(self, key: Array, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
        """Draw an array of `shape` and `dtype`; `out_sharding`, where given, places it on a mesh."""
        fan_in = math.prod(shape[:-1]) if len(shape) > 1 else 1
        place = {} if out_sharding is None else {"out_sharding": out_sharding}
        normal = jax.random.normal(key, tuple(shape), dtype, **place)
        # A sigma in float64 must not widen the weights.
        return normal * jnp.asarray(self.sigma / math.sqrt(max(fan_in, 1)), dtype)
