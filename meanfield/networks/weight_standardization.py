"""Weight-standardized layers in Flax NNX: the kernel is standardized on every call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import Array

from ..initializers.weight_standardization import WeightStandardized

__all__ = ["WSConv", "WSLinear"]


@dataclass(frozen=True)
class Standardizing:
    """The hook that Flax calls before each product: standardizes the kernel; compares by value, so layers compile once.

    NNX passes (input, kernel, bias) as one tuple, Linen as three arguments.
    """

    rule: WeightStandardized

    def __call__(self, *arrays: Any, dtype: Any = None, **options: Any) -> Any:
        x, kernel, *rest = arrays[0] if isinstance(arrays[0], tuple) else arrays
        return promote_dtype((x, self.rule.standardize(kernel), *rest), dtype=dtype, **options)


class _Standardized(nnx.Module):
    """A layer with a standardized kernel, then a gain and a bias per unit."""

    def __init__(self, layer: nnx.Module, rule: WeightStandardized, features: int, use_bias: bool, rngs: nnx.Rngs):
        self.layer = layer
        self.gain = nnx.Param(jnp.ones((features,)))
        self.bias = nnx.Param(rule(rngs.params(), (features,))) if use_bias else None

    def __call__(self, x: Array) -> Array:
        """gain * (x . standardized kernel) + bias."""
        y = self.layer(x)
        y = y * self.gain[...].astype(y.dtype)
        return y if self.bias is None else y + self.bias[...].astype(y.dtype)


class WSLinear(_Standardized):
    """`nnx.Linear` with scaled weight standardization (Brock, De & Smith 2021).

    Its input is phi of unit-variance pre-activations: `rule` is `weight_standardized(phi)`, or `weight_standardized()`,
    gamma = 1, for the first layer. Each unit has a learnable gain, initially 1. Further options are `nnx.Linear`'s.

    >>> import jax
    >>> from meanfield.initializers import weight_standardized
    >>> layer = WSLinear(500, 300, rule=weight_standardized("relu"), rngs=nnx.Rngs(0))
    >>> h = layer(jax.nn.relu(jax.random.normal(jax.random.key(1), (200, 500))))
    >>> abs(float(h.var()) - 1) < 0.05
    True
    """

    def __init__(
        self, in_features: int, out_features: int, *, rule: WeightStandardized, use_bias: bool = True,
        rngs: nnx.Rngs, **options: Any,
    ):  # fmt: skip
        layer = nnx.Linear(
            in_features, out_features, use_bias=False, promote_dtype=Standardizing(rule), rngs=rngs, **options
        )
        super().__init__(layer, rule, out_features, use_bias, rngs)


class WSConv(_Standardized):
    """`nnx.Conv` with scaled weight standardization, over the window and the channels of a group; see `WSLinear`.

    >>> from meanfield.initializers import weight_standardized
    >>> conv = WSConv(8, 16, (3, 3), rule=weight_standardized("relu"), feature_group_count=2, rngs=nnx.Rngs(0))
    >>> conv(jnp.ones((2, 5, 5, 8))).shape
    (2, 5, 5, 16)
    """

    def __init__(
        self, in_features: int, out_features: int, kernel_size: int | tuple[int, ...], *, rule: WeightStandardized,
        use_bias: bool = True, rngs: nnx.Rngs, **options: Any,
    ):  # fmt: skip
        layer = nnx.Conv(
            in_features, out_features, kernel_size, use_bias=False, promote_dtype=Standardizing(rule), rngs=rngs,
            **options,
        )  # fmt: skip
        super().__init__(layer, rule, out_features, use_bias, rngs)
