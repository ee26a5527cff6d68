"""Moments of an activation over a pair of Gaussian inputs.

A pair (u, v) with variances q1, q2 and correlation c = 1 - e shares a part: u = sqrt(q1) (sqrt|c| A + sqrt(1-|c|) z)
and v likewise with sign(c) A and a z of its own. Given A the two are independent, so every pair moment is an outer
expectation over A of inner ones over z:

    E[phi(u) phi(v)]   = E_A[S1 S2],    S(A)  = E_z[phi | A]
    E[phi'(u) phi'(v)] = E_A[S1' S2'],  S'(A) = E_z[phi' | A] + (value jumps) * density

and half the squared distance of the outputs is a sum of positive terms, with full relative accuracy however close the
pair: E[(phi(u)/a - phi(v)/b)^2] / 2 = E_A[Var1/a^2 + Var2/b^2 + (S1/a - S2/b)^2] / 2. The inner rule is cut
at the kinks; the outer integrand is smooth, with a layer of width sqrt(1-|c|) at each kink, where its panels are
concentrated.

d/dc of these is Price's theorem (1958): dE[f(u) g(v)] / dq12 = E[f' g'], applied repeatedly.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..interface.differentiation import is_zero, partial_jvp
from .activation import Activation
from .closed_forms import Moments
from .moments import moments
from .pair_rule import FINE, Resolution, Split, inner_rule, outer_rule, over_nodes, split
from .quadrature import Rule, fixed, gauss_legendre, hermite, namespace

NEAR_NODES = 8
"""Gaps below a close pair's own."""


class Pair(NamedTuple):
    """Moments of the outputs for a pair of inputs.

    distance   : E[(phi(u)/a - phi(v)/b)^2] / 2 with a^2 = E[phi(u)^2], b^2 = E[phi(v)^2]: one minus the correlation
    covariance : E[phi'(u) phi'(v)], steps of phi counted
    """

    distance: Array
    covariance: Array


