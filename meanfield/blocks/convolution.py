"""Convolutions: the kernel's positions, averaged under the variance profile of the filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..errors import InputError, shown
from ..interface.arguments import MOST_LAYERS, one_of, real_array, sigma, whole
from ..interface.numbers import Numbers, Scalar
from ..interface.precision import is_traced
from .block import Block, biased
from .kernel import Kernel, root


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Convolution(Block):
    """A convolution with circular padding: q(x) -> sigma_w^2 sum_k v_k q(x + k) + sigma_b^2 (Xiao et al. 2018).

    profile : the variance profile v of the filter, weights >= 0 that sum to 1, one axis per spatial axis; its
              centre is the entry size // 2
    A kernel of scalars is the translation-invariant case, in which the layer acts as a `Dense`. `mf.Conv` makes one.
    """

    profile: Numbers
    sigma_w: Scalar = 1.0
    sigma_b: Scalar = 0.0
    independent_weights: ClassVar[bool] = True

    def check(self) -> None:
        super().check()
        if not is_traced(self.profile):
            _weights(self.profile)

    def __call__(self, kernel: Kernel) -> Kernel:
        if jnp.ndim(kernel.q1):
            kernel = _averaged(kernel.as_arrays(), jnp.asarray(self.profile))
        return biased(kernel.scaled(self.sigma_w), self.sigma_b)


def Conv(
    profile: str | Sequence[float] | np.ndarray, sigma_w: Scalar = 1.0, sigma_b: Scalar = 0.0, size: int = 3
) -> Convolution:
    """A convolution layer by its variance profile: "delta", "uniform", or an array of weights, normalized to sum 1.

    `size` is the length of a named profile. InputError for an unknown name, a negative or empty profile, an illegal
    sigma.

    >>> Conv("uniform", sigma_w=1.5, size=4).profile.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    sigma("sigma_w", sigma_w)
    sigma("sigma_b", sigma_b)
    if isinstance(profile, str):
        one_of("profile", profile, ("delta", "uniform"))
        weights = np.ones(whole("size", size, below=MOST_LAYERS)) if profile == "uniform" else np.eye(size)[size // 2]
    else:
        weights = _weights(profile)
    return Convolution(weights / weights.sum(), sigma_w, sigma_b)


def _weights(profile: Any) -> np.ndarray:
    weights = real_array("profile", profile, 'give "delta", "uniform" or an array of weights')
    if weights.ndim == 0 or not np.all(np.isfinite(weights)) or np.any(weights < 0) or not weights.sum() > 0:
        raise InputError(f"{shown('profile', profile)} must hold weights >= 0, not all 0")
    return weights


def _averaged(kernel: Kernel, profile: Array) -> Kernel:
    """The sum of the shifted kernels, weighted by the profile."""
    axes = tuple(range(profile.ndim))
    if jnp.ndim(kernel.q1) != profile.ndim:
        raise InputError(f"profile: it has {profile.ndim} axes, the kernel's positions have {jnp.ndim(kernel.q1)}")

    def shifted(place: tuple[int, ...]) -> Kernel:
        by = tuple(size // 2 - k for k, size in zip(place, profile.shape, strict=True))
        return jax.tree.map(partial(jnp.roll, shift=by, axis=axes), kernel)

    places = list(np.ndindex(*profile.shape))
    parts = [shifted(place) for place in places]
    weights = [profile[place] for place in places]
    mean = jax.tree.map(lambda *values: sum(w * v for w, v in zip(weights, values, strict=True)), *parts)
    # Channel means differ between positions; after the weights there are none.
    if kernel.gap is None or kernel.equal:
        return mean
    return mean.replace(gap=mean.gap + _lengths_apart(parts, weights))


def _lengths_apart(parts: list[Kernel], weights: list[Array]) -> Array:
    """sqrt(sum v q1 sum v q2) - sum v sqrt(q1 q2) by Lagrange's identity, every term positive."""
    one, two = ([root(w * getattr(k, name)) for k, w in zip(parts, weights, strict=True)] for name in ("q1", "q2"))
    squares = [(one[i] * two[j] - one[j] * two[i]) ** 2 for i in range(len(one)) for j in range(i)]
    none = jnp.zeros_like(one[0])
    lengths = sum((a**2 for a in one), none) * sum((b**2 for b in two), none)
    below = root(lengths) + sum((a * b for a, b in zip(one, two, strict=True)), none)
    return sum(squares, none) / jnp.where(below > 0, below, 1.0)
