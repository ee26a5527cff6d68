"""The second derivative of an activation under a Gaussian: a function between the kinks, a delta at each of them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..interface.numbers import Numbers
from .activation import Activation
from .host_activation import HostActivation
from .moments import sampled
from .quadrature import namespace


class SecondDerivative(NamedTuple):
    """phi'' of x ~ N(0, q): E[phi''^2] off the kinks, and sum of s^2 N(x0; 0, q) over the kinks.

    s is the jump of phi' at x0. E[phi''(u) phi''(v)] of a pair at correlation 1 - e is `smooth` +
    `kinks` / sqrt(4 pi q e) to leading order, so that it diverges at e = 0 where `kinks` is not 0. Both are NaN-free
    for a q > 0 that the nodes reach; where phi itself jumps neither is meaningful, and `kinks` is inf.
    """

    smooth: Array
    kinks: Array


def second_derivative(phi: Activation, q: Array) -> SecondDerivative:
    """`SecondDerivative` at one variance q > 0, a scalar array; differentiable in q and phi's parameters.

    >>> from meanfield.gaussian.named import activation
    >>> import jax.numpy as jnp
    >>> [round(float(part), 5) for part in second_derivative(activation("relu"), jnp.float32(1.0))]
    [0.0, 0.39894]
    """
    if phi.closed is not None:
        smooth = phi.closed.curvature(phi, q)
    else:
        slope = replace(phi.slope_activation, steps=(False,) * len(phi.kinks))
        smooth = sampled(slope, q.dtype).closed.moments(slope, q).slope
    at = phi.kink_array(q.dtype)
    density = jnp.exp(-(at**2) / (2 * q)) / jnp.sqrt(2 * np.pi * q)
    kinks = jnp.sum(slope_jumps(phi, q.dtype) ** 2 * density)
    return SecondDerivative(smooth, jnp.full_like(q, jnp.inf) if phi.has_steps else kinks)


def slope_jumps(phi: Activation | HostActivation, dtype: np.dtype) -> Numbers:
    """phi'(k+) - phi'(k-) at each kink, shape (k,); exactly 0 where it is within rounding of 0, as ELU's is.

    NumPy for a `HostActivation`. Each side is extrapolated to the kink from two points, so that the position need not
    be exact to the last bit and curvature next to it is not mistaken for a jump.
    """
    at = phi.kink_array(dtype)
    if at.size == 0:
        return at
    xp = namespace(at)
    eps = xp.finfo(dtype).eps
    aside = xp.sqrt(eps) * xp.maximum(xp.abs(at), phi.scale)
    right, left = (2 * phi.slope(at + way * aside) - phi.slope(at + 2 * way * aside) for way in (1, -1))
    size = xp.maximum(xp.abs(right), xp.abs(left))
    jump = right - left
    return xp.where(xp.abs(jump) > 1e3 * eps * size, jump, 0.0)
