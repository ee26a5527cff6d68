"""The named schemes, ready to use, and the two that depend on an activation: `gain` and `critical`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.moments import moments
from ..gaussian.named import activation
from ..interface.arguments import one_of, sigma
from ..interface.numbers import Scalar
from ..interface.precision import host_float64
from ..interface.settings import in_own_settings
from ..theory.critical import critical as critical_point
from .orthogonal import DeltaOrthogonal, Orthogonal
from .rule import Distribution, He, Mode, Rule, Scaled

lecun = Scaled()
"""Variance 1 / fan_in (LeCun et al. 1998): sigma_w = 1."""

glorot = Scaled(distribution="uniform", mode="fan_avg")
"""Uniform of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010): sigma_w = 1 on square kernels."""

heuristic = Scaled(1 / math.sqrt(3), distribution="uniform")
"""Uniform on +-1/sqrt(fan_in), variance 1 / (3 fan_in): the "commonly used heuristic" of Glorot & Bengio (2010)."""

he = He()
"""Variance 2 / ((1 + slope^2) fan_in) (He et al. 2015): sigma_w = sqrt(2) for ReLU."""

selu = Scaled()
"""Variance 1 / fan_in, the weights of self-normalizing networks (Klambauer et al. 2017); see `self_normalizing`."""

orthogonal = Orthogonal()
"""A random orthogonal matrix (Saxe et al. 2014), equal to JAX's: sigma_w = 1 where fan_in >= fan_out."""

delta_orthogonal = DeltaOrthogonal()
"""An orthogonal matrix at the centre of a convolution's window (Xiao et al. 2018), equal to JAX's."""

WEIGHTS = ("gaussian", "orthogonal", "delta_orthogonal")
KINDS = ("second_moment", "variance", "gradient")


@in_own_settings
def gain(
    phi: str | Callable | Activation,
    kind: str = "second_moment",
    *,
    distribution: Distribution = "normal",
    mode: Mode = "fan_in",
) -> Scaled:
    """The sigma_w that preserves a moment of this activation at unit pre-activation variance, exactly.

    kind "second_moment": E[phi^2]^(-1/2), which makes q = 1 a fixed point (He et al. 2015, for any phi); "variance":
    Var[phi]^(-1/2), for weights whose columns sum to zero (Brock et al. 2021); "gradient": E[phi'^2]^(-1/2), which
    gives chi_1 = 1 at q = 1. The first and the last agree for homogeneous phi only. `.sigma_w` is the number, accurate
    to 1e-13. InputError for an unknown kind, or if the moment is 0 or infinite.

    >>> print(f"{gain('relu').sigma_w:.6f} {gain('tanh').sigma_w:.6f} {gain('relu', 'variance').sigma_w:.6f}")
    1.414214 1.592537 1.712859
    """
    one_of("kind", kind, KINDS)
    phi = activation(phi)
    mean, second, slope = (float(m) for m in _at_one(phi))
    preserved = {"second_moment": second, "variance": second - mean**2, "gradient": slope}[kind]
    if not 0 < preserved < math.inf or preserved <= 64 * 2.0**-52 * second:
        raise InputError(f"phi={phi.name!r}: its {kind} at q = 1 is {preserved:g}, which no weights preserve")
    return Scaled(preserved**-0.5, 0.0, distribution, mode)


@host_float64
def _at_one(phi: Activation) -> tuple[Any, Any, Any]:
    at = moments(phi, jnp.ones((), jax.dtypes.canonicalize_dtype(float)))
    return at.mean, at.second, at.slope


@in_own_settings
def critical(
    phi: str | Callable | Activation,
    *,
    sigma_b: Scalar | None = None,
    sigma_w: Scalar | None = None,
    q: Scalar | None = None,
    weights: str = "gaussian",
    distribution: Distribution = "normal",
) -> Rule:
    """Weights and biases at the critical point of an activation, given one of sigma_b, sigma_w or q*.

    The point is `mf.critical`'s (Schoenholz et al. 2017). weights: "gaussian" (or another `distribution` of independent
    entries), "orthogonal", or "delta_orthogonal" for convolutions; they are scaled so that sigma_w is realized on every
    shape. Use it as `kernel_init` and as `bias_init`. InputError if there is no critical point; a warning if the point
    is unstable in the variance (chi_q > 1: networks drift away from it).

    >>> rule = critical("tanh", q=0.01, weights="orthogonal")
    >>> print(f"{rule.sigma_w**2:.6f} {rule.sigma_b**2:.5e}")
    1.019711 1.25800e-06
    """
    one_of("weights", weights, WEIGHTS)
    phi = activation(phi)
    for name, value in (("sigma_b", sigma_b), ("sigma_w", sigma_w), ("q", q)):
        if value is not None:
            sigma(name, value, single=True)
    point = critical_point(phi, sigma_b=sigma_b, sigma_w=sigma_w, q=q)
    if point.status == "none":
        given = next(f"{k}={v}" for k, v in (("sigma_b", sigma_b), ("sigma_w", sigma_w), ("q", q)) if v is not None)
        raise InputError(f"{given}: {phi.name} has no critical point there; see mf.recommend for alternatives")
    if not point.stable and point.status == "found" and point.chi_q > 1 + 1e-9:
        text = (
            f"critical({phi.name!r}): chi_q = {point.chi_q:.4f} > 1, variances drift away from q* = {point.q_star:.4g}"
        )
        warnings.warn(text, UserWarning, stacklevel=2)
    w, b = float(point.sigma_w), float(point.sigma_b)
    if weights == "gaussian":
        return Scaled(w, b, distribution)
    return (Orthogonal if weights == "orthogonal" else DeltaOrthogonal)(w, b, rescaled=True)
