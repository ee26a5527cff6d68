"""Orthogonal weights, and their counterpart for convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..errors import InputError
from ..interface.arguments import switch
from ..interface.numbers import Scalar
from .rule import Rule, canonicalize_sigmas, fans

_JAX = jax.nn.initializers


@dataclass(frozen=True)
class Orthogonal(Rule):
    """sigma_w times a Haar-random matrix with orthonormal rows or columns (Saxe et al. 2014), as JAX's `orthogonal`.

    The kernel of a convolution is treated as the matrix (k k c_in, c_out). If fan_in < fan_out the matrix can only have
    orthonormal rows, which preserve the norm and not the variance per unit: it realizes sigma_w sqrt(fan_in / fan_out).
    `rescaled` multiplies by sqrt(fan_out / fan_in) there, so that sigma_w is realized on every shape.

    >>> print(f"{Orthogonal().sigma_w_at((17, 300))**2:.4f} {Orthogonal(rescaled=True).sigma_w_at((17, 300))}")
    0.0567 1.0
    """

    sigma_w: Scalar = 1.0
    sigma_b: Scalar = 0.0
    rescaled: bool = False

    def __post_init__(self) -> None:
        canonicalize_sigmas(self, "sigma_w", "sigma_b")
        switch("rescaled", self.rescaled)

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`, by `jax.nn.initializers.orthogonal`."""
        scale = self.sigma_w * (1 / self._loss(shape) if self.rescaled else 1.0)
        return placed(_drawn(_JAX.orthogonal(scale), key, shape, dtype), out_sharding)

    def _loss(self, shape: Sequence[int]) -> float:
        rows, columns = fans(shape)[0], shape[-1]
        return math.sqrt(min(1.0, rows / columns))

    def gain(self, shape: Sequence[int]) -> float:
        """sqrt(fan_in / c_out) where c_out exceeds fan_in, unless rescaled."""
        return 1.0 if self.rescaled else self._loss(shape)


@dataclass(frozen=True)
class DeltaOrthogonal(Rule):
    """A convolution that is an orthogonal matrix at the centre of its window and zero elsewhere (Xiao et al. 2018).

    Every spatial mode propagates alike, whereas extended kernels damp high frequencies. Kernels (*window, c_in, c_out)
    of one to three window axes with c_in <= c_out, equal to `jax.nn.initializers.delta_orthogonal`; the theory's
    sigma_w^2 is c_in E[W^2] at the centre, sigma_w^2 c_in / c_out. `rescaled` multiplies by sqrt(c_out / c_in), so
    that sigma_w is realized, and also serves c_in > c_out (orthonormal columns) and, as an orthogonal matrix, dense
    kernels (c_in, c_out). Raises InputError for an unsupported shape.

    >>> [round(DeltaOrthogonal(rescaled=r).sigma_w_at((3, 3, 8, 64)) ** 2, 6) for r in (False, True)]
    [0.125, 1.0]
    """

    sigma_w: Scalar = 1.0
    sigma_b: Scalar = 0.0
    rescaled: bool = False

    def __post_init__(self) -> None:
        canonicalize_sigmas(self, "sigma_w", "sigma_b")
        switch("rescaled", self.rescaled)

    def kernel(self, key: Array, shape: tuple[int, ...], dtype: Any, out_sharding: Any) -> Array:
        """A kernel of `shape`; the centre of an even window is (k - 1) // 2, as in JAX."""
        if not self.rescaled:
            self.gain(shape)
            return placed(_drawn(_JAX.delta_orthogonal(self.sigma_w), key, shape, dtype), out_sharding)
        matrix = Orthogonal(self.sigma_w, rescaled=True).kernel(key, shape[-2:], dtype, None)
        centre = tuple((k - 1) // 2 for k in shape[:-2])
        return placed(jnp.zeros(shape, dtype).at[centre].set(matrix) if centre else matrix, out_sharding)

    def gain(self, shape: Sequence[int]) -> float:
        """sqrt(c_in / c_out), unless rescaled."""
        if self.rescaled:
            return 1.0
        c_in, c_out = shape[-2:]
        if not 3 <= len(shape) <= 5 or c_in > c_out:
            raise InputError(
                f"shape={tuple(shape)}: delta_orthogonal needs a kernel (*window, c_in, c_out) with one to three "
                "window axes and c_in <= c_out; delta_orthogonal(rescaled=True) serves every kernel"
            )
        return math.sqrt(c_in / c_out)


def _drawn(rule: Any, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    # Half precisions have no QR decomposition.
    return rule(key, shape, jnp.promote_types(dtype, jnp.float32)).astype(dtype)


def placed(weights: Array, out_sharding: Any) -> Array:
    """The array on `out_sharding`, where one is given: JAX's orthogonal rules take none themselves."""
    return weights if out_sharding is None else jax.sharding.reshard(weights, out_sharding)
