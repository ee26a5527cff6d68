"""The sigma_w around a critical point at which networks of a given depth still train."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import root_scalar

from ..blocks.block import MLP
from ..gaussian.activation import Activation
from ..theory.fixed_point import fixed_point
from ..theory.variance_trajectory import lengths
from .operating_point import REACH, OperatingPoint

_FIRST, _GROWTH, _WIDEST = 4e-3, 1.5, 20.0


def sigma_w_range(phi: Activation, point: OperatingPoint, depth: int) -> np.ndarray:
    """The sigma_w (2,) below and above the critical one where six of the shorter depth scale are `depth` layers.

    Depth scales are |xi_c| and |xi_grad| at sigma_b of the point (Schoenholz et al. 2017); where variances diverge, the
    scale of the gradient along the layers from q*. For ReLU, sqrt(2) e^(-3/depth) and sqrt(2) e^(3/depth). 0 and inf
    where there is no such end within a factor of e^20.

    >>> from meanfield.advice.operating_point import operating_point
    >>> from meanfield.gaussian.named import activation
    >>> relu = activation("relu")
    >>> (sigma_w_range(relu, operating_point(relu, 30), 30) / 2**0.5).round(6).tolist()
    [0.904837, 1.105171]
    """

    def excess(log_ratio: float) -> float:
        return _fastest(phi, point, point.sigma_w * math.exp(log_ratio), depth) - REACH / depth

    low, high = (_edge(excess, sign) for sign in (-1, 1))
    return point.sigma_w * np.exp([low, high])


def _fastest(phi: Activation, point: OperatingPoint, sigma_w: float, depth: int) -> float:
    """One over the shorter depth scale."""
    fp = fixed_point(MLP(phi, sigma_w, point.sigma_b), q0=max(point.q, 1e-3))
    if str(fp.status) in ("diverges", "scale_invariant"):
        return abs(float(lengths(phi, sigma_w, point.sigma_b, depth, point.q).log_gradient[0, -1])) / depth
    scales = [abs(float(v)) for v in (fp.xi_c, fp.xi_grad) if not np.isnan(v)]
    if not scales:
        return math.inf
    return 1 / min(scales) if min(scales) > 0 else math.inf


def _edge(excess: Callable[[float], float], sign: int) -> float:
    """The log of the ratio, on one side of 0, at which the excess turns positive."""
    inside, step = 0.0, _FIRST
    while step < _WIDEST:
        outside = sign * step
        if excess(outside) > 0:
            start = inside if excess(inside) < 0 else sign * 1e-9
            return _root(excess, start, outside)
        inside, step = outside, _GROWTH * step
    return sign * math.inf


def _root(excess: Callable[[float], float], inside: float, outside: float) -> float:
    # An infinite excess, at a depth scale of 0, has no place in a secant.
    found = root_scalar(lambda s: min(excess(s), 1.0), bracket=(inside, outside), xtol=1e-9)
    return float(found.root)
