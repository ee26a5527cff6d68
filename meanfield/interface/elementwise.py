"""A function and its slope for NumPy, by one compiled program that serves arrays of every shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .host_program import host_program
from .precision import beside_numpy
from .settings import own_settings

_LENGTH = 8192
"""Arguments are evaluated in blocks of this size."""


class Elementwise:
    """x -> (fn(x, **params), fn'(x, **params)) of float64 arrays; fn is a JAX function that acts elementwise.

    >>> import jax.numpy as jnp
    >>> value, slope = Elementwise(jnp.square, {})(np.array([3.0]))
    >>> float(value[0]), float(slope[0])
    (9.0, 6.0)
    """

    def __init__(self, fn: Callable[..., Array], params: dict[str, Any]) -> None:
        self._fn, self._params = fn, jax.tree.map(lambda value: np.asarray(value, np.float64), params)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = np.ravel(x)
        with jax.ensure_compile_time_eval(), jax.enable_x64(True), beside_numpy(), own_settings():
            parts = [self._piece(flat[i : i + _LENGTH]) for i in range(0, max(flat.size, 1), _LENGTH)]
        value, slope = (np.concatenate(part).reshape(np.shape(x)) for part in zip(*parts, strict=True))
        return value, slope

    def _piece(self, x: np.ndarray) -> list[np.ndarray]:
        whole = np.zeros(_LENGTH)
        whole[: x.size] = x
        return [np.asarray(part)[: x.size] for part in _value_and_slope(self._fn, self._params, whole)]


@host_program(static=("fn",))
def _value_and_slope(fn: Callable[..., Array], params: dict[str, Any], x: Any) -> tuple[Array, Array]:
    return fn(x, **params), jax.jvp(lambda y: fn(y, **params), (x,), (jnp.ones_like(x),))[1]
