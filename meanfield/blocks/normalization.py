"""Normalization: of the channels of one input, of a batch, and of weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from ..errors import InputError
from ..interface.arguments import sigma, whole
from ..interface.numbers import Scalar
from .block import Block, biased
from .kernel import Kernel
from .random_factors import Mixture


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LayerNorm(Block):
    """(x - mean) / std over the channels, times gamma: q -> gamma^2, gap -> gamma^2 gap / sqrt(Var1 Var2).

    At infinite width Gaussians stay Gaussian and c is unchanged; chi is divided by the variance. In a residual
    branch it makes chi = 1 + zeta / l (Doshi et al. 2023). A variance of 0 stays 0.

    >>> kernel = LayerNorm()(Kernel.pair(jnp.float32(4.0), jnp.float32(1.0)))
    >>> float(kernel.q1), float(kernel.gap)
    (1.0, 0.25)
    """

    gamma: Scalar = 1.0

    def mixing(self, before: Mixture | None) -> Mixture | None:
        return _without_added(before)

    def __call__(self, kernel: Kernel) -> Kernel:
        return _to_length(kernel.centred(), self.gamma)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RMSNorm(Block):
    """x / sqrt(mean of x^2) over the channels, times gamma: q -> gamma^2; the mean over the channels stays.

    >>> round(float(RMSNorm(gamma=2.0)(Kernel.single(jnp.float32(9.0))).q1), 5)
    4.0
    """

    gamma: Scalar = 1.0

    def mixing(self, before: Mixture | None) -> Mixture | None:
        return _without_added(before)

    def __call__(self, kernel: Kernel) -> Kernel:
        return _to_length(kernel, self.gamma)


def _without_added(before: Mixture | None) -> Mixture | None:
    # The scale follows the variance, which noise added behind the factors would make part of the mixture's law.
    if before is None or before.factors is None or before.factors.added is None:
        return before
    return before._replace(factors=None)


def _to_length(kernel: Kernel, gamma: Scalar) -> Kernel:
    return kernel.scaled(gamma * _inverse_root(kernel.q1), gamma * _inverse_root(kernel.q2))


def _inverse_root(q: Array) -> Array:
    """1 / sqrt(q), and 0 at 0."""
    return jnp.where(q > 0, 1 / jnp.sqrt(jnp.where(q > 0, q, 1.0)), 0.0)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BatchNorm(Block):
    """(h - batch mean) / batch std in each channel, times gamma (Yang et al. 2019).

    What the members of a batch share is removed: variance q and covariance p within the batch become gamma^2, and the
    tangent of a gap (between replicas of the batch) is divided by q - p. batch_size None is the limit of large batches,
    whose members become uncorrelated. A finite batch_size >= 4 puts the batch on a sphere: an `Activate` must follow,
    and only tangents, hence chi_1, are known; correlations are NaN.

    >>> import meanfield as mf
    >>> block = mf.Dense(1.0) >> mf.BatchNorm(8) >> mf.Activate("relu")
    >>> print(f"{mf.fixed_point(block).chi_1:.5f}")
    1.78819
    """

    batch_size: int | None = field(default=None, metadata={"static": True})
    gamma: Scalar = 1.0
    couples_members: ClassVar[bool] = True

    def mixing(self, before: Mixture | None) -> Mixture | None:
        # What is subtracted from a unit does not carry its factor.
        return None if before is None else before._replace(factors=None)

    def check(self) -> None:
        if self.batch_size is not None:
            whole("batch_size", self.batch_size, least=4)  # below, gradient growth is infinite

    def __call__(self, kernel: Kernel) -> Kernel:
        self.check()
        if kernel.gap_within is None:
            raise InputError(f"block={self!r} needs a batch: a kernel with `gap_within`, the gap between its members")
        scale = self.gamma * _inverse_root(kernel.gap_within)
        # Half the mean squared difference within the batch is its variance about the batch's mean.
        q = jnp.square(scale) * kernel.gap_within
        tangent = None if kernel.gap is None else jnp.square(scale) * kernel.gap
        finite = {"gaussian": False, "batch_size_on_sphere": self.batch_size} if self.batch_size else {}
        if tangent is not None and not kernel.infinitesimal:
            # q12 - p12 is the remaining covariance of one member across the two batches.
            tangent = q - jnp.square(scale) * (kernel.gap_across - kernel.gap)
        none = jnp.zeros_like(q)
        gap_across = None if kernel.gap_across is None else none if kernel.infinitesimal else q
        return kernel.replace(
            q1=q,
            q2=q,
            gap=tangent,
            error=none,
            gap_within=q,
            gap_across=gap_across,
            m1=none,
            m2=none,
            factors=None,
            **finite,
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class WeightStandardized(Block):
    """A layer whose rows of weights have mean 0 and variance gain^2 / fan_in exactly (Brock, De & Smith 2021).

    q -> gain^2 Var + sigma_b^2: the mean over the channels is lost. gain = 1 / sqrt(Var phi(z)) preserves unit
    variance; for ReLU sqrt(2 / (1 - 1/pi)).

    >>> import meanfield as mf
    >>> layer = mf.WeightStandardized(gain=1.7128586)
    >>> print(f"{mf.variance_map(mf.Activate('relu') >> layer, 1.0):.6f}")
    1.000000
    """

    gain: Scalar = 1.0
    sigma_b: Scalar = 0.0
    independent_weights: ClassVar[bool] = True

    def check(self) -> None:
        sigma("gain", self.gain)
        sigma("sigma_b", self.sigma_b)

    def __call__(self, kernel: Kernel) -> Kernel:
        return biased(kernel.centred().scaled(self.gain), self.sigma_b)
