"""Moments of an activation: of one Gaussian input, and of a pair.

A pair (u, v) with variances q1, q2 and correlation c = 1 - e shares a part: u = sqrt(q1) (sqrt|c| A + sqrt(1-|c|) z)
and v likewise with sign(c) A and a z of its own. Given A the two are independent, so every pair moment is an outer
expectation over A of inner ones over z:

    E[phi(u) phi(v)]   = E_A[S1 S2],    S(A)  = E_z[phi | A]
    E[phi'(u) phi'(v)] = E_A[S1' S2'],  S'(A) = E_z[phi' | A] + (value jumps) * density

and the half squared distance of the outputs is a sum of positive terms, exact to rounding relative to itself however
close the pair: E[(phi(u)/a - phi(v)/b)^2] / 2 = E_A[Var1/a^2 + Var2/b^2 + (S1/a - S2/b)^2] / 2. The inner rule is cut
at the kinks, which is one family of edges; the outer integrand is smooth, with layers of width sqrt(1-|c|) at each
kink, where its panels are concentrated.

d/dc of these is Price's theorem (1958): dE[f(u) g(v)] / dq12 = E[f' g'], again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .activation import Activation
from .control import branch, map_rows
from .quadrature import NODES, REACH, Estimate, Rule, estimate, gaussian_rule, legendre_panels


class Detail(NamedTuple):
    """How finely pairs are integrated: panels of the inner rule, of the outer one, and of it for each layer."""

    inner: int
    outer: int
    layer: int
    nodes: int = NODES
    reach: float = REACH


FINE = Detail(18, 8, 14)
_BISECTIONS = 52
_NEAR_NODES = 8


class Moments(NamedTuple):
    """Moments of phi(x), x ~ N(0, q): mean E[phi], second E[phi^2], slope E[phi'^2], and a bound on second's error."""

    mean: Array
    second: Array
    slope: Array
    error: Array


def _floor(q: Array) -> Array:
    # The limits q -> 0 are the values at a q so small that only the pieces of phi next to 0 are seen.
    return jnp.maximum(q, 1e-30 if q.dtype == jnp.float64 else 1e-16)


def moments(phi: Activation, q: Array) -> Moments:
    """E[phi], E[phi^2] and E[phi'^2] at one variance q, a scalar array; the last is inf where phi jumps.

    At q = 0 the slope is the limit q -> 0: the mean of the squared one-sided slopes where 0 is a kink.

    >>> from meanfield.gaussian.named import activation
    >>> import jax.numpy as jnp
    >>> float(moments(activation("relu"), jnp.float32(2.0)).second.round(5))
    1.0
    """
    if phi.closed is not None:
        mean, second, slope = phi.closed.moments(phi, q)
        return Moments(mean, second, slope, 4 * jnp.finfo(q.dtype).eps * jnp.abs(second))
    rule = gaussian_rule(jnp.zeros_like(q), jnp.sqrt(_floor(q)), phi.kink_array(q.dtype), phi.scale)
    mean, second, slope = _reduce(rule.weight, phi(rule.x), phi.slope(rule.x))
    at_zero = phi(jnp.zeros_like(q))
    aside = _floor(jnp.zeros_like(q))
    slope = jnp.where(q > 0, slope, (phi.slope(aside) ** 2 + phi.slope(-aside) ** 2) / 2)
    # A jump has an infinite share of the slope, at any q > 0.
    return Moments(
        jnp.where(q > 0, mean, at_zero),
        jnp.where(q > 0, second.value, at_zero**2),
        jnp.full_like(q, jnp.inf) if phi.has_steps else slope,
        second.error,
    )


@jax.jit
def _reduce(weight: Array, value: Array, slope: Array) -> tuple[Array, Estimate, Array]:
    return jnp.sum(weight * value), estimate(weight, value**2), estimate(weight, slope**2).value


def second_moment(phi: Activation, q: Array) -> Estimate:
    """E[phi(x)^2], x ~ N(0, q), with a bound on its error."""
    result = moments(phi, q)
    return Estimate(result.second, result.error)


class _Pair(NamedTuple):
    s1: Array
    s2: Array
    shared: Array  # sqrt|c|
    noise: Array  # sqrt(1 - |c|), exact near c = 1
    sign: Array


@jax.jit
def _pair(q1: Array, q2: Array, e: Array) -> _Pair:
    tiny = _floor(jnp.zeros_like(q1))
    apart = jnp.where(e <= 1, e, 2 - e)
    apart = jnp.clip(apart, tiny, 1.0)
    return _Pair(
        jnp.sqrt(_floor(q1)),
        jnp.sqrt(_floor(q2)),
        jnp.sqrt(jnp.maximum(1 - apart, tiny)),
        jnp.sqrt(apart),
        jnp.where(e <= 1, 1.0, -1.0).astype(q1.dtype),
    )


@partial(jax.jit, static_argnames=("equal", "detail"))
def _outer_rule(kinks: Array, scale: Array, pair: _Pair, equal: bool, detail: Detail = FINE) -> tuple[Array, Array]:
    """Nodes and weights over A ~ N(0, 1), dense in the layers where the inner expectation bends.

    The density of panels is a sum of bumps 1/sqrt((A - centre)^2 + width^2), one per kink and one for the bend at the
    origin; its integral is a sum of arcsinh's, inverted by bisection.
    """
    dtype = pair.s1.dtype
    lengths = [pair.s1] if equal else [pair.s1, pair.sign * pair.s2]
    largest = jnp.maximum(pair.s1, pair.s2)
    centres, widths = [jnp.zeros((1,), dtype)], [(jnp.hypot(scale / largest, pair.noise) / pair.shared)[None]]
    for length in lengths if kinks.size else []:
        centres.append(jnp.clip(kinks / (length * pair.shared), -2 * detail.reach, 2 * detail.reach))
        widths.append(jnp.broadcast_to(pair.noise / pair.shared, kinks.shape))
    centre, width = lax.stop_gradient((jnp.concatenate(centres), jnp.concatenate(widths)))
    width = jnp.clip(width, 1e-12, 1e6)

    def cumulative(a: Array) -> Array:
        return jnp.sum(jnp.arcsinh((a[..., None] - centre) / width), -1) + 0.7 * a

    panels = detail.outer + detail.layer * centre.size
    ends = cumulative(jnp.array([-detail.reach, detail.reach], dtype))
    target = ends[0] + (ends[1] - ends[0]) * jnp.asarray(np.linspace(0.0, 1.0, panels + 1), dtype)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lo, hi = bracket
        middle = (lo + hi) / 2
        below = cumulative(middle) < target
        return jnp.where(below, middle, lo), jnp.where(below, hi, middle)

    start = jnp.full_like(target, -detail.reach), jnp.full_like(target, detail.reach)
    lo, hi = lax.fori_loop(0, _BISECTIONS, halve, start)
    edges = ((lo + hi) / 2).at[0].set(-detail.reach).at[-1].set(detail.reach)
    edges = jnp.sort(jnp.concatenate([edges, jnp.clip(centre, -detail.reach, detail.reach)]))
    nodes, weights = legendre_panels(lax.stop_gradient(edges), detail.nodes)
    weights = weights * jnp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes.ravel(), weights.ravel()


def _inner_rule(phi: Activation, length: Array, pair: _Pair, nodes: Array, detail: Detail = FINE) -> tuple[Rule, Array, Array]:
    """The rules over z given each A: arrays (len(nodes), panels, nodes)."""
    mean, std = length * pair.shared * nodes, jnp.abs(length) * pair.noise
    kinks = phi.kink_array(mean.dtype)
    size = {"panels": detail.inner, "nodes": detail.nodes, "reach": detail.reach}
    return jax.vmap(lambda m: gaussian_rule(m, std, kinks, phi.scale, **size))(mean), mean, std


def _both(of: Callable[[Array], Any], pair: _Pair, equal: bool) -> tuple[Any, Any]:
    """of(sqrt q) for both members of a pair; lengths carry the sign with which A enters."""
    first = of(pair.s1)
    if not equal:
        return first, of(pair.sign * pair.s2)
    # At c >= 0 both see the same A, at c < 0 opposite ones.
    return first, branch(pair.sign > 0, lambda: first, lambda: of(-pair.s1))


def _smooth(phi: Activation, pair: _Pair, nodes: Array, length: Array) -> tuple[Array, Array]:
    """E[phi | A] and Var[phi | A] at every node A."""
    rule, mean, _ = _inner_rule(phi, length, pair, nodes)
    return _mean_and_variance(rule.weight, phi(rule.x), phi(mean))


@jax.jit
def _mean_and_variance(weight: Array, value: Array, centre: Array) -> tuple[Array, Array]:
    # Deviations from the value at the mean first: the variance then keeps its digits where phi barely moves.
    deviation = value - centre[:, None, None]
    average = jnp.sum(weight * deviation, (1, 2))
    return centre + average, jnp.sum(weight * (deviation - average[:, None, None]) ** 2, (1, 2))


def _smooth_slope(phi: Activation, order: int, detail: Detail, pair: _Pair, nodes: Array, length: Array) -> Array:
    """The order-th derivative of E[phi | A] with respect to the conditional mean, at every node A."""
    rule, mean, std = _inner_rule(phi, length, pair, nodes, detail)
    total = jnp.sum(rule.weight * phi.slope(rule.x) * _hermite(order - 1, rule.z), (1, 2)) / std ** (order - 1)
    if phi.has_steps:
        z = (phi.kink_array(mean.dtype) - mean[:, None]) / std
        bump = jnp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * _hermite(order - 1, z) / std**order
        total = total + jnp.sum(phi.jumps(mean.dtype) * bump, 1)
    return total


def _hermite(n: int, z: Array) -> Array:
    """The probabilists' Hermite polynomial He_n."""
    before, now = jnp.zeros_like(z), jnp.ones_like(z)
    for k in range(n):
        before, now = now, z * now - k * before
    return now


def distance(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool = False) -> Array:
    """E[(phi(u)/a - phi(v)/b)^2] / 2 with a^2 = E[phi(u)^2], b^2 = E[phi(v)^2]: one minus the output's correlation.

    q1, q2 are the variances of u and v, e = 1 - c in [0, 2]; scalar arrays. `equal` says that q2 is q1, which halves
    the work. 0 where phi vanishes. Relative accuracy near 1e-14 at any e, however small.
    """
    return _price_distance(phi, q1, q2, e, equal)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _price_distance(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Array:
    return _distance(phi, q1, q2, e, equal)


def _distance(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Array:
    e = lax.stop_gradient(e)
    if phi.closed is not None:
        return phi.closed.distance(phi, q1, q2, e)
    if not equal or phi.has_steps:
        return _distance_direct(phi, q1, q2, e, equal)
    near = lax.stop_gradient(q1) * e < (0.1 * phi.scale) ** 2
    return branch(near, lambda: _distance_near(phi, q1, e), lambda: _distance_direct(phi, q1, q2, e, equal))


def _distance_direct(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Array:
    pair = _pair(q1, q2, e)
    nodes, weights = _outer_rule(phi.kink_array(q1.dtype), phi.scale, pair, equal)
    both = _both(partial(_smooth, phi, pair, nodes), pair, equal)
    second = moments(phi, q1).second
    return _reduce_distance(weights, *both, second, second if equal else moments(phi, q2).second)


@jax.jit
def _reduce_distance(weights: Array, first: tuple, other: tuple, second1: Array, second2: Array) -> Array:
    (mean1, var1), (mean2, var2) = first, other
    norm1, norm2 = (jnp.sqrt(jnp.where(m > 0, m, 1.0)) for m in (second1, second2))
    return jnp.sum(weights * (var1 / norm1**2 + var2 / norm2**2 + (mean1 / norm1 - mean2 / norm2) ** 2)) / 2


def _distance_near(phi: Activation, q: Array, e: Array) -> Array:
    """The distance of a close pair of one length: q e (E[phi'^2] - deficit) / E[phi^2].

    The deficit is the mean over e' in [0, e] of E[(phi'(u) - phi'(v))^2] / 2, by Price's theorem: a small positive
    correction, so that the ratio distance / e is right to the last digit where differences of phi itself, of size
    sqrt(e), would leave it an error of eps / sqrt(e). The criticality of c* rests on that ratio.
    """
    t, dt = np.polynomial.legendre.leggauss(_NEAR_NODES)
    t, dt = (t + 1) / 2, dt / 2

    def differ(fraction: Array) -> Array:
        pair = _pair(q, q, e * fraction**2)
        nodes, weights = _outer_rule(phi.kink_array(q.dtype), phi.scale, pair, equal=True)
        return jnp.sum(weights * _smooth(phi.slope_activation, pair, nodes, pair.s1)[1])

    deficit = jnp.sum(jnp.asarray(2 * t * dt, q.dtype) * map_rows(differ, jnp.asarray(t, q.dtype)))
    own = moments(phi, q)
    return q * e * (own.slope - deficit) / jnp.where(own.second > 0, own.second, 1.0)


@partial(_price_distance.defjvp, symbolic_zeros=True)
def _distance_jvp(equal: bool, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    phi, q1, q2, e = primals
    value, along = _partial_jvp(lambda *a: _distance(*a, e, equal), primals[:3], tangents[:3])
    if _is_zero(tangents[3]):
        return value, along
    first = moments(phi, q1).second
    norm = first if equal else jnp.sqrt(first * moments(phi, q2).second)
    length = q1 if equal else jnp.sqrt(q1 * q2)
    slope = length * covariance(phi, q1, q2, e, 1, equal) / jnp.where(norm > 0, norm, 1.0)
    return value, along + slope * tangents[3]


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _partial_jvp(f: Callable, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    """jvp of f in those leaves whose tangents are not symbolically zero; a constant costs one evaluation, not two."""
    leaves, tree = jax.tree.flatten(primals)
    directions = jax.tree.leaves(tangents, is_leaf=_is_zero)
    moving = [i for i, d in enumerate(directions) if not _is_zero(d)]

    def moved(values: list) -> Array:
        filled = list(leaves)
        for i, v in zip(moving, values, strict=True):
            filled[i] = v
        return f(*jax.tree.unflatten(tree, filled))

    if not moving:
        value = moved([])
        return value, jnp.zeros_like(value)
    return jax.jvp(moved, ([leaves[i] for i in moving],), ([directions[i] for i in moving],))


def covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int = 1, equal: bool = False) -> Array:
    """E[phi^(n)(u) phi^(n)(v)] for n = order >= 1, derivatives in the sense of distributions.

    Steps of phi count in phi', kinks in phi''. e = 1 - c; at e = 0 a value that diverges comes out as inf or huge.
    """
    if phi.closed is not None:
        if order > 1:
            lower = partial(covariance, phi, q1, q2, order=order - 1, equal=equal)
            return -jax.jvp(lower, (e,), (jnp.ones_like(e),))[1] / jnp.sqrt(q1 * q2)
        return phi.closed.covariance(phi, q1, q2, e)
    return _price_covariance(phi, q1, q2, e, order, equal)


def covariances(phi: Activation, q: Array, e: Array, detail: Detail) -> Array:
    """E[phi'(u) phi'(v)] at one variance q and many e in (0, 1], at a chosen detail; not differentiable. Shape of e."""
    if phi.closed is not None:
        return phi.closed.covariance(phi, q, q, e)
    return jax.vmap(lambda e: _covariance(phi, q, q, e, 1, True, detail))(e)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _price_covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int, equal: bool) -> Array:
    return _covariance(phi, q1, q2, e, order, equal)


def _covariance(
    phi: Activation, q1: Array, q2: Array, e: Array, order: int, equal: bool, detail: Detail = FINE
) -> Array:
    pair = _pair(q1, q2, lax.stop_gradient(e))
    nodes, weights = _outer_rule(phi.kink_array(q1.dtype), phi.scale, pair, equal, detail)
    first, second = _both(partial(_smooth_slope, phi, order, detail, pair, nodes), pair, equal)
    return jnp.sum(weights * first * second)


@partial(_price_covariance.defjvp, symbolic_zeros=True)
def _covariance_jvp(order: int, equal: bool, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    phi, q1, q2, e = primals
    value, along = _partial_jvp(lambda *a: _covariance(*a, e, order, equal), primals[:3], tangents[:3])
    if _is_zero(tangents[3]):
        return value, along
    length = q1 if equal else jnp.sqrt(q1 * q2)
    return value, along - length * covariance(phi, q1, q2, e, order + 1, equal) * tangents[3]
