"""Moments of an activation of a pair of Gaussian inputs.

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
from .closed_forms import Moments
from .moments import moments, smallest
from .quadrature import REACH, Rule, gauss_legendre, gaussian_rule, legendre_panels

_INNER, _OUTER, _LAYER = 18, 8, 14
"""Panels of the inner rule, of the outer one, and of it for each layer."""
_BISECTIONS = 52
_NEAR_NODES = 8


class Pair(NamedTuple):
    """What a pair of inputs says of the distribution of its outputs.

    distance   : E[(phi(u)/a - phi(v)/b)^2] / 2 with a^2 = E[phi(u)^2], b^2 = E[phi(v)^2]: one minus the correlation
    covariance : E[phi'(u) phi'(v)], steps of phi counted
    """

    distance: Array
    covariance: Array


def pair_moments(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool = False) -> Pair:
    """`Pair` at variances q1, q2 and e = 1 - c in [0, 2]; scalar arrays.

    `equal` says that q2 is q1 and that c >= 0, which halves the work. The distance is 0 where phi vanishes. Relative
    accuracy of both near 1e-14 at any e, however small. Differentiable in everything, any number of times.
    """
    return _pair_moments(phi, q1, q2, e, equal)


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def _pair_moments(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Pair:
    return _evaluate(phi, q1, q2, e, equal)


@partial(_pair_moments.defjvp, symbolic_zeros=True)
def _pair_moments_jvp(equal: bool, primals: tuple, tangents: tuple) -> tuple[Pair, Pair]:
    phi, q1, q2, e = primals
    value = _pair_moments(phi, q1, q2, e, equal)
    moved = _partial_jvp(lambda *a: _evaluate(*a, e, equal), primals[:3], tangents[:3])
    if _is_zero(tangents[3]):
        return value, moved
    first = moments(phi, q1).second
    norm = first if equal else jnp.sqrt(first * moments(phi, q2).second)
    length = q1 if equal else jnp.sqrt(q1 * q2)
    apart = length * value.covariance / jnp.where(norm > 0, norm, 1.0)
    closer = -length * covariance(phi, q1, q2, e, 2, equal)
    return value, Pair(moved.distance + apart * tangents[3], moved.covariance + closer * tangents[3])


def _evaluate(phi: Activation, q1: Array, q2: Array, e: Array, equal: bool) -> Pair:
    if phi.closed is not None:
        return Pair(phi.closed.distance(phi, q1, q2, e), phi.closed.covariance(phi, q1, q2, e))
    own = moments(phi, q1)
    if not equal:
        return _integrate_pair(phi, q1, q2, e, own.second, moments(phi, q2).second, equal)[0]
    if phi.has_steps:
        return _integrate_pair(phi, q1, q1, e, own.second, own.second, equal)[0]
    return _equal(phi, q1, e, own)


def _integrate_pair(
    phi: Activation, q1: Array, q2: Array, e: Array, second1: Array, second2: Array, equal: bool
) -> tuple[Pair, Array]:
    """The pair moments by quadrature, and E[Var[phi' | A]], at one variance E[(phi'(u) - phi'(v))^2] / 2."""
    pair = _split(q1, q2, e)
    nodes, weights = _outer_rule(phi.kink_array(q1.dtype), phi.scale, pair, equal)
    first = _given(phi, pair.s1, pair, nodes)
    other = first if equal else _given(phi, pair.sign * pair.s2, pair, nodes)
    norm1, norm2 = (jnp.sqrt(jnp.where(m > 0, m, 1.0)) for m in (second1, second2))
    apart = first.variance / norm1**2 + other.variance / norm2**2 + (first.mean / norm1 - other.mean / norm2) ** 2
    apart, slopes, deficit = (_total(weights, of) for of in (apart, first.slope * other.slope, first.slope_variance))
    return Pair(apart / 2, slopes), deficit


def _total(weight: Array, value: Array, axis: tuple[int, ...] | None = None) -> Array:
    # An empty panel lies on a kink, where phi' may be infinite.
    return jnp.sum(weight * jnp.where(weight > 0, value, 0.0), axis)


def _equal(phi: Activation, q: Array, e: Array, own: Moments) -> Pair:
    """A pair of one variance; a close one from the deficit E[phi'^2] - E[phi' phi'] = E[(phi'(u) - phi'(v))^2] / 2.

    By Price's theorem the distance is q e (E[phi'^2] - mean deficit over e' in [0, e]) / E[phi^2]: a small positive
    correction, so that the ratio distance / e is right to the last digit where differences of phi itself, of size
    sqrt(e), would leave it an error of eps / sqrt(e). The criticality of c* rests on that ratio.
    """
    t, dt = gauss_legendre(_NEAR_NODES)
    # First e itself, which is all that a pair far apart needs; e' = e t^2 makes the deficits smooth in t.
    fractions = jnp.asarray(np.append(1.0, (t + 1) / 2), q.dtype)
    near = lax.stop_gradient(q * e) < (0.1 * phi.scale) ** 2

    def look(fraction: Array) -> tuple[Pair, Array]:
        def integrate() -> tuple[Pair, Array]:
            return _integrate_pair(phi, q, q, e * fraction**2, own.second, own.second, True)

        zero = jnp.zeros_like(q)
        return lax.cond(near | (fraction == 1), integrate, lambda: (Pair(zero, zero), zero))

    direct, deficits = lax.map(look, fractions)
    mean = jnp.sum(jnp.asarray((t + 1) / 2 * dt, q.dtype) * deficits[1:])
    ratio = (own.slope - mean) / jnp.where(own.second > 0, own.second, 1.0)
    close = Pair(q * e * ratio, own.slope - deficits[0])
    return jax.tree.map(lambda yes, no: jnp.where(near, yes, no[0]), close, direct)


class _Split(NamedTuple):
    s1: Array
    s2: Array
    shared: Array  # sqrt|c|
    noise: Array  # sqrt(1 - |c|), exact near c = 1
    sign: Array


def _split(q1: Array, q2: Array, e: Array) -> _Split:
    tiny = smallest(q1.dtype)
    apart = jnp.clip(jnp.where(e <= 1, e, 2 - e), tiny, 1.0)
    return _Split(
        jnp.sqrt(jnp.maximum(q1, tiny)),
        jnp.sqrt(jnp.maximum(q2, tiny)),
        jnp.sqrt(jnp.maximum(1 - apart, tiny)),
        jnp.sqrt(apart),
        jnp.where(e <= 1, 1.0, -1.0).astype(q1.dtype),
    )


def _outer_rule(kinks: Array, scale: float, pair: _Split, equal: bool) -> tuple[Array, Array]:
    """Nodes and weights over A ~ N(0, 1), dense in the layers where the inner expectation bends.

    The density of panels is a sum of bumps 1/sqrt((A - centre)^2 + width^2), one per kink and one for the bend at the
    origin; its integral is a sum of arcsinh's, inverted by bisection.
    """
    dtype = pair.s1.dtype
    lengths = [pair.s1] if equal else [pair.s1, pair.sign * pair.s2]
    largest = jnp.maximum(pair.s1, pair.s2)
    centres, widths = [jnp.zeros((1,), dtype)], [(jnp.hypot(scale / largest, pair.noise) / pair.shared)[None]]
    for length in lengths if kinks.size else []:
        centres.append(jnp.clip(kinks / (length * pair.shared), -2 * REACH, 2 * REACH))
        widths.append(jnp.broadcast_to(pair.noise / pair.shared, kinks.shape))
    centre, width = lax.stop_gradient((jnp.concatenate(centres), jnp.concatenate(widths)))
    width = jnp.clip(width, 1e-12, 1e6)

    def cumulative(a: Array) -> Array:
        return jnp.sum(jnp.arcsinh((a[..., None] - centre) / width), -1) + 0.7 * a

    panels = _OUTER + _LAYER * centre.size
    ends = cumulative(jnp.array([-REACH, REACH], dtype))
    target = ends[0] + (ends[1] - ends[0]) * jnp.asarray(np.linspace(0.0, 1.0, panels + 1), dtype)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lo, hi = bracket
        middle = (lo + hi) / 2
        below = cumulative(middle) < target
        return jnp.where(below, middle, lo), jnp.where(below, hi, middle)

    start = jnp.full_like(target, -REACH), jnp.full_like(target, REACH)
    lo, hi = lax.fori_loop(0, _BISECTIONS, halve, start)
    edges = ((lo + hi) / 2).at[0].set(-REACH).at[-1].set(REACH)
    edges = jnp.sort(jnp.concatenate([edges, jnp.clip(centre, -REACH, REACH)]))
    nodes, weights = legendre_panels(lax.stop_gradient(edges))
    weights = weights * jnp.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return nodes.ravel(), weights.ravel()


def _inner_rule(phi: Activation, length: Array, pair: _Split, nodes: Array) -> tuple[Rule, Array, Array]:
    """The rules over z given each A: arrays (len(nodes), panels, nodes); and the conditional means and deviation."""
    mean, std = length * pair.shared * nodes, jnp.abs(length) * pair.noise
    kinks = phi.kink_array(mean.dtype)
    return jax.vmap(lambda m: gaussian_rule(m, std, kinks, phi.scale, panels=_INNER))(mean), mean, std


class _Given(NamedTuple):
    """Given A: E[phi] and Var[phi], the slope of E[phi] in the conditional mean, and Var[phi']; each (len(nodes),)."""

    mean: Array
    variance: Array
    slope: Array
    slope_variance: Array


def _given(phi: Activation, length: Array, pair: _Split, nodes: Array) -> _Given:
    rule, mean, std = _inner_rule(phi, length, pair, nodes)
    average, variance = _mean_and_variance(rule.weight, phi(rule.x), phi(mean))
    rising, slope_variance = _mean_and_variance(rule.weight, phi.slope(rule.x), phi.slope(mean))
    if phi.has_steps:
        rising = _slope(phi, 1, rule, mean, std)
    return _Given(average, variance, rising, slope_variance)


def _mean_and_variance(weight: Array, value: Array, centre: Array) -> tuple[Array, Array]:
    # Deviations from the value at the mean first: the variance then keeps its digits where phi barely moves.
    deviation = value - centre[:, None, None]
    average = _total(weight, deviation, (1, 2))
    return centre + average, _total(weight, (deviation - average[:, None, None]) ** 2, (1, 2))


def _slope(phi: Activation, order: int, rule: Rule, mean: Array, std: Array) -> Array:
    """The order-th derivative of E[phi | A] with respect to the conditional mean, at every node A."""
    total = _total(rule.weight, phi.slope(rule.x) * _hermite(order - 1, rule.z), (1, 2)) / std ** (order - 1)
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


def covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int = 1, equal: bool = False) -> Array:
    """E[phi^(n)(u) phi^(n)(v)] for n = order >= 1, derivatives in the sense of distributions.

    Steps of phi count in phi', kinks in phi''. e = 1 - c; at e = 0 a value that diverges comes out as inf or huge.
    """
    if phi.closed is not None:
        if order == 1:
            return phi.closed.covariance(phi, q1, q2, e)
        lower = partial(covariance, phi, q1, q2, order=order - 1, equal=equal)
        return -jax.jvp(lower, (e,), (jnp.ones_like(e),))[1] / jnp.sqrt(q1 * q2)
    return _covariance(phi, q1, q2, e, order, equal)


@partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _covariance(phi: Activation, q1: Array, q2: Array, e: Array, order: int, equal: bool) -> Array:
    return _covariance_at(phi, q1, q2, e, order, equal)


@partial(_covariance.defjvp, symbolic_zeros=True)
def _covariance_jvp(order: int, equal: bool, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    phi, q1, q2, e = primals
    value = _covariance(phi, q1, q2, e, order, equal)
    moved = _partial_jvp(lambda *a: _covariance_at(*a, e, order, equal), primals[:3], tangents[:3])
    if _is_zero(tangents[3]):
        return value, moved
    length = q1 if equal else jnp.sqrt(q1 * q2)
    return value, moved - length * covariance(phi, q1, q2, e, order + 1, equal) * tangents[3]


def _covariance_at(phi: Activation, q1: Array, q2: Array, e: Array, order: int, equal: bool) -> Array:
    """`covariance` by quadrature; its derivative in e is that of the sum, not Price's."""
    pair = _split(q1, q2, e)
    nodes, weights = _outer_rule(phi.kink_array(q1.dtype), phi.scale, pair, equal)
    first = _slope(phi, order, *_inner_rule(phi, pair.s1, pair, nodes))
    other = first if equal else _slope(phi, order, *_inner_rule(phi, pair.sign * pair.s2, pair, nodes))
    return _total(weights, first * other)


def _is_zero(tangent: Any) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


def _partial_jvp(f: Callable, primals: tuple, tangents: tuple) -> Any:
    """The tangent of f in those leaves whose tangents are not symbolically zero: constants cost nothing."""
    leaves, tree = jax.tree.flatten(primals)
    directions = jax.tree.leaves(tangents, is_leaf=_is_zero)
    moving = [i for i, d in enumerate(directions) if not _is_zero(d)]
    if not moving:
        return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(f, *primals))

    def moved(values: list) -> Any:
        filled = list(leaves)
        for i, v in zip(moving, values, strict=True):
            filled[i] = v
        return f(*jax.tree.unflatten(tree, filled))

    return jax.jvp(moved, ([leaves[i] for i in moving],), ([directions[i] for i in moving],))[1]