def pair_moments(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool = False) -> Pair:
    """`Pair` at variances q1, q2 and e = 1 - c in [0, 2]; scalar arrays.

    `equal` says that q2 is q1 and that c >= 0, which halves the work. The distance is 0 where phi vanishes. Both have a
    relative accuracy near 1e-14 at any e, however small. Differentiable in all arguments to any order.
    """
    return _pair_moments(phi, q1, q2, e, equal)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _pair_moments(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Pair:
    return _evaluate(phi, q1, q2, e, equal)


@partial(_pair_moments.defjvp, symbolic_zeros=True)
def _pair_moments_jvp(equal: bool, primals: tuple, tangents: tuple) -> tuple[Pair, Pair]:
    phi, q1, q2, e = primals
    value = _pair_moments(phi, q1, q2, e, equal)
    held = all(map(is_zero, jax.tree.leaves(tangents[0], is_leaf=is_zero))) and phi.closed is None
    if equal and held and not phi.has_steps and not is_zero(tangents[1]):
        moved = jax.tree.map(lambda slope: slope * tangents[1], _stretched_pair(phi, q1, e, value.distance))
    else:
        moved = partial_jvp(lambda phi, q1, q2: _evaluate(phi, q1, q2, e, equal), primals[:3], tangents[:3])
    if is_zero(tangents[3]):
        return value, moved
    first = moments(phi, q1).second
    norm = first if equal else jnp.sqrt(first) * jnp.sqrt(moments(phi, q2).second)
    length = q1 if equal else jnp.sqrt(q1) * jnp.sqrt(q2)
    apart = length * value.covariance / jnp.where(norm > 0, norm, 1.0)
    closer = -length * covariance(phi, q1, q2, e, 2, equal)
    return value, Pair(moved.distance + apart * tangents[3], moved.covariance + closer * tangents[3])


def _evaluate(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Pair:
    if phi.closed is not None:
        return Pair(phi.closed.distance(phi, q1, q2, e), phi.closed.covariance(phi, q1, q2, e))
    own = moments(phi, q1)
    if not equal:
        return integrate_pair(phi, q1, q2, e, own.second, moments(phi, q2).second, equal)[0]
    if phi.has_steps:
        return integrate_pair(phi, q1, q1, e, own.second, own.second, equal)[0]
    return _equal(phi, q1, e, own)


def integrate_pair(
    phi: Any, q1: Array, q2: Array, e: Array, second1: Array, second2: Array, equal: bool, rule: Resolution = FINE
) -> tuple[Pair, Array]:
    """The pair moments by quadrature, and E[Var[phi' | A]]: E[(phi'(u) - phi'(v))^2] / 2 at equal variances."""
    xp = namespace(q1)
    pair = split(q1, q2, e)
    nodes, weights = outer_rule(phi, pair, equal, rule)
    first = given(phi, pair.s1, pair, nodes, rule)
    other = first if equal else given(phi, pair.sign * pair.s2, pair, nodes, rule)
    norm1, norm2 = (xp.sqrt(xp.where(m > 0, m, 1.0)) for m in (second1, second2))
    apart = first.variance / norm1**2 + other.variance / norm2**2 + (first.mean / norm1 - other.mean / norm2) ** 2
    apart, slopes, deficit = total(weights, apart), total(weights, first.slope, other.slope), first.slope_variance
    return Pair(apart / 2, slopes), total(weights, deficit)


def deficit_at(phi: Any, q: Array, e: Array, rule: Resolution = FINE) -> Array:
    """E[Var[phi' | A]] of a pair of one variance: what `integrate_pair` returns beside the moments."""
    pair = split(q, q, e)
    nodes, weights = outer_rule(phi, pair, True, rule)

    def variance(nodes: Array) -> tuple[Array]:
        inner, mean, _ = inner_rule(phi, pair.s1, pair, nodes, rule)
        return (_mean_and_variance(inner.weight, phi.slope(inner.x), phi.slope(mean))[1],)

    return total(weights, over_nodes(phi, variance, nodes)[0])


def total(weight: Array, value: Array, times: Any = None, axis: tuple[int, ...] | None = None) -> Array:
    """The weighted sum of values, times others, that may be infinite where the weight is 0."""
    # An empty panel lies on a kink, where phi' may be infinite. In this order nothing overflows that is finite.
    xp = namespace(weight)
    for factor in (value, times):
        weight = weight if factor is None else weight * xp.where(weight != 0, factor, 0.0)
    return xp.sum(weight, axis)


def is_near(phi: Any, q: Array, e: Array) -> Array | bool:
    """Whether a pair of one variance is so close that its distance comes from its `deficits`."""
    if any(phi.features.rough):
        return q < 0
    return fixed(q * e) < (0.1 * min(phi.scale, phi.features.shortest)) ** 2


def near_gaps(dtype: Any, nodes: int = NEAR_NODES) -> np.ndarray:
    """Factors of e for the gaps whose deficits `from_deficits` needs: 1, then smaller ones."""
    t, _ = gauss_legendre(nodes)
    # e' = e t^2 makes the deficits smooth in t.
    return np.append(1.0, (t + 1) / 2).astype(dtype) ** 2


def from_deficits(q: Array, e: Array, slope: Array, second: Array, deficits: Array) -> Pair:
    """A close pair of one variance, from the deficits E[phi'^2] - E[phi' phi'] = E[(phi'(u) - phi'(v))^2] / 2.

    By Price's theorem the distance is q e (E[phi'^2] - mean deficit over e' in [0, e]) / E[phi^2]: a small positive
    correction, so that the ratio distance / e is right to the last digit where differences of phi itself, of size
    sqrt(e), would leave it an error of eps / sqrt(e). The criticality of c* rests on that ratio.
    """
    xp = namespace(q)
    t, dt = gauss_legendre(len(deficits) - 1)
    mean = xp.sum(((t + 1) / 2 * dt).astype(q.dtype) * deficits[1:])
    return Pair(q * e * (slope - mean) / xp.where(second > 0, second, 1.0), slope - deficits[0])


def _equal(phi: Activation, q: Array, e: Array, own: Moments) -> Pair:
    """A pair of one variance, traced."""
    near, gaps = is_near(phi, q, e), jnp.asarray(near_gaps(q.dtype))

    def look(gap: Array) -> tuple[Pair, Array]:
        def integrate() -> tuple[Pair, Array]:
            return integrate_pair(phi, q, q, e * gap, own.second, own.second, True)

        zero = jnp.zeros_like(q)
        # The first is all that a pair far apart needs.
        return lax.cond(near | (gap == 1), integrate, lambda: (Pair(zero, zero), zero))

    direct, deficits = lax.map(look, gaps)
    close = from_deficits(q, e, own.slope, own.second, deficits)
    return jax.tree.map(lambda yes, no: jnp.where(near, yes, no[0]), close, direct)


class Given(NamedTuple):
    """Given A: E[phi] and Var[phi], the slope of E[phi] in the conditional mean, and Var[phi']; each (len(nodes),)."""

    mean: Array
    variance: Array
    slope: Array
    slope_variance: Array


def given(phi: Any, length: Array, pair: Split, nodes: Array, rule: Resolution) -> Given:
    """Conditional moments of one input at every node A."""

    def moments(nodes: Array) -> Given:
        inner, mean, std = inner_rule(phi, length, pair, nodes, rule)
        average, variance = _mean_and_variance(inner.weight, phi(inner.x), phi(mean))
        rising, slope_variance = _mean_and_variance(inner.weight, phi.slope(inner.x), phi.slope(mean))
        if phi.has_steps or any(phi.features.rough):
            rising = mean_slope(phi, 1, inner, mean, std)
        return Given(average, variance, rising, slope_variance)

    return Given(*over_nodes(phi, moments, nodes))


def _mean_and_variance(weight: Array, value: Array, centre: Array) -> tuple[Array, Array]:
    # Deviations from the value at the mean first: the variance then keeps its digits where phi barely moves.
    deviation = value - centre[:, None, None]
    average = total(weight, deviation, axis=(1, 2))
    deviation = deviation - average[:, None, None]
    return centre + average, total(weight, deviation, deviation, (1, 2))


def mean_slope(phi: Any, order: int, rule: Rule, mean: Array, std: Array) -> Array:
    """The order-th derivative of E[phi | A] with respect to the conditional mean, at every node A."""
    xp = namespace(mean)
    if any(phi.features.rough):
        # phi' is singular, phi is not.
        deviation = phi(rule.x) - phi(mean)[:, None, None]
        return total(rule.weight, deviation, hermite(order, rule.z), (1, 2)) / std**order
    slopes = total(rule.weight, phi.slope(rule.x), hermite(order - 1, rule.z), (1, 2)) / std ** (order - 1)
    if phi.has_steps:
        z = (phi.kink_array(mean.dtype) - mean[:, None]) / std
        bump = xp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * hermite(order - 1, z) / std**order
        slopes = slopes + xp.sum(phi.jumps(mean.dtype) * bump, 1)
    return slopes


def covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int = 1, equal: bool = False) -> Array:
    """E[phi^(n)(u) phi^(n)(v)] for n = order >= 1, derivatives in the sense of distributions.

    Steps of phi count in phi', kinks in phi''. e = 1 - c; at e = 0 a value that diverges comes out as inf or huge.
    """
    if phi.closed is not None:
        if order == 1:
            return phi.closed.covariance(phi, q1, q2, e)
        lower = partial(covariance, phi, q1, q2, order=order - 1, equal=equal)
        return -jax.jvp(lower, (e,), (jnp.ones_like(e),))[1] / (jnp.sqrt(q1) * jnp.sqrt(q2))
    return _covariance(phi, q1, q2, e, order, equal)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int, equal: bool) -> Array:
    return covariance_at(phi, q1, q2, e, order, equal)


