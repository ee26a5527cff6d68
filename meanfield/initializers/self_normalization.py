"""Self-normalizing activations: (0, 1) is a fixed point of (mean, variance) (Klambauer et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.block import MLP, Serial
from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from ..gaussian.quadrature import gaussian_rule
from ..interface.arguments import one_of
from ..interface.precision import host_float64
from ..interface.result import Result
from .rule import Scaled
from .transformed import affine, two_sided


@dataclass(frozen=True, repr=False, eq=False)
class SelfNormalizing(Result):
    """The result of `self_normalizing`.

    lam, alpha  : the constants; activation: lam phi(x) for x > 0, lam alpha phi(x) for x < 0; with `form` "shift"
                  lam (phi(x) - alpha)
    jacobian    : (2, 2), of the moment map (mean, variance) -> (mean, variance) at (0, 1), weights summing to 0
    contraction : its spectral norm; below 1 the moments of one input converge to (0, 1)
    chi_1       : sigma_w^2 E[phi'^2] at that point: above 1 gradients grow and correlations are chaotic even so, which
                  the contraction does not show
    note        : a summary in words
    """

    lam: float
    alpha: float
    form: str
    jacobian: np.ndarray
    contraction: float
    chi_1: float
    note: str
    activation: Activation

    @property
    def initializer(self) -> Scaled:
        """The matching weights, variance 1 / fan_in, no biases."""
        return Scaled()

    @property
    def block(self) -> Serial:
        """The block of such a network."""
        return MLP(self.activation, 1.0, 0.0)


def self_normalizing(phi: str | Callable | Activation = "elu", form: str | None = None) -> SelfNormalizing:
    """The constants that make (mean, variance) = (0, 1) a fixed point, with weights of variance 1 / fan_in.

    form "two_sided" (where phi(0) = 0 and both sides have weight) scales the two sides of 0, lam and lam alpha: for ELU
    that is SELU. "shift" subtracts alpha = E[phi] and divides by the standard deviation. None takes the first if it
    exists with alpha > 0. Exact integrals, 12 digits. InputError for a phi without variance, or without that form.

    >>> found = self_normalizing("elu")
    >>> print(f"{found.lam:.12f} {found.alpha:.12f} {found.contraction:.6f} {found.chi_1:.5f}")
    1.050700987355 1.673263242354 0.787673 1.07157
    """
    if form is not None:
        one_of("form", form, ("two_sided", "shift"))
    phi = activation(phi)
    if phi.has_steps:
        raise InputError(f"phi={phi.name!r} jumps, so its slope has no second moment; give a continuous activation")
    (left, left2), (right, right2) = (tuple(map(float, side)) for side in _sides(phi))
    possible = abs(float(_at_zero(phi))) < 1e-12 and left * right < 0 and -right / left > 0
    if form == "two_sided" and not possible:
        raise InputError(f"phi={phi.name!r}: no scaling of its two sides gives mean 0; use form='shift'")
    if form != "shift" and possible:
        alpha = -right / left
        lam = (right2 + alpha**2 * left2) ** -0.5
        made, kind = two_sided(phi, lam, alpha, f"self-normalizing {phi.name}"), "two_sided"
    else:
        alpha, variance = left + right, left2 + right2 - (left + right) ** 2
        if not variance > 1e-14 * (left2 + right2):
            raise InputError(f"phi={phi.name!r} has no variance to normalize; give an activation that is not constant")
        lam = variance**-0.5
        made, kind = affine(phi, 1.0, 0.0, -alpha, lam, f"self-normalizing {phi.name}"), "shift"
    d_mean, d_variance, chi_1 = (float(v) for v in _contraction(made))
    norm = float(np.hypot(d_mean, d_variance))
    jacobian = np.array([[0.0, d_mean], [0.0, d_variance]])
    return SelfNormalizing(lam, alpha, kind, jacobian, norm, chi_1, _note(norm, chi_1), made)


def _note(norm: float, chi_1: float) -> str:
    pull = "moments of one input converge to (0, 1)" if norm < 1 else "moments of one input move away from (0, 1)"
    if abs(chi_1 - 1) < 1e-12:
        return f"{pull}; chi_1 = 1: critical"
    if chi_1 > 1:
        tenfold = np.log(10) / np.log(chi_1)
        return f"{pull}; chi_1 = {chi_1:.5f} > 1: chaotic, squared gradients grow tenfold every {tenfold:.0f} layers"
    return f"{pull}; chi_1 = {chi_1:.5f} < 1: ordered, gradients vanish and inputs merge"


def _rule(phi: Activation, more: tuple[float, ...] = ()) -> Any:
    one = jnp.ones((), jax.dtypes.canonicalize_dtype(float))
    kinks = jnp.concatenate([phi.kink_array(one.dtype), jnp.asarray(more, one.dtype)])
    return gaussian_rule(0 * one, one, kinks, phi.scale)


@host_float64
def _sides(phi: Activation) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """E[phi; x < 0], E[phi^2; x < 0], and the same for x > 0."""
    rule = _rule(phi, (0.0,))
    value = phi(rule.x)

    def side(keep: Array) -> tuple[Array, Array]:
        weight = rule.weight * keep
        return jnp.sum(weight * value), jnp.sum(weight * value**2)

    return side(rule.x < 0), side(rule.x > 0)


@host_float64
def _at_zero(phi: Activation) -> Array:
    return phi(jnp.zeros((), jax.dtypes.canonicalize_dtype(float)))


@host_float64
def _contraction(phi: Activation) -> tuple[Array, Array, Array]:
    """d mean / d variance, d variance / d variance and E[phi'^2] at variance 1 and mean 0 of phi; no phi'' needed."""
    rule = _rule(phi)
    value, bend = phi(rule.x), (rule.z**2 - 1) / 2
    return (
        jnp.sum(rule.weight * value * bend),
        jnp.sum(rule.weight * value**2 * bend),
        jnp.sum(rule.weight * phi.slope(rule.x) ** 2),
    )
