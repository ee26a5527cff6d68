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
class Transformed:
    """A function of x made from another, `fn`; renamed: pairs (name outside, name inside) of parameters of `fn`."""

    fn: Callable[..., Array]
    renamed: tuple[tuple[str, str], ...] = ()

    def inner(self, x: Array, params: dict[str, Any]) -> Array:
        """fn(x) with its parameters under its own names."""
        names = dict(self.renamed)
        return self.fn(x, **{names.get(k, k): v for k, v in params.items()})


@dataclass(frozen=True)
class Affine(Transformed):
    """x -> gamma_o (fn(gamma_i x + delta_i) + delta_o)."""

    def __call__(self, x: Array, gamma_i: Any, delta_i: Any, delta_o: Any, gamma_o: Any, **params: Any) -> Array:
        gamma_i, delta_i, delta_o, gamma_o = (jnp.asarray(v, x.dtype) for v in (gamma_i, delta_i, delta_o, gamma_o))
        return gamma_o * (self.inner(gamma_i * x + delta_i, params) + delta_o)


@dataclass(frozen=True)
class TwoSided(Transformed):
    """x -> lam fn(x) for x > 0 and lam alpha fn(x) for x < 0; SELU where fn is ELU."""

    def __call__(self, x: Array, lam: Any, self_alpha: Any, **params: Any) -> Array:
        lam, alpha = jnp.asarray(lam, x.dtype), jnp.asarray(self_alpha, x.dtype)
        return lam * jnp.where(x > 0, 1.0, alpha).astype(x.dtype) * self.inner(x, params)


def transformed(
    kind: type[Transformed], phi: Activation, added: dict[str, Any], kinks: tuple, **more: Any
) -> Activation:
    """phi transformed; a parameter of phi named as one of those `added` (phi is transformed itself) gets a prefix.

    >>> from meanfield.gaussian.named import activation
    >>> shape = dict.fromkeys(("gamma_i", "delta_i", "delta_o", "gamma_o"), 1.0)
    >>> twice = transformed(Affine, transformed(Affine, activation("tanh"), shape, ()), shape, ())
    >>> list(twice.params)[:2]
    ['inner_gamma_i', 'inner_delta_i']
    """
    outside = {}
    for name in phi.params:
        free = name
        while free in added or (free != name and free in phi.params):
            free = f"inner_{free}"
        outside[name] = free
    fn = kind(phi.fn, tuple((free, name) for name, free in outside.items() if free != name))
    params = {outside[name]: value for name, value in phi.params.items()} | added
    return replace(phi, fn=fn, params=params, kinks=kinks, closed=None, features=Features(), **more)


def affine(phi: Activation, gamma_i: Any, delta_i: Any, delta_o: Any, gamma_o: Any, name: str) -> Activation:
    """gamma_o (phi(gamma_i x + delta_i) + delta_o) as an activation, with phi's kinks mapped back to x.

    >>> from meanfield.gaussian.named import activation
    >>> affine(activation("hard_tanh"), 2.0, 0.0, 0.0, 1.0, "steeper").kinks
    (-0.5, 0.5)
    """
    shape = {"gamma_i": gamma_i, "delta_i": delta_i, "delta_o": delta_o, "gamma_o": gamma_o}
    kinks = tuple((k - delta_i) / gamma_i for k in phi.kinks)
    scale = float(min(max(phi.scale / gamma_i, 1e-3), 10.0))
    backward = phi.backward and affine(phi.backward, gamma_i, delta_i, 0.0, gamma_o * gamma_i, f"{name}'")
    return transformed(Affine, phi, shape, kinks, scale=scale, name=name, backward=backward)


def two_sided(phi: Activation, lam: Any, alpha: Any, name: str) -> Activation:
    """lam phi(x) for x > 0 and lam alpha phi(x) for x < 0, with the resulting kink at 0.

    >>> from meanfield.gaussian.named import activation
    >>> two_sided(activation("hard_tanh"), 1.0, 0.5, "lame").kinks
    (-1.0, 0.0, 1.0)
    """
    kinks = tuple(sorted({*phi.kinks, 0.0}))
    steps = tuple(dict(zip(phi.kinks, phi.steps, strict=True)).get(k, False) for k in kinks)
    backward = phi.backward and two_sided(phi.backward, lam, alpha, f"{name}'")
    more = {"lam": lam, "self_alpha": alpha}
    return transformed(TwoSided, phi, more, kinks, steps=steps, name=name, backward=backward)