@partial(_covariance.defjvp, symbolic_zeros=True)
def _covariance_jvp(order: int, equal: bool, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    phi, q1, q2, e = primals
    value = _covariance(phi, q1, q2, e, order, equal)
    moved = partial_jvp(lambda phi, q1, q2: covariance_at(phi, q1, q2, e, order, equal), primals[:3], tangents[:3])
    if is_zero(tangents[3]):
        return value, moved
    length = q1 if equal else jnp.sqrt(q1) * jnp.sqrt(q2)
    return value, moved - length * covariance(phi, q1, q2, e, order + 1, equal) * tangents[3]


def covariance_at(phi: Any, q1: Array, q2: Array, e: Array, order: int, equal: bool) -> Array:
    """`covariance` by quadrature; its derivative in e is that of the sum, not Price's."""
    pair = split(q1, q2, e)
    nodes, weights = outer_rule(phi, pair, equal)

    def slopes(length: Array) -> Array:
        def at(nodes: Array) -> tuple[Array]:
            return (mean_slope(phi, order, *inner_rule(phi, length, pair, nodes, FINE)),)

        return over_nodes(phi, at, nodes)[0]

    first = slopes(pair.s1)
    return total(weights, first, first if equal else slopes(pair.sign * pair.s2))


def from_stretched(
    near: Array | bool, q: Array, e: Array, distance: Array, own: Moments, growth: Moments, moved: Array
) -> Pair:
    """d/dq of a `Pair` of one variance at a fixed e, from `stretched` at its `near_gaps`, (3, gaps).

    `own` are the moments of one input and `growth` their derivatives in q.
    """
    xp, second = namespace(q), namespace(q).where(own.second > 0, own.second, 1.0)
    # The distance of a close pair is q e times a ratio; differentiate numerator and denominator.
    close = from_deficits(q, e, growth.slope, own.second, moved[1])
    of_distance = xp.where(near, close.distance + distance / q, moved[0][0] / second)
    return Pair(of_distance - distance * growth.second / second, xp.where(near, close.covariance, moved[2][0]))


def _stretched_pair(phi: Activation, q: Array, e: Array, distance: Array) -> Pair:
    """d/dq of `pair_moments` at a fixed e, traced."""
    own, growth = jax.jvp(partial(moments, phi), (q,), (jnp.ones_like(q),))
    near, gaps = is_near(phi, q, e), jnp.asarray(near_gaps(q.dtype))

    def look(gap: Array) -> Array:
        # The first is all that a pair far apart needs.
        wanted = near | (gap == 1)
        return lax.cond(wanted, lambda: jnp.stack(stretched(phi, q, e * gap)), lambda: jnp.zeros((3,), q.dtype))

    return from_stretched(near, q, e, distance, own, growth, lax.map(look, gaps).T)


def stretched(phi: Any, q: Array, e: Array, rule: Resolution = FINE) -> tuple[Array, Array, Array]:
    """d/dq, at a fixed e, of three moments of a pair of one variance q; phi may have kinks, and no steps.

    Of E[(phi(u) - phi(v))^2] / 2, of the same of phi', and of E[phi'(u) phi'(v)]. (u, v) are sqrt(q) times what three
    independent normals A, z, z' make of them, so that d/dq E[f] = E[f (A^2 + z^2 + z'^2 - 3)] / 2q, and phi'' is not
    needed.
    """
    pair = split(q, q, e)
    nodes, weights = outer_rule(phi, pair, True, rule)

    def parts(nodes: Array) -> tuple[Array, ...]:
        inner, mean, std = inner_rule(phi, pair.s1, pair, nodes, rule)
        square, z2 = nodes**2, inner.z**2

        def of_distance(value: Array, centre: Array) -> Array:
            deviation = value - centre[:, None, None]
            deviation = deviation - total(inner.weight, deviation, axis=(1, 2))[:, None, None]
            variance, moved = (total(inner.weight * f, deviation, deviation, (1, 2)) for f in (1.0, z2))
            return variance * (square - 2) + moved

        value, slope = phi(inner.x), phi.slope(inner.x)
        rising, moved = (total(inner.weight, slope, f, (1, 2)) for f in (None, z2))
        if any(phi.features.rough):
            # By parts: phi' is singular, phi is not.
            deviation, factors = value - phi(mean)[:, None, None], (inner.z, hermite(3, inner.z) + inner.z)
            rising, moved = (total(inner.weight, deviation, f, (1, 2)) / std for f in factors)
        of_covariance = rising * (rising * (square - 3) + 2 * moved)
        return of_distance(value, phi(mean)), of_distance(slope, phi.slope(mean)), of_covariance

    first, second, third = (total(weights, part) / (2 * q) for part in over_nodes(phi, parts, nodes))
    return first, second, third
