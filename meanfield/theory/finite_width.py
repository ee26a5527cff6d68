"""Finite-width corrections to the squared length of pre-activations, to first order in 1/width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..blocks.block import Block, mlp_parts
from ..gaussian.pair_rule import rule_of
from ..interface.precision import host_float64
from ..interface.settings import in_own_settings

__all__ = ["LengthCorrections", "length_corrections"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LengthCorrections:
    """First-order corrections of one input's length; arrays (depth + 1, *S), to be divided by the width n.

    variance: n Var(q-hat^l), spread: the same of q-hat's conditional mean, bias: n (E[q-hat^l] - q^l); with
    q-hat^l = (1/n) sum_i (h_i^l)^2, so that variance = spread + 2 q^2.
    """

    variance: Any
    spread: Any
    bias: Any


@in_own_settings
def length_corrections(block: Block, depth: int, q0: Any) -> LengthCorrections:
    """Variance and bias of the measured q^l of a network of width n, linear in 1/n.

    Given the layers below, h^{l+1} is Gaussian with variance K' = sigma_b^2 + (sigma_w^2/n) sum_j phi(h_j)^2, which
    fluctuates: V' = chi_q^2 V + sigma_w^4 Var[phi^2] and delta' = chi_q delta + g'' V / 2, from V = delta = 0 in the
    first layer (Roberts, Yaida & Hanin 2022, for any phi and any K). chi_q = sigma_w^2/(2q) E[phi^2 (z^2 - 1)] and
    g'' = sigma_w^2/(4q^2) E[phi^2 (z^4 - 6z^2 + 3)] need no derivative of phi, so kinks and steps are allowed.

    q0: variances of first pre-activations, shape S. The linear order is 20% off where spread / (n q^2) reaches 0.5.

    >>> import meanfield as mf
    >>> relu = length_corrections(mf.MLP("relu", sigma_w=2**0.5), depth=4, q0=1.0)
    >>> relu.spread.round(6).tolist()
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    phi, dense = mlp_parts(block)
    return _corrections(phi, dense, q0, depth=int(depth))


@host_float64(static=("depth",))
def _corrections(phi: Any, dense: Any, q0: Any, *, depth: int) -> LengthCorrections:
    q0 = jnp.asarray(q0)
    w_var, b_var = jnp.square(dense.sigma_w), jnp.square(dense.sigma_b)

    def layer(state: tuple[Array, Array, Array], _: None) -> tuple[tuple, LengthCorrections]:
        q, spread, bias = state
        rule = rule_of(phi, jnp.zeros_like(q), jnp.sqrt(q))
        square, z2 = phi(rule.x) ** 2, rule.z**2

        def mean(values: Array) -> Array:
            return jnp.sum(rule.weight * values)

        second = mean(square)
        chi_q = w_var / (2 * q) * mean(square * (z2 - 1))
        curvature = w_var / (4 * q**2) * mean(square * (z2**2 - 6 * z2 + 3))
        here = LengthCorrections(spread + 2 * q**2, spread, bias)
        sampled = w_var**2 * (mean(square**2) - second**2)
        return (
            w_var * second + b_var,
            chi_q**2 * spread + sampled,
            chi_q * bias + curvature * spread / 2,
        ), here

    def one(q: Array) -> LengthCorrections:
        return lax.scan(layer, (q, jnp.zeros_like(q), jnp.zeros_like(q)), length=depth + 1)[1]

    paths = jax.vmap(one)(q0.ravel())
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1).reshape((depth + 1, *q0.shape)), paths)
