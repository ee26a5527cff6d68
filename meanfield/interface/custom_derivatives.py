"""Functions whose derivative in JAX is not that of their values: surrogate gradients, straight-through estimators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .elementwise import Elementwise
from .traced_program import wrapped_program

_STEP = 1e-5
_PLACES = np.concatenate([np.linspace(-12.0, 12.0, 6007), np.linspace(-1.0, 1.0, 2003)]) + 0.3e-4
"""Where derivatives are compared with differences."""
_FEW = 3


@dataclass(frozen=True)
class Values:
    """A function of (x, **numbers) with the derivative of its values: custom rules and `stop_gradient` left out."""

    fn: Callable

    def __call__(self, x: Any, **numbers: Any) -> Any:
        leaves, tree = jax.tree.flatten((x, numbers))

        def flat(*leaves: Any) -> Any:
            x, numbers = jax.tree.unflatten(tree, leaves)
            return self.fn(x, **numbers)

        program = jax.make_jaxpr(flat)(*leaves)
        return _carried_out(program.jaxpr, program.consts, leaves)[0]


@dataclass(frozen=True)
class Gradient:
    """The derivative of an elementwise function of (x, **numbers) that reverse differentiation sees."""

    fn: Callable

    def __call__(self, x: Any, **numbers: Any) -> Any:
        value, back = jax.vjp(lambda x: self.fn(x, **numbers), x)
        return back(jnp.ones_like(value))[0]


def _carried_out(jaxpr: Any, consts: Any, values: list) -> list:
    """The results of a program, operation by operation; one that has a derivative rule of its own by its program."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *values], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        operands, inner = [value(atom) for atom in equation.invars], wrapped_program(equation)
        if inner is not None:
            results = _carried_out(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
        elif equation.primitive.name == "stop_gradient":
            results = operands
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        known.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def has_own_derivative(fn: Callable, params: dict[str, Any]) -> bool:
    """Whether the derivative of fn(x, **params) in JAX differs from that of its values, by finite differences.

    >>> has_own_derivative(jnp.tanh, {})
    False
    >>> has_own_derivative(lambda x: x + jax.lax.stop_gradient(jnp.sign(x) - x), {})
    True
    """
    leaves, tree = jax.tree.flatten(params)
    arrays = [np.asarray(leaf, np.float64) for leaf in leaves]
    return _differs(fn, tree, tuple((leaf.shape, leaf.tobytes()) for leaf in arrays))


@lru_cache(maxsize=256)
def _differs(fn: Callable, tree: Any, numbers: tuple) -> bool:
    params = jax.tree.unflatten(tree, [np.frombuffer(data).reshape(shape) for shape, data in numbers])
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        if not _has_rules(fn, params):
            return False
        own = np.asarray(Elementwise(Values(Gradient(fn)), params)(_PLACES)[0])
        value = Elementwise(Values(fn), params)
        wide, narrow = ((value(_PLACES + h)[0] - value(_PLACES - h)[0]) / (2 * h) for h in (_STEP, _STEP / 4))
    seen = np.isfinite(own) & np.isfinite(narrow)
    largest = np.max(np.maximum(np.abs(own), np.abs(narrow))[seen], initial=0.0)
    allowed = 1e-3 * np.abs(narrow) + 1e-4 * largest
    # Kinks and jumps between the two places have no derivative.
    smooth = seen & (np.abs(wide - narrow) <= allowed / 10)
    return int(np.sum(smooth & (np.abs(own - narrow) > allowed))) > _FEW


def _has_rules(fn: Callable, params: dict[str, Any]) -> bool:
    """Whether an operation of fn has a derivative rule of its own: without one JAX's derivative is exact."""
    example = jax.ShapeDtypeStruct((7,), np.float64)
    program = jax.make_jaxpr(lambda params, x: fn(x, **params))(params, example)
    return any(name.startswith("custom_") or name == "stop_gradient" for name in _names(program.jaxpr))


def _names(jaxpr: Any) -> list[str]:
    found = []
    for equation in jaxpr.eqns:
        inner = wrapped_program(equation)
        found += [equation.primitive.name, *(_names(getattr(inner, "jaxpr", inner)) if inner is not None else [])]
    return found
