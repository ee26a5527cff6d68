"""Moments that are known in closed form, for the activations that have them.

They serve where quadrature cannot (sin and cos oscillate faster than any fixed rule at large q), as a fast path, and
as oracles in the tests. Each is a pytree that an activation carries; it reads the activation's parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Moments(NamedTuple):
    """Moments of phi(x), x ~ N(0, q): E[phi], E[phi^2], E[phi'^2], and bounds on the errors of the last two."""

    mean: Array
    second: Array
    slope: Array
    error: Array
    slope_error: Any = 0.0


class ClosedForms:
    """One activation's moments in closed form, as `moments` and `pair_moments` use them.

    moments(phi, q)              : `Moments` at variance q
    distance(phi, q1, q2, e)     : one minus the correlation of the outputs, at correlation 1 - e of the inputs
    covariance(phi, q1, q2, e)   : E[phi'(u) phi'(v)]
    curvature(phi, q)            : E[phi''^2], kinks left out
    """


def _exact(mean: Array, second: Array, slope: Array) -> Moments:
    eps = 4 * jnp.finfo(second.dtype).eps
    return Moments(mean, second, slope, eps * jnp.abs(second), eps * jnp.abs(slope))


def _angle(e: Array) -> Array:
    """The angle of a pair: 1 - cos(angle) = e."""
    return 2 * jnp.arcsin(jnp.sqrt(jnp.clip(e / 2, 0.0, 1.0)))


def _crescent(angle: Array) -> Array:
    """sin(t) - t cos(t), by its series where the two cancel."""
    t = jnp.minimum(angle, 0.3)
    s = t * t
    series = t * s * (1 / 3 - s * (1 / 30 - s * (1 / 840 - s * (1 / 45360 - s * (1 / 3991680 - s / 518918400)))))
    return jnp.where(angle < 0.3, series, jnp.sin(angle) - angle * jnp.cos(angle))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoSlopes(ClosedForms):
    """b x for x > 0 and a x for x < 0: ReLU and its family (Cho & Saul 2009, arc-cosine kernel of degree 1).

    E[phi(u) phi(v)] = sqrt(q1 q2) ((b - a)^2 (sin t + (pi - t) cos t) / (2 pi) + a b cos t), cos t = c. `left` is a;
    None takes it from the activation's parameter `slope`.
    """

    left: float | None = field(default=None, metadata={"static": True})

    def _slopes(self, phi: Any, q: Array) -> tuple[Array, Array]:
        a = phi.params["slope"] if self.left is None else self.left
        return jnp.asarray(a, q.dtype), (1 + jnp.square(jnp.asarray(a, q.dtype))) / 2

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        a, square = self._slopes(phi, q)
        return _exact((1 - a) * jnp.sqrt(q / (2 * np.pi)), square * q, square * jnp.ones_like(q))

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        a, square = self._slopes(phi, q1)
        return ((1 - a) ** 2 / 2 * (e - _crescent(_angle(e)) / np.pi) + a * e) / square

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        a, _ = self._slopes(phi, q1)
        return a + (1 - a) ** 2 * (1 - _angle(e) / np.pi) / 2

    def curvature(self, phi: Any, q: Array) -> Array:
        """E[phi''^2] off the kink: both sides are straight."""
        return jnp.zeros_like(q)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TwoLevels(ClosedForms):
    """1 for x > 0 and `low` for x < 0: step and sign (Cho & Saul 2009, degree 0). Its slope moment is infinite."""

    low: float = field(default=0.0, metadata={"static": True})

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        one = jnp.ones_like(q)
        return _exact((1 + self.low) / 2 * one, (1 + self.low**2) / 2 * one, jnp.inf * one)

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        return (1 - self.low) ** 2 / (1 + self.low**2) * _angle(e) / np.pi

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        return (1 - self.low) ** 2 / (2 * np.pi * jnp.sqrt(q1) * jnp.sqrt(q2) * jnp.sqrt(e * (2 - e)))

    def curvature(self, phi: Any, q: Array) -> Array:
        """E[phi''^2] off the step: both sides are flat."""
        return jnp.zeros_like(q)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sinusoid(ClosedForms):
    """sin (`parity` = -1) and cos (`parity` = +1): E[phi^2] = (1 +- exp(-2q)) / 2, and cov = exp(-q) sinh or cosh(q12).

    Half the mean squared difference of a pair of one variance q and gap g = q - q12 is, without
    cancellation, (1 - exp(-g)) (1 -+ exp(-q - q12)) / 2.
    """

    parity: int = field(default=-1, metadata={"static": True})

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        falling = jnp.exp(-2 * q)
        # JAX differentiates expm1(x) as expm1(x) + 1, which cancels completely at large q.
        odd = jnp.where(q < 0.5, -jnp.expm1(-2 * q), 1 - falling) / 2
        even = (1 + falling) / 2
        if self.parity < 0:
            return _exact(jnp.zeros_like(q), odd, even)
        return _exact(jnp.exp(-q / 2), even, odd)

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        cross, mean = jnp.sqrt(q1) * jnp.sqrt(q2), (q1 + q2) / 2
        # Half the variances of u - v and of u + v.
        apart = cross * e + (jnp.sqrt(q1) - jnp.sqrt(q2)) ** 2 / 2
        together = mean + cross * (1 - e)
        imbalance = (jnp.exp(-q1) - jnp.exp(-q2)) ** 2 / 2
        half = (self.parity * imbalance - jnp.expm1(-apart) * (1 - self.parity * jnp.exp(-together))) / 2
        second1, second2 = self.moments(phi, q1)[1], self.moments(phi, q2)[1]
        lengths = (second1 - second2) ** 2 / (2 * (jnp.sqrt(second1) + jnp.sqrt(second2)) ** 2)
        norm = jnp.sqrt(second1) * jnp.sqrt(second2)
        return jnp.where(norm > 0, (half - lengths) / jnp.where(norm > 0, norm, 1.0), 0.0)

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        q12 = jnp.sqrt(q1) * jnp.sqrt(q2) * (1 - e)
        mean = (q1 + q2) / 2
        return (jnp.exp(q12 - mean) - self.parity * jnp.exp(-q12 - mean)) / 2

    def curvature(self, phi: Any, q: Array) -> Array:
        """E[phi''^2] = E[phi^2]."""
        return self.moments(phi, q).second


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ErrorFunction(ClosedForms):
    """erf: E[phi(u) phi(v)] = (2/pi) arcsin(2 q12 / sqrt((1 + 2 q1)(1 + 2 q2))) (Williams 1997).

    Arcsines are written as arctangents, and each difference as a single arctangent: an arcsine near 1, or a difference
    of two close ones, would lose half the digits.
    """

    def moments(self, phi: Any, q: Array) -> Moments:
        """`Moments` at variance q."""
        return _exact(jnp.zeros_like(q), 2 / np.pi * self._arcsine(q), 4 / np.pi / jnp.sqrt(1 + 4 * q))

    def _arcsine(self, q: Array) -> Array:
        return jnp.arctan(2 * q / jnp.sqrt(1 + 4 * q))

    def _determinant(self, q1: Array, q2: Array, e: Array) -> Array:
        """(1 + 2 q1)(1 + 2 q2) - 4 q12^2, every term positive."""
        return 1 + 2 * (q1 + q2) + 4 * q1 * q2 * e * (2 - e)

    def distance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """One minus the correlation of the outputs."""
        root = jnp.sqrt(self._determinant(q1, q2, e))
        a1, a2 = self._arcsine(q1), self._arcsine(q2)
        equal = self._apart(q1, root, e) / jnp.where(a1 > 0, a1, 1.0)
        q12, norm = jnp.sqrt(q1) * jnp.sqrt(q2) * (1 - e), jnp.sqrt(a1) * jnp.sqrt(a2)
        apart = [jnp.arctan2(2 * q * root - 2 * q12 * r, r * root + 4 * q * q12)
                 for q, r in ((q1, jnp.sqrt(1 + 4 * q1)), (q2, jnp.sqrt(1 + 4 * q2)))]  # fmt: skip
        lengths = (a1 - a2) ** 2 / jnp.where(norm > 0, 2 * (jnp.sqrt(a1) + jnp.sqrt(a2)) ** 2, 1.0)
        unequal = ((apart[0] + apart[1]) / 2 - lengths) / jnp.where(norm > 0, norm, 1.0)
        return jnp.where(q1 == q2, equal, unequal)

    def _apart(self, q: Array, root: Array, e: Array) -> Array:
        """The difference of the arcsines of a pair of one variance."""
        r = jnp.sqrt(1 + 4 * q)
        below = jnp.where(e <= 1, root + r * (1 - e), 1.0)
        sine = jnp.where(e <= 1, e * (2 - e) * (1 + 2 * q) ** 2 / below, root - r * (1 - e))
        return jnp.arctan2(2 * q * sine, r * root + 4 * q**2 * (1 - e))

    def covariance(self, phi: Any, q1: Array, q2: Array, e: Array) -> Array:
        """E[phi'(u) phi'(v)]."""
        return 4 / np.pi / jnp.sqrt(self._determinant(q1, q2, e))

    def curvature(self, phi: Any, q: Array) -> Array:
        """E[phi''^2] = 16 q / (pi (1 + 4q)^(3/2))."""
        return 16 / np.pi * q / (1 + 4 * q) ** 1.5
