"""Weight-standardized layers in Flax Linen, beside those in NNX."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
from jax import Array

from ..initializers.weight_standardization import WeightStandardized
from .weight_standardization import Standardizing

__all__ = ["WSConv", "WSDense"]


def _scaled(module: nn.Module, y: Array, rule: WeightStandardized, use_bias: bool) -> Array:
    y = y * module.param("gain", nn.initializers.ones_init(), y.shape[-1:]).astype(y.dtype)
    return y + module.param("bias", rule, y.shape[-1:]).astype(y.dtype) if use_bias else y


class WSDense(nn.Module):
    """`nn.Dense` with scaled weight standardization (Brock, De & Smith 2021), as `meanfield.networks.WSLinear`.

    options: a dict of `nn.Dense`'s own.

    >>> import jax, jax.numpy as jnp
    >>> from meanfield.initializers import weight_standardized
    >>> layer = WSDense(300, rule=weight_standardized("relu"))
    >>> x = jax.nn.relu(jax.random.normal(jax.random.key(1), (200, 500)))
    >>> abs(float(layer.init_with_output(jax.random.key(0), x)[0].var()) - 1) < 0.05
    True
    """

    features: int
    rule: WeightStandardized
    use_bias: bool = True
    options: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """gain * (x . standardized kernel) + bias."""
        layer = nn.Dense(
            self.features, use_bias=False, promote_dtype=Standardizing(self.rule), **dict(self.options or {})
        )
        return _scaled(self, layer(x), self.rule, self.use_bias)


class WSConv(nn.Module):
    """`nn.Conv` with scaled weight standardization; see `WSDense`. options: a dict of `nn.Conv`'s own.

    >>> import jax, jax.numpy as jnp
    >>> from meanfield.initializers import weight_standardized
    >>> layer = WSConv(16, (3, 3), rule=weight_standardized("relu"), options={"feature_group_count": 2})
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 5, 8)))[0].shape
    (2, 5, 5, 16)
    """

    features: int
    kernel_size: Any
    rule: WeightStandardized
    use_bias: bool = True
    options: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """gain * (x * standardized kernel) + bias."""
        layer = nn.Conv(
            self.features, self.kernel_size, use_bias=False, promote_dtype=Standardizing(self.rule),
            **dict(self.options or {}),
        )  # fmt: skip
        return _scaled(self, layer(x), self.rule, self.use_bias)
