"""The benchmark's activations, written once per kind of contender.

JAX callables serve the direct solver and neural-tangents (both environments import this file, so that it needs
nothing but JAX at import); SciPy's quadrature wants phi and phi' of one float; AnyInit knows its activations by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

JAX: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "selu": jax.nn.selu,
    "hard_tanh": jax.nn.hard_tanh,
    "erf": jax.scipy.special.erf,
}

ANYINIT = {"tanh": "tanh", "gelu": "gelu", "selu": "selu", "hard_tanh": "hardtanh"}

_SCALE, _ALPHA = 1.0507009873554804934, 1.6732632423543772848


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _cumulative(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _selu(x: float) -> float:
    return _SCALE * (x if x > 0 else _ALPHA * math.expm1(x))


def _selu_slope(x: float) -> float:
    return _SCALE * (1.0 if x > 0 else _ALPHA * math.exp(x))


FLOATS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "gelu": (lambda x: x * _cumulative(x), lambda x: _cumulative(x) + x * _density(x)),
    "selu": (_selu, _selu_slope),
    "hard_tanh": (lambda x: min(max(x, -1.0), 1.0), lambda x: float(abs(x) < 1)),
    "erf": (math.erf, lambda x: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
}
