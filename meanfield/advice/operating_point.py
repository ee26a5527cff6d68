"""Where on the critical line of an activation a deep network should start."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.block import MLP
from ..gaussian.activation import Activation
from ..gaussian.pair_rule import rule_of
from ..gaussian.quadrature import derivative
from ..interface.precision import host_float64
from ..theory.critical import EdgeOfChaos, critical, edge_of_chaos
from ..theory.variance_trajectory import lengths
from .merging import merging_depth

# Above it most units are saturated, and only a few train; ReLU has 1, GELU 1.05, the logistic sigmoid 3.5.
_WIDE = 1.5
_LARGEST_Q = 100.0

REACH = 6.0
"""Trainable depth in depth scales: about 6 (Schoenholz et al. 2017); signals may change by e^6 either way."""

_FARTHEST, _ENDLESS = 1024, 2.0**17
# A larger q* costs equal slopes where the line starts at 0; on a stable branch they differ anyway.
_LEEWAY = {"critical": 4.0, "stable_branch": 2.0}


class OperatingPoint(NamedTuple):
    """A point of the critical line, with its kind: "critical", "stable_branch", "scale_invariant", "poor" or "none".

    slope_2, slope_4: E[phi'^2] and E[phi'^4] at q; curvature: E[phi''^2] there, NaN where phi has kinks.
    """

    kind: str
    sigma_w: float
    sigma_b: float
    q: float
    chi_q: float
    slope_2: float
    slope_4: float
    curvature: float

    @property
    def spread(self) -> float:
        """E[phi'^4] / E[phi'^2]^2 - 1: one layer's part in the variance of squared singular values."""
        return self.slope_4 / self.slope_2**2 - 1


def operating_point(phi: Activation, depth: int) -> OperatingPoint:
    """The critical point for a network of `depth` layers.

    Homogeneous activations: their own (sigma_w, 0), at any q. Where the line is stable down to q* = 0: q* = 1/depth,
    small enough for nearly equal slopes (Pennington et al. 2017) but no smaller, so that phi stays nonlinear (Xiao et
    al. 2018). Otherwise the stable branch, at the smallest q* to which variances return within the depth, chi_q <=
    e^(-1/depth); failing that, at the smallest chi_q. If that point does not reach the depth itself (see `promise`),
    the smallest larger q* that does, or the one that comes nearest. "poor" if the slopes there vary too much, "none" if
    there is no stable point with q* <= 100.

    >>> from meanfield.gaussian.named import activation
    >>> operating_point(activation("relu"), 100).kind
    'scale_invariant'
    """
    if phi.has_steps:
        return _none()
    at_zero = critical(phi, sigma_b=0.0)
    if at_zero.status == "scale_invariant":
        return _at("scale_invariant", phi, 1.0, float(at_zero.sigma_w), 0.0, 1.0)
    small = critical(phi, q=1.0 / depth)
    # ReLU6 and hard tanh are homogeneous at small q: chi_q = 1 there does not mean drift.
    if small.status == "found" and small.chi_q < 1 + 1e-9:
        point = _at("critical", phi, 1.0 / depth, small.sigma_w, small.sigma_b, small.chi_q)
        if point.spread <= _WIDE:
            return _reaching(phi, point, depth)
    line = _stable_line(phi)
    if not line.q.size:
        return _none()
    quick = np.abs(line.chi_q) <= np.exp(-1 / depth)
    i = int(np.argmax(quick)) if quick.any() else int(np.argmin(np.abs(line.chi_q)))
    point = _at("stable_branch", phi, *(v[i] for v in (line.q, line.sigma_w, line.sigma_b, line.chi_q)))
    return point._replace(kind="poor") if point.spread > _WIDE else _reaching(phi, point, depth)


def _stable_line(phi: Activation) -> EdgeOfChaos:
    line = edge_of_chaos(phi, q=(1e-4, _LARGEST_Q, 400))
    stable = np.isfinite(line.sigma_b) & line.stable
    return EdgeOfChaos(*(v[stable] for v in (line.q, line.sigma_w, line.sigma_b, line.chi_q, line.stable)))


