"""An activation behind multiplicative noise: what is left of it once the noise is averaged over.

A unit x (1 + m xi) + a xi' is N(x, s^2) given x, with s^2 = m^2 x^2 + a^2. Over the noise its output has a mean and a
variance, and a gradient a mean square, that are functions of x: three activations, tabulated as polynomials on panels,
which the rules for any other activation then integrate over x.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.features import Features
from ..gaussian.host_activation import by_number, host_activation
from ..gaussian.pair_rule import rule_of
from ..gaussian.quadrature import NODES, gauss_legendre, legendre_panels, scale_free_edges
from .hosted import Hosted

_LAYER, _WITHIN = np.array([-4.5, 4.5]), np.array([-7.5, -1.5, 1.5, 7.5])
"""Where panels are cut around a kink, in standard deviations of the noise that smooths it: rules, and tables too."""
_GROUP = 256
"""Nodes whose noise is integrated at a time."""


class RandomOutput(NamedTuple):
    """The output of an activation that draws noise, given its input x: each an activation, as a function of x.

    mean, variance : E[f | x] and Var[f | x]
    squared_slope  : E[(df/dx)^2 | x], the noise held
    """

    mean: Activation
    variance: Activation
    squared_slope: Activation


def averaged(phi: Activation, noise: Any, added: Any) -> RandomOutput:
    """phi(x (1 + noise xi) + sqrt(added) xi') given x."""
    if isinstance(phi.closed, Hosted):
        return _hosted(phi.closed, noise, added)
    return _averaged(phi, noise, added)


def _hosted(phi: Hosted, noise: Any, added: Any) -> RandomOutput:
    def answer(*numbers: np.ndarray) -> tuple[Any, ...]:
        key, noise, added = (float(np.ravel(number)[0]) for number in numbers)
        number, rough = divmod(int(key), 2)
        with jax.enable_x64(True):
            parts = _averaged(by_number(number).activation, np.float64(noise), np.float64(added))
            return tuple(np.float64(2 * host_activation(part).number + rough) for part in parts)

    like = jax.ShapeDtypeStruct((), jnp.result_type(phi.key))
    keys = jax.pure_callback(answer, (like,) * 3, phi.key, noise, added, vmap_method="sequential")
    return RandomOutput(*(Activation(_only_moments, closed=Hosted(key), name="averaged") for key in keys))


def _only_moments(x: Array) -> Array:
    raise AssertionError("a hosted activation has moments only")


@jax.jit
def _averaged(phi: Activation, noise: Any, added: Any) -> RandomOutput:
    dtype = jnp.result_type(float, noise, added)
    noise, added = jnp.asarray(noise, dtype), jnp.asarray(added, dtype)
    smoothed = phi.kink_array(dtype)
    std = jnp.sqrt(_variance_at(smoothed, noise, added))
    kinks, within = (
        (smoothed[:, None] + std[:, None] * jnp.asarray(at, dtype)).ravel() for at in (np.append(_LAYER, 0.0), _WITHIN)
    )
    # The noise is smallest at 0.
    kinks = jnp.append(kinks, 0.0).astype(dtype)
    x, _ = legendre_panels(scale_free_edges(jnp.concatenate([kinks, within]), phi.scale))

    def given(x: Array) -> tuple[Any, Any]:
        return jax.jvp(partial(_given, phi, noise, added), (x,), (jnp.ones_like(x),))

    values, slopes = jax.lax.map(given, x.reshape(-1), batch_size=_GROUP)
    # Noise smooths a jump anywhere but at 0, where it has none.
    steps = (*(False,) * (len(kinks) - 1), phi.has_steps)
    edges = _edges(x)

    def tabulated(value: Array, slope: Array) -> Activation:
        table = {"value": _coefficients(value.reshape(x.shape)), "slope": _coefficients(slope.reshape(x.shape))}
        known = "averaged", Features(final=True)
        return Activation(_read, {"edges": edges, **table}, tuple(kinks), None, steps, phi.scale, *known)

    return RandomOutput(*map(tabulated, values, slopes))


def _variance_at(x: Array, noise: Array, added: Array) -> Array:
    return (noise * x) ** 2 + added


def _given(phi: Activation, noise: Array, added: Array, x: Array) -> tuple[Array, Array, Array]:
    """Mean, variance and mean squared slope given one x."""
    std = jnp.sqrt(jnp.maximum(_variance_at(x, noise, added), jnp.finfo(x.dtype).tiny))
    rule = rule_of(phi, x, std)
    value, slope = phi(rule.x), phi.slope(rule.x)
    mean = jnp.sum(rule.weight * value)
    # Of the noise w = m x xi + a xi', xi is known up to a part of its own.
    share = noise * x / std
    factor = (1 + noise * share * rule.z) ** 2 + noise**2 * (1 - jnp.minimum(share**2, 1.0))
    return mean, jnp.sum(rule.weight * (value - mean) ** 2), jnp.sum(rule.weight * factor * slope**2)


def _edges(x: Array) -> Array:
    """The ends of panels (P + 1,), from their Gauss-Legendre nodes (P, NODES)."""
    t, _ = gauss_legendre(NODES)
    middle, half = (x[:, -1] + x[:, 0]) / 2, (x[:, -1] - x[:, 0]) / (t[-1] - t[0])
    return jnp.append(middle - half, middle[-1] + half[-1])


def _coefficients(values: Array) -> Array:
    """The Legendre series on each panel, from values at its nodes; (P, NODES)."""
    t, weight = gauss_legendre(NODES)
    degrees = np.arange(NODES)
    series = np.polynomial.legendre.legvander(t, NODES - 1) * weight[:, None] * (2 * degrees + 1) / 2
    return values @ jnp.asarray(series, values.dtype)


@jax.custom_jvp
def _read(x: Array, edges: Array, value: Array, slope: Array) -> Array:
    """The tabulated function; NaN beyond its panels, and the mean of both sides at 0."""
    return _two_sided(x, edges, value)


@_read.defjvp
def _read_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, edges, value, slope = primals
    # Differentiating the series would cost it two digits.
    found, moved = jax.jvp(partial(_two_sided, x), (edges, value), tangents[1:3])
    return found, moved + _two_sided(x, edges, slope) * tangents[0]


def _two_sided(x: Array, edges: Array, series: Array) -> Array:
    other = jnp.where(x == 0, -jnp.finfo(x.dtype).tiny, x)
    return (_series(x, edges, series) + _series(other, edges, series)) / 2


def _series(x: Array, edges: Array, series: Array) -> Array:
    panel = jnp.clip(jnp.searchsorted(edges, x, side="right") - 1, 0, len(series) - 1)
    lo, hi = edges[panel], edges[panel + 1]
    t = (2 * x - lo - hi) / jnp.where(hi > lo, hi - lo, 1.0)
    chosen = jnp.where((x < edges[0]) | (x > edges[-1]), jnp.nan, 1.0)[..., None] * series[panel]
    before, now = jnp.ones_like(t), t
    total = chosen[..., 0] + chosen[..., 1] * t
    for n in range(1, series.shape[1] - 1):
        before, now = now, ((2 * n + 1) * t * now - n * before) / (n + 1)
        total = total + chosen[..., n + 1] * now
    return total
