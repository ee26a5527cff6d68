"""Activations built from others: functions that compare by value, so that they pickle and compile once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
from jax import Array

from ..gaussian.activation import Activation
from ..gaussian.features import Features


@dataclass(frozen=True)
class Affine:
    """x -> gamma_o (fn(gamma_i x + delta_i) + delta_o)."""

    fn: Callable[..., Array]

    def __call__(self, x: Array, gamma_i: Any, delta_i: Any, delta_o: Any, gamma_o: Any, **params: Any) -> Array:
        gamma_i, delta_i, delta_o, gamma_o = (jnp.asarray(v, x.dtype) for v in (gamma_i, delta_i, delta_o, gamma_o))
        return gamma_o * (self.fn(gamma_i * x + delta_i, **params) + delta_o)


@dataclass(frozen=True)
class TwoSided:
    """x -> lam fn(x) for x > 0 and lam alpha fn(x) for x < 0; SELU where fn is ELU."""

    fn: Callable[..., Array]

    def __call__(self, x: Array, lam: Any, self_alpha: Any, **params: Any) -> Array:
        lam, alpha = jnp.asarray(lam, x.dtype), jnp.asarray(self_alpha, x.dtype)
        return lam * jnp.where(x > 0, 1.0, alpha).astype(x.dtype) * self.fn(x, **params)


def affine(phi: Activation, gamma_i: Any, delta_i: Any, delta_o: Any, gamma_o: Any, name: str) -> Activation:
    """gamma_o (phi(gamma_i x + delta_i) + delta_o) as an activation, with phi's kinks mapped back to x.

    >>> from meanfield.gaussian.named import activation
    >>> affine(activation("hard_tanh"), 2.0, 0.0, 0.0, 1.0, "steeper").kinks
    (-0.5, 0.5)
    """
    shape = {"gamma_i": gamma_i, "delta_i": delta_i, "delta_o": delta_o, "gamma_o": gamma_o}
    kinks = tuple((k - delta_i) / gamma_i for k in phi.kinks)
    scale = float(min(max(phi.scale / gamma_i, 1e-3), 10.0))
    moved = {"kinks": kinks, "closed": None, "scale": scale, "features": Features()}
    return replace(phi, fn=Affine(phi.fn), params=phi.params | shape, name=name, **moved)


def two_sided(phi: Activation, lam: Any, alpha: Any, name: str) -> Activation:
    """lam phi(x) for x > 0 and lam alpha phi(x) for x < 0, with the resulting kink at 0.

    >>> from meanfield.gaussian.named import activation
    >>> two_sided(activation("hard_tanh"), 1.0, 0.5, "lame").kinks
    (-1.0, 0.0, 1.0)
    """
    kinks = tuple(sorted({*phi.kinks, 0.0}))
    steps = tuple(dict(zip(phi.kinks, phi.steps, strict=True)).get(k, False) for k in kinks)
    params = phi.params | {"lam": lam, "self_alpha": alpha}
    more = {"kinks": kinks, "steps": steps, "closed": None, "features": Features()}
    return replace(phi, fn=TwoSided(phi.fn), params=params, name=name, **more)
