"""Where on the critical line of an activation a deep network should start."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.pair_rule import rule_of
from ..gaussian.quadrature import derivative
from ..interface.precision import host_float64
from ..theory.critical import critical, edge_of_chaos

# Above it most units are saturated, and only a few train; ReLU has 1, GELU 1.05, the logistic sigmoid 3.5.
_WIDE = 1.5
_LARGEST_Q = 100.0


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
    e^(-1/depth); failing that, at the smallest chi_q. "poor" if the slopes there vary too much, "none" if there is no
    stable point with q* <= 100.

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
            return point
    line = edge_of_chaos(phi, q=(1e-4, _LARGEST_Q, 400))
    stable = np.isfinite(line.sigma_b) & line.stable
    if not stable.any():
        return _none()
    size = np.where(stable, np.abs(line.chi_q), np.inf)
    quick = size <= np.exp(-1 / depth)
    i = int(np.argmax(quick)) if quick.any() else int(np.argmin(size))
    point = _at("stable_branch", phi, line.q[i], line.sigma_w[i], line.sigma_b[i], line.chi_q[i])
    return point._replace(kind="poor") if point.spread > _WIDE else point


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
