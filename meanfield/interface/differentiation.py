"""Shared by the custom differentiation rules, so that zero tangents cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero


def is_zero(tangent: Any) -> bool:
    """Whether a tangent passed to a rule with `symbolic_zeros` is known to be zero."""
    return isinstance(tangent, SymbolicZero)


def partial_jvp(f: Callable, primals: tuple, tangents: tuple) -> Any:
    """The tangent of f, differentiating only in leaves whose tangents are not symbolically zero."""
    leaves, tree = jax.tree.flatten(primals)
    directions = jax.tree.leaves(tangents, is_leaf=is_zero)
    moving = [i for i, d in enumerate(directions) if not is_zero(d)]
    if not moving:
        return jax.tree.map(no_tangent, jax.eval_shape(f, *primals))

    def moved(values: list) -> Any:
        filled = list(leaves)
        for i, v in zip(moving, values, strict=True):
            filled[i] = v
        return f(*jax.tree.unflatten(tree, filled))

    return jax.jvp(moved, ([leaves[i] for i in moving],), ([directions[i] for i in moving],))[1]


def no_tangent(like: Any) -> Any:
    """The zero tangent of an array: float0 for booleans and integer codes."""
    inexact = jnp.issubdtype(like.dtype, jnp.inexact)
    return jnp.zeros(like.shape, like.dtype) if inexact else np.zeros(like.shape, jax.dtypes.float0)