def _reaching(phi: Activation, first: OperatingPoint, depth: int) -> OperatingPoint:
    """The first point if it reaches the depth, else the one with the smallest larger q* that does, or comes nearest."""
    reached = promise(phi, first, depth).depth_limit
    if reached >= depth:
        return first
    line = _stable_line(phi)
    larger = np.flatnonzero(line.q > first.q)
    if len(larger) < 2:
        return first
    q, sigma_w, sigma_b, chi_q = (v[larger] for v in (line.q, line.sigma_w, line.sigma_b, line.chi_q))
    change, merged = _along_line(phi, q, sigma_w, sigma_b, depth)
    kept = change <= REACH
    reaching = kept & (merged >= depth)
    if (within := reaching & (change <= _LEEWAY[first.kind])).any():
        i = int(np.argmax(within))
    elif reaching.any():
        i = int(np.argmin(np.where(reaching, change, np.inf)))
    else:
        i = int(np.argmax(np.where(kept, merged, 0.0)))
    point = _at(first.kind, phi, q[i], sigma_w[i], sigma_b[i], chi_q[i])
    better = point.spread <= _WIDE and promise(phi, point, depth).depth_limit > reached
    return point if better else first


def _along_line(phi: Activation, q: Any, sigma_w: Any, sigma_b: Any, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest |ln| of a squared gradient's factor within the depth, and the layer of merging, at points (n,).

    Computed at a few of them and interpolated in ln q: both are smooth there, and what is chosen is computed again.
    """
    some = np.unique(np.linspace(0, len(q) - 1, 12).astype(int))
    w, b = sigma_w[some], sigma_b[some]
    change = np.abs(lengths(phi, w, b, depth, w**2 + b**2).log_gradient).max(1)
    few = some[:: max(len(some) // 3, 1)]
    merged = [merging_depth(MLP(phi, sigma_w[i], sigma_b[i]), q[i], REACH, _ENDLESS) for i in few]
    found = np.interp(np.log(q), np.log(q[few]), np.log(np.minimum(merged, _ENDLESS)))
    return np.interp(np.log(q), np.log(q[some]), change), np.exp(found)


class Promise(NamedTuple):
    """What a point holds out: ln of the factor on a squared gradient over the depth, and the layers it serves."""

    log_gradient: float
    depth_limit: float


def promise(phi: Activation, point: OperatingPoint, depth: int) -> Promise:
    """The gradient's change over `depth` layers from inputs of variance 1, and the maximum useful depth.

    The latter is the first layer where a squared gradient has changed by e^6, from inputs of variance 1, or 1 - c at q*
    has fallen by e^-6 from 1/2 (Schoenholz et al. 2017: six depth scales); inf beyond 1024 layers and the depth.

    >>> from meanfield.gaussian.named import activation
    >>> relu = activation("relu")
    >>> promise(relu, operating_point(relu, 100), 100).depth_limit
    176.0
    """
    most = max(_FARTHEST, depth)
    path = lengths(phi, point.sigma_w, point.sigma_b, most, point.sigma_w**2 + point.sigma_b**2).log_gradient[0]
    beyond = np.abs(path) > REACH
    explodes = float(np.argmax(beyond)) if beyond.any() else math.inf
    merged = merging_depth(MLP(phi, point.sigma_w, point.sigma_b), point.q, REACH, most)
    return Promise(float(path[depth]), min(explodes, merged))


def _none() -> OperatingPoint:
    return OperatingPoint("none", *[float("nan")] * 7)


def _at(kind: str, phi: Activation, q: Any, sigma_w: Any, sigma_b: Any, chi_q: Any) -> OperatingPoint:
    two, four, bend = (float(v) for v in _slopes(phi, float(q)))
    bend = float("nan") if phi.kinks else bend
    return OperatingPoint(kind, float(sigma_w), float(sigma_b), float(q), float(chi_q), two, four, bend)


@host_float64
def _slopes(phi: Activation, q: Any) -> tuple[Array, Array, Array]:
    q = jnp.asarray(q)
    rule = rule_of(phi, jnp.zeros_like(q), jnp.sqrt(q))
    squared, bend = phi.slope(rule.x) ** 2, derivative(phi.slope, rule.x)
    two, four, second = (jnp.sum(rule.weight * m) for m in (squared, squared**2, bend**2))
    return two, four, second
