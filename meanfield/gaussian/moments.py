"""Moments of an activation of one Gaussian input, from samples that serve every variance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..interface.differentiation import is_zero, partial_jvp
from .activation import Activation
from .closed_forms import ClosedForms, Moments
from .quadrature import (
    LARGEST,
    Estimate,
    estimate,
    fixed,
    hermite,
    legendre_panels,
    namespace,
    rough_edges,
    scale_free_edges,
)

_NOTHING = 1e-30
"""An integrand too small to matter at any variance that a fixed point has."""


def smallest(dtype: Any) -> float:
    """A variance so small that only the pieces of phi next to 0 matter: limits q -> 0 are evaluated here."""
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


def gradient_moments(phi: Activation, q: Array) -> Moments:
    """`moments`, with E[backward^2] for E[phi'^2] where gradients see another derivative."""
    found = moments(phi, q)
    if phi.backward is None:
        return found
    seen = moments(phi.backward, q)
    return found._replace(slope=seen.second, slope_error=seen.error)


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
    """An activation that carries its one-dimensional moments as numbers; phi itself if it has closed forms.

    Otherwise phi is evaluated once, on nodes that serve every variance, and the result has the same structure for every
    phi: one compiled program serves all activations.
    """
    if phi.backward is not None:
        return replace(sampled(replace(phi, backward=None), dtype), backward=sampled(phi.backward, dtype))
    return _on_samples(phi, dtype) if phi.closed is None else phi


@partial(jax.jit, static_argnums=1)
def _on_samples(phi: Activation, dtype: Any) -> Activation:
    kinks = phi.kink_array(dtype)
    # Edges may repeat; padding the kinks to multiples of four leaves few distinct shapes.
    kinks = jnp.pad(kinks, (0, max(4 - kinks.size, -kinks.size % 4)), constant_values=phi.scale)
    return Activation(_only_moments, closed=samples_of(phi, kinks), name="sampled")


def _only_moments(x: Array) -> Array:
    raise AssertionError("a sampled activation has moments only")


def samples_of(phi: Any, kinks: Array) -> Samples:
    """phi and phi' on nodes that serve every variance, for any callable on arrays with a `slope`."""
    xp, dtype = namespace(kinks), kinks.dtype
    features = phi.features
    cuts = [kinks, rough_edges(kinks, features.rough, phi.scale), np.asarray(features.cuts, dtype)]
    # Few distinct shapes.
    edges = scale_free_edges(xp.concatenate([*cuts, np.full(-len(features.cuts) % 64, phi.scale, dtype)]), phi.scale)
    x, dx = legendre_panels(edges)
    aside = np.asarray([1.0, -1.0], dtype) * xp.finfo(dtype).tiny
    one_sided = phi.slope(xp.asarray(aside))
    jump = xp.asarray(np.inf if phi.has_steps else 0.0, dtype)
    at_zero = phi(xp.zeros((1,), dtype))[0]
    # As q -> 0 a jump elsewhere is out of reach: the limit of chi is taken with gap / q held fixed.
    there = xp.any((kinks == 0) & _marked(phi, kinks)) if phi.has_steps else False
    slope_at_zero = xp.where(there, xp.asarray(np.inf, dtype), xp.mean(one_sided**2))
    slope = phi.slope(x)
    for k in kinks[np.flatnonzero(features.rough)]:
        slope = _averaged(phi, k, edges, slope)
    return Samples(x, dx, phi(x), slope, at_zero, slope_at_zero, jump, np.asarray(features.reach, dtype))


def _averaged(phi: Any, k: Array, edges: Array, slope: Array) -> Array:
    """phi' with its root mean square on the two panels next to a rough kink, where it goes on as a power."""
    xp, lo, hi = namespace(edges), edges[:-1], edges[1:]
    for end, there in ((hi, (lo == k) & (hi > k)), (lo, (hi == k) & (lo < k))):
        length = xp.sum(xp.where(there, end - k, 0.0))
        near, far = phi.slope(k + length * np.asarray([1.0, 2.0], edges.dtype)) ** 2
        known = (near > 0) & (far > 0) & xp.isfinite(near)
        # phi'^2 = near (distance / length)^-p, whose mean from 0 to 1 is near / (1 - p).
        left = 1 - xp.log2(xp.where(known, near, 1.0) / xp.where(known, far, 1.0))
        mean = xp.where(left > 0, near / xp.where(left > 0, left, 1.0), xp.inf)
        slope = xp.where((there & known)[:, None], xp.sqrt(mean), slope)
    return slope


def _marked(phi: Any, kinks: Array) -> np.ndarray:
    """Which of the kinks, padded, are steps."""
    steps = np.asarray(phi.steps, bool)
    return np.pad(steps, (0, kinks.size - steps.size))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Samples(ClosedForms):
    """Moments as sums over samples: nodes x, their weights dx, phi and phi' there, all (panels, nodes).

    at_zero: phi(0); slope_at_zero: the limit of E[phi'^2] as q -> 0; jump: inf where phi jumps, else 0; reach: the
    standard deviations kept. Methods take variances q of any shape.
    """

    x: Any
    dx: Any
    value: Any
    slope: Any
    at_zero: Any
    slope_at_zero: Any
    jump: Any
    reach: Any

    def _weights(self, q: Array) -> tuple[Array, Array]:
        """The nodes in standard deviations, and their weights: 0 out of reach, NaN if the nodes end too early."""
        xp = namespace(q)
        std = xp.sqrt(xp.maximum(q, smallest(q.dtype)))[..., None, None]
        z = self.x / std
        weight = self.dx * xp.exp(-(z**2) / 2) / (std * np.sqrt(2 * np.pi))
        weight = xp.where(xp.abs(z) <= self.reach, weight, 0.0)
        return z, xp.where(std * self.reach <= LARGEST, weight, np.nan)

    def moments(self, phi: Any, q: Array) -> Moments:
        """E[phi], E[phi^2], E[phi'^2] at variances q, and a bound on the error of the second."""
        return self.moments_at(q) if namespace(q) is np else _summed(self, q)

    def moments_at(self, q: Array) -> Moments:
        """`moments`, traced operation by operation."""
        xp = namespace(q)
        z, weight = self._weights(q)
        # phi may overflow where the Gaussian has no weight.
        value, slope = (xp.where(weight > 0, samples, 0.0) for samples in (self.value, self.slope))
        # In this order nothing overflows that is finite in the end.
        second, squared = (
            estimate(weight * of * of, *self._ends(z, whole, 2))
            for of, whole in ((value, self.value), (slope, self.slope))
        )
        return self._assembled(q, weight, xp.sum(weight * value, (-2, -1)), second, squared)

    def sums_at(self, q: Array) -> Moments:
        """`moments_at` for samples that are `tame`, without the error bound: a third of the cost."""
        _, weight = self._weights(q)
        # Not a matrix product: NumPy sums pairwise, which loses less.
        parts = (self.value, self.value**2, self.slope**2)
        mean, second, squared = ((weight * of).reshape(*q.shape, -1).sum(-1) for of in parts)
        return self._assembled(q, weight, mean, Estimate(second, 0 * second), Estimate(squared, 0 * second))

    @property
    def tame(self) -> bool:
        """Whether phi and phi' are finite and grow so slowly that the ends of the range never matter."""
        bounds = (self.value, self.slope)
        return all(bool(np.all(np.abs(of) <= 1e4 * (1 + np.square(self.x)))) for of in bounds)

    def _assembled(self, q: Array, weight: Array, mean: Array, second: Estimate, squared: Estimate) -> Moments:
        xp = namespace(q)
        beyond = xp.isnan(weight[..., 0, 0])
        second_moment, slope = (xp.where(beyond, np.nan, of.value) for of in (second, squared))
        summed = Moments(
            mean,
            second_moment,
            xp.where(q > 0, slope + self.jump, self.slope_at_zero),
            second.error,
            xp.where(q > 0, squared.error, 0.0),
        )
        return self._before_the_nodes(q, summed)

    def derivatives(self, q: Array, order: int) -> tuple[Array, Array, Array]:
        """The derivatives in q, of an order >= 1, of E[phi], E[phi^2] and E[phi'^2] at variances q.

        d^n/dq^n E[f] = E[f He_2n(z)] / (2q)^n, which needs no derivative of f.
        """
        xp = namespace(q)
        z, weight = self._weights(q)
        weight = weight * hermite(2 * order, z)
        value, slope = (xp.where(weight != 0, samples, 0.0) for samples in (self.value, self.slope))
        size = (2 * xp.maximum(q, smallest(q.dtype))) ** order
        parts = weight * value, weight * value * value, weight * slope * slope
        mean, second, squared = (xp.sum(part, (-2, -1)) / size for part in parts)
        below = q < smallest(q.dtype)
        at_zero = self.slope_at_zero if order == 1 else 0.0
        return xp.where(below, 0.0, mean), xp.where(below, at_zero, second), xp.where(below, 0.0, squared) + self.jump

    def _ends(self, z: Array, samples: Array, power: int) -> tuple[Array, Array]:
        """The largest |samples|^power at the ends of the range, and whether it decreases or vanishes beyond."""
        xp = namespace(z)
        z, samples = fixed(z), fixed(samples)
        density, far = (xp.exp(-(z**2) / (2 * power)) * xp.abs(samples)) ** power, xp.abs(z)
        reach = self.reach
        last, beyond = (far > 0.9 * reach) & (far <= reach), (far > 1.2 * reach) & (far < 1.6 * reach)
        tail, after = (xp.max(xp.where(there, density, 0.0), (-2, -1)) for there in (last, beyond))
        # Growth means nothing for a bump so far out that only its foot is visible.
        return tail, (after < 1e-6 * tail) | (xp.maximum(tail, after) <= _NOTHING)

    def _before_the_nodes(self, q: Array, first: Moments) -> Moments:
        """Moments below the smallest variance that the nodes resolve, `first`'s: to first order in q, or sqrt(q)."""
        xp = namespace(q)
        share = q / smallest(q.dtype)
        # A jump at 0 leaves E[phi^2] the same at every q > 0.
        below = (share < 1) & ((self.jump == 0) | (q == 0))
        second = self.at_zero**2 + xp.where(q > 0, self.slope_at_zero, 0.0) * q
        root = xp.sqrt(xp.where((share > 0) & below, share, 1.0)) * (share > 0)
        return Moments(
            xp.where(below, self.at_zero + (first.mean - self.at_zero) * root, first.mean),
            xp.where(below, second, first.second),
            first.slope,
            xp.where(below, 16 * xp.finfo(q.dtype).eps * second, first.error),
            first.slope_error,
        )

    def estimates(self, q: Array, found: Moments) -> tuple[Estimate, Estimate, Estimate]:
        """The moments `found` at q, each with a bound on its error; infinite for the slope where phi jumps."""
        xp = namespace(q)
        z, weight = self._weights(q)

        terms = weight * xp.where(weight > 0, self.value, 0.0)
        return (
            Estimate(found.mean, estimate(terms, *self._ends(z, self.value, 1)).error),
            Estimate(found.second, found.error),
            Estimate(found.slope, xp.where(self.jump > 0, np.inf, found.slope_error)),
        )

    def slope_variance(self, q: Array) -> Array:
        """Var[phi'(x)], accurate in relative terms."""
        xp = namespace(q)
        _, weight = self._weights(q)
        slope = xp.where(weight > 0, self.slope, 0.0)
        mean = xp.sum(weight * slope, (-2, -1))[..., None, None]
        return xp.sum(weight * (slope - mean) * (slope - mean), (-2, -1))


# Compiled as one program when called from the host, not as a hundred.
_program = jax.jit(Samples.moments_at)


@jax.custom_jvp
def _summed(samples: Samples, q: Array) -> Moments:
    return _program(samples, q)


@partial(_summed.defjvp, symbolic_zeros=True)
def _summed_jvp(primals: tuple, tangents: tuple) -> tuple[Moments, Moments]:
    samples, q = primals
    moved = partial_jvp(lambda samples: _program(samples, q), primals[:1], tangents[:1])
    if not is_zero(tangents[1]):
        mean, second, slope = _derivatives(1, samples, q)
        slopes = Moments(mean, second, slope, jnp.zeros_like(q), jnp.zeros_like(q))
        moved = jax.tree.map(lambda total, slope: total + slope * tangents[1], moved, slopes)
    return _summed(samples, q), moved


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _derivatives(order: int, samples: Samples, q: Array) -> tuple[Array, Array, Array]:
    return samples.derivatives(q, order)


@partial(_derivatives.defjvp, symbolic_zeros=True)
def _derivatives_jvp(order: int, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    samples, q = primals
    moved = partial_jvp(lambda samples: samples.derivatives(q, order), primals[:1], tangents[:1])
    if not is_zero(tangents[1]):
        further = _derivatives(order + 1, samples, q)
        moved = tuple(total + slope * tangents[1] for total, slope in zip(moved, further, strict=True))
    return _derivatives(order, samples, q), moved
