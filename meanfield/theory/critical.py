"""The edge of chaos: where chi_1 = 1, as a curve parametrized by q* and as points on it.

At a given q*, criticality requires sigma_w^2 = 1 / E[phi'^2], and the fixed point then requires
sigma_b^2 = q - sigma_w^2 E[phi^2]: no root in two dimensions is needed. For a given sigma_b or sigma_w it is a root in
q alone; there may be several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.hosted import for_single_inputs
from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.closed_forms import Moments
from ..gaussian.moments import gradient_moments, moments
from ..gaussian.named import activation
from ..interface.arguments import sigma, variances
from ..interface.labels import CriticalStatus
from ..interface.precision import host_float64
from ..interface.ranges import values_of
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..solvers.roots import MOST_ROOTS, attach, bracketed_newton, brackets, significant_signs

_FOUND, _NONE, _LIMIT, _INVARIANT = (
    member.code
    for member in (CriticalStatus.FOUND, CriticalStatus.NONE, CriticalStatus.LIMIT_Q0, CriticalStatus.SCALE_INVARIANT)
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class EdgeOfChaos(Result):
    """Points of the critical line; arrays of one shape. sigma_b is NaN where it would need sigma_b^2 < 0.

    q is q*; chi_q = dV/dq there; stable: chi_q < 1 (iteration does not reach an unstable point).
    """

    q: Any
    sigma_w: Any
    sigma_b: Any
    chi_q: Any
    stable: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class CriticalPoint(Result):
    """The result of `critical`, of the shape S of the number given: NaN where there is none.

    `branches` holds every point found, (*S, 5), NaN-padded.
    """

    sigma_w: Any
    sigma_b: Any
    q_star: Any
    chi_q: Any
    stable: Any
    status: CriticalStatus
    branches: EdgeOfChaos


@in_own_settings
def edge_of_chaos(phi: str | Callable | Activation, q: Any = (1e-4, 10.0, 200)) -> EdgeOfChaos:
    """The critical line chi_1 = 1, parametrized by q*.

    sigma_w^2 = 1 / E[phi'^2] and sigma_b^2 = q - sigma_w^2 E[phi^2] (Schoenholz et al. 2017; Hayou et al. 2019). q is
    an array of variances, or (lo, hi, n) for n points spaced geometrically. Accurate to 1e-13 relative in sigma_w.

    >>> import meanfield as mf
    >>> line = mf.edge_of_chaos("tanh", q=[0.5700478816])
    >>> print(f"{line.sigma_w[0]**2:.6f} {line.sigma_b[0]**2:.6f}")
    1.760955 0.050000
    """
    values = variances("q", values_of("q", q, geometric=True))
    return line_at(for_single_inputs(activation(phi)), values)


@host_float64(compiled=False)
def line_at(phi: Activation, q: Any) -> EdgeOfChaos:
    """`edge_of_chaos` at an array of variances, of an activation that may be hosted, sampled or tabulated."""
    return jax.vmap(partial(_point, phi))(jnp.asarray(q))


def _line(at: Moments, q: Array) -> tuple[Array, Array]:
    """sigma_w^2 and sigma_b^2 of the critical line at q."""
    return 1 / at.slope, q - at.second / at.slope


def _point(phi: Activation, q: Array) -> EdgeOfChaos:
    at, growth = jax.jvp(partial(gradient_moments, phi), (q,), (jnp.ones_like(q),))
    w_var, b_var = _line(at, q)
    # Within rounding of 0 it counts as 0: homogeneous activations, and the limit q -> 0.
    b_var = jnp.where(jnp.abs(b_var) <= 64 * jnp.finfo(q.dtype).eps * q, 0.0, b_var)
    legal = (b_var >= 0) & (w_var > 0)
    sigma_b = jnp.where(legal, jnp.sqrt(jnp.where(b_var > 0, b_var, 1.0)) * (b_var > 0), jnp.nan)
    sigma_w = jnp.where(w_var > 0, jnp.sqrt(jnp.where(w_var > 0, w_var, 1.0)), jnp.nan)
    # Where phi(0) = 0, V'(0) is chi_1 at 0, which is 1 here.
    chi_q = jnp.where(q > 0, w_var * growth.second, jnp.where(at.second == 0, 1.0, jnp.nan))
    chi_q = jnp.where(w_var > 0, chi_q, jnp.nan)
    return EdgeOfChaos(q, sigma_w, sigma_b, chi_q, chi_q < 1)


@in_own_settings
def critical(
    phi: str | Callable | Activation, *, sigma_b: Any = None, sigma_w: Any = None, q: Any = None
) -> CriticalPoint:
    """The critical initialization (chi_1 = 1, V(q*) = q*) of an activation at a given sigma_b, sigma_w or q*.

    Give exactly one, a number or an array of any shape. `status` is found, none, limit_q0 (criticality at q* = 0 only)
    or scale_invariant (at every q: ReLU at sigma_b = 0, He et al. 2015). Of several branches the stable one (chi_q < 1)
    comes first, then the smallest q*; `branches` has all. Differentiable in the given number and in the activation's
    parameters. Raises InputError unless exactly one is given, and it is not negative. Accurate to 1e-10 relative, or
    what conditioning allows.

    >>> import meanfield as mf
    >>> point = mf.critical("tanh", sigma_b=0.05**0.5)
    >>> print(f"{point.sigma_w**2:.8f} {point.q_star:.8f} {point.status}")
    1.76095464 0.57004788 found
    >>> mf.critical("tanh", sigma_b=[0.1, 0.2]).sigma_w.round(6).tolist()
    [1.193401, 1.304146]
    """
    given = {k: v for k, v in (("sigma_b", sigma_b), ("sigma_w", sigma_w), ("q", q)) if v is not None}
    if len(given) != 1:
        raise InputError(f"critical needs exactly one of sigma_b, sigma_w, q; got {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    sigma(name, value)
    return _critical(for_single_inputs(activation(phi), value), value, given=name)


@host_float64(static=("given",), compiled=False)
def _critical(phi: Activation, value: Any, *, given: str) -> CriticalPoint:
    value = jnp.asarray(value)
    if not value.ndim:
        return _critical_at(phi, given, value)
    found = jax.vmap(partial(_critical_at, phi, given))(value.ravel())
    return jax.tree.map(lambda a: a.reshape(value.shape + a.shape[1:]), found)


def _critical_at(phi: Activation, given: str, value: Array) -> CriticalPoint:
    if given == "q":
        roots = jnp.where(jnp.arange(MOST_ROOTS) == 0, value, jnp.nan)
        return _order_branches(phi, roots, np.bool_(False), value, given)
    excess = partial(_excess, given)
    frozen = lax.stop_gradient((phi, value))
    dtype = value.dtype
    # Below these q rounding hides the line; the status `limit_q0` covers that case.
    low, high = (-12, 12) if dtype == np.float64 else (-6, 6)
    grid = jnp.asarray(10.0 ** np.arange(low, high + 0.01, 0.05), dtype)
    values = jax.vmap(lambda q: excess(q, *frozen))(grid)
    signs = significant_signs(values, 64 * jnp.finfo(dtype).eps * jnp.ones_like(grid), jnp.zeros((), dtype))

    def in_log(s: Array) -> tuple[Array, Array]:
        return jax.vmap(lambda s: jax.jvp(lambda s: excess(jnp.exp(s), *frozen), (s,), (jnp.ones_like(s),)))(s)

    roots = jnp.exp(bracketed_newton(in_log, brackets(signs, jnp.log(grid))))
    roots = jax.vmap(lambda q: attach(excess, q, phi, value))(roots)
    return _order_branches(phi, roots, jnp.all(signs == 0), value, given)


def _excess(given: str, q: Array, phi: Activation, value: Array) -> Array:
    """The distance of the critical line at q from the given number: in sigma_b^2 over q, or in relative sigma_w^2."""
    w_var, b_var = _line(gradient_moments(phi, q), q)
    return (b_var - value**2) / q if given == "sigma_b" else w_var / value**2 - 1


def _order_branches(
    phi: Activation, roots: Array, invariant: Array | np.bool_, value: Array, given: str
) -> CriticalPoint:
    """The branches of all roots, ordered, and the status."""
    known = ~jnp.isnan(roots)
    points = jax.vmap(partial(_point, phi))(jnp.append(jnp.where(known, roots, 1.0), 0.0))
    limit = jax.tree.map(lambda a: a[-1], points)
    points = jax.tree.map(lambda a: a[:-1], points)
    legal = known & ~jnp.isnan(points.sigma_b) & ~jnp.isnan(points.sigma_w)
    points = jax.tree.map(lambda a: jnp.where(legal, a, False if a.dtype == bool else jnp.nan), points)
    order = jnp.argsort(jnp.where(legal, jnp.where(points.stable, 0, 1), 2), stable=True)
    points = jax.tree.map(lambda a: a[order], points)
    first = jax.tree.map(lambda a: a[0], points)
    at_zero = moments(phi, jnp.zeros_like(value)).second == 0
    eps = jnp.finfo(value.dtype).eps
    wanted = {"sigma_b": value == 0, "sigma_w": jnp.abs(limit.sigma_w - value) <= 8 * eps * value, "q": value == 0}[
        given
    ]
    # A homogeneous activation is critical at every q at sigma_b = 0; given sigma_w, only if that is its critical one.
    limited = wanted & at_zero & jnp.isfinite(limit.sigma_w) & (~legal[order[0]] if given != "q" else True)
    status = jnp.where(legal[order[0]], _FOUND, jnp.where(limited, _LIMIT, _NONE))
    status = jnp.where(invariant & wanted, _INVARIANT, status)
    from_limit = (status == _LIMIT) | (status == _INVARIANT)
    nan = jnp.full_like(value, jnp.nan)

    def pick(found: Array, at_limit: Array) -> Array:
        return jnp.where(status == _FOUND, found, jnp.where(from_limit, at_limit, nan))

    zero = jnp.zeros_like(value)
    return CriticalPoint(
        sigma_w=pick(first.sigma_w, limit.sigma_w),
        sigma_b=pick(first.sigma_b, zero),
        q_star=pick(first.q, jnp.where(status == _INVARIANT, nan, zero)),
        chi_q=pick(first.chi_q, jnp.where(status == _INVARIANT, 1.0, limit.chi_q)),
        stable=jnp.where(status == _FOUND, first.stable, limit.chi_q < 1) & (status != _NONE),
        status=CriticalStatus(status.astype(jnp.int8)),
        branches=points,
    )
