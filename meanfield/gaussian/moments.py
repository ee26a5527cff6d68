"""Moments of an activation of one Gaussian input, from samples of it that serve every variance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .activation import Activation
from .closed_forms import ClosedForms, Moments
from .quadrature import LARGEST, REACH, Estimate, estimate, scale_free_rule

_NOTHING = 1e-30
"""An integrand too small to matter at any variance that a fixed point has."""


def smallest(dtype: Any) -> float:
    """A variance so small that only the pieces of phi next to 0 are seen: limits q -> 0 are values there."""
    return 1e-30 if dtype == jnp.float64 else 1e-16


def moments(phi: Activation, q: Array) -> Moments:
    """E[phi], E[phi^2] and E[phi'^2] at one variance q, a scalar array; the last is inf where phi jumps.

    At q = 0 the slope is the limit q -> 0: the mean of the squared one-sided slopes where 0 is a kink. Above q = 1e17
    NaN, unless phi has closed forms.

    >>> from meanfield.gaussian.named import activation
    >>> import jax.numpy as jnp
    >>> float(moments(activation("relu"), jnp.float32(2.0)).second.round(5))
    1.0
    """
    return sampled(phi, q.dtype).closed.moments(phi, q)


def estimates(phi: Activation, q: Array) -> tuple[Estimate, Estimate, Estimate]:
    """E[phi], E[phi^2] and E[phi'^2] at one variance q > 0, each with a bound on its absolute error.

    >>> from meanfield.gaussian.named import activation
    >>> import jax.numpy as jnp
    >>> mean, second, slope = estimates(activation("tanh"), jnp.float32(1.0))
    >>> bool(abs(second.value - 0.394294) < second.error + 1e-6)
    True
    """
    known = sampled(phi, q.dtype).closed
    found = known.moments(phi, q)
    if isinstance(known, Samples):
        return known.estimates(q, found)
    eps = 4 * jnp.finfo(q.dtype).eps
    mean_error = eps * jnp.sqrt(found.second)
    return (
        Estimate(found.mean, mean_error),
        Estimate(found.second, found.error),
        Estimate(found.slope, eps * found.slope),
    )


def sampled(phi: Activation, dtype: Any) -> Activation:
    """An activation that knows its own one-dimensional moments from numbers: phi itself where it has closed forms.

    Otherwise phi is evaluated once, on nodes that serve every variance, and what is returned has the same structure
    whatever phi was: one compiled program serves all activations.
    """
    return _on_samples(phi, dtype) if phi.closed is None else phi


@partial(jax.jit, static_argnums=1)
def _on_samples(phi: Activation, dtype: Any) -> Activation:
    kinks = phi.kink_array(dtype)
    # An edge may stand twice; kinks by the four make few shapes of all activations.
    kinks = jnp.pad(kinks, (0, max(4 - kinks.size, -kinks.size % 4)), constant_values=phi.scale)
    x, dx = scale_free_rule(kinks, phi.scale)
    aside = jnp.asarray([0.0, 1.0, -1.0], dtype) * jnp.finfo(dtype).tiny
    one_sided = phi.slope(aside[1:])
    jump = jnp.asarray(np.inf if phi.has_steps else 0.0, dtype)
    samples = Samples(x, dx, phi(x), phi.slope(x), phi(aside[:1])[0], jnp.mean(one_sided**2), jump)
    return Activation(_only_moments, closed=samples, name="sampled")


def _only_moments(x: Array) -> Array:
    raise AssertionError("a sampled activation has moments only")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Samples(ClosedForms):
    """Moments as sums over samples: nodes x, their weights dx, phi and phi' there, all (panels, nodes).

    at_zero: phi(0); slope_at_zero: the limit of E[phi'^2] as q -> 0; jump: inf where phi jumps, else 0.
    """

    x: Any
    dx: Any
    value: Any
    slope: Any
    at_zero: Any
    slope_at_zero: Any
    jump: Any

    def _weights(self, q: Array) -> tuple[Array, Array]:
        """The nodes in standard deviations, and their weights: 0 out of reach, NaN where the nodes end too early."""
        std = jnp.sqrt(jnp.maximum(q, smallest(q.dtype)))
        z = self.x / std
        weight = self.dx * jnp.exp(-(z**2) / 2) / (std * np.sqrt(2 * np.pi))
        weight = jnp.where(jnp.abs(z) <= REACH, weight, 0.0)
        return z, jnp.where(std * REACH <= LARGEST, weight, jnp.nan)

    @jax.jit  # called from the host it is one program, not a hundred
    def moments(self, phi: Any, q: Array) -> Moments:
        """E[phi], E[phi^2], E[phi'^2] at variance q, and a bound on the error of the second."""
        z, weight = self._weights(q)
        # phi may overflow where the Gaussian has no weight.
        value, slope = (jnp.where(weight > 0, samples, 0.0) for samples in (self.value, self.slope))
        second = estimate(weight * value**2, *self._ends(z, self.value**2))
        summed = Moments(
            jnp.sum(weight * value),
            jnp.where(jnp.isnan(weight[0, 0]), jnp.nan, second.value),
            jnp.where(q > 0, jnp.sum(weight * slope**2), self.slope_at_zero) + self.jump,
            second.error,
        )
        return self._before_the_nodes(q, summed)

    def _ends(self, z: Array, samples: Array) -> tuple[Array, Array]:
        """The largest integrand at the ends of the reach, and whether it falls beyond them or is nothing there."""
        z, samples = lax.stop_gradient((z, samples))
        density, far = jnp.exp(-(z**2) / 2) * jnp.abs(samples), jnp.abs(z)
        last, beyond = (far > 0.9 * REACH) & (far <= REACH), (far > 1.2 * REACH) & (far < 1.6 * REACH)
        tail, after = (jnp.max(jnp.where(there, density, 0.0)) for there in (last, beyond))
        # Of a bump so far out that only its foot is seen, growth says nothing.
        return tail, (after < 1e-6 * tail) | (jnp.maximum(tail, after) <= _NOTHING)

    def _before_the_nodes(self, q: Array, first: Moments) -> Moments:
        """Below the smallest variance that the nodes resolve, at which `first` is: the first order in q, or sqrt(q)."""
        share = q / smallest(q.dtype)
        # A jump at 0 leaves E[phi^2] the same at every q > 0.
        below = (share < 1) & ((self.jump == 0) | (q == 0))
        second = self.at_zero**2 + self.slope_at_zero * q
        root = jnp.sqrt(jnp.where((share > 0) & below, share, 1.0)) * (share > 0)
        return Moments(
            jnp.where(below, self.at_zero + (first.mean - self.at_zero) * root, first.mean),
            jnp.where(below, second, first.second),
            first.slope,
            jnp.where(below, 16 * jnp.finfo(q.dtype).eps * second, first.error),
        )

    def estimates(self, q: Array, found: Moments) -> tuple[Estimate, Estimate, Estimate]:
        """What `moments` has `found` at q, with a bound on the error of each; the slope's is inf where phi jumps."""
        z, weight = self._weights(q)

        def error(samples: Array) -> Array:
            return estimate(weight * jnp.where(weight > 0, samples, 0.0), *self._ends(z, samples)).error

        of_slope = jnp.where(self.jump > 0, jnp.inf, error(self.slope**2))
        return (
            Estimate(found.mean, error(self.value)),
            Estimate(found.second, found.error),
            Estimate(found.slope, of_slope),
        )

    def slope_variance(self, q: Array) -> Array:
        """Var[phi'(x)], right relative to itself."""
        _, weight = self._weights(q)
        slope = jnp.where(weight > 0, self.slope, 0.0)
        return jnp.sum(weight * (slope - jnp.sum(weight * slope)) ** 2)
