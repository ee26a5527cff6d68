"""Derivatives of a fixed point to every order, without compiling if the block is concrete.

JAX differentiates `differentiable`. Its rule needs slopes in the leaves that are differentiated, and their rule the
slopes of the next order: under jax.grad, jacfwd or hessian the innermost block is concrete, and its derivatives are
computed on the host. If the block itself is traced (under jit, vmap) they belong to the compiled program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..blocks.activations import activations_of, hosted_block, with_activations
from ..blocks.block import Block
from ..gaussian.activation import Activation
from ..interface.differentiation import is_zero, no_tangent
from ..interface.numbers import Scalar
from ..interface.precision import cast, host_float64, in_float64, is_traced
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import solve_variance
from .host_solution import rough_start, solve_on_host, variance_on_host
from .solution import FixedPoint, solve, solve_correlation

Places = tuple[int, ...]
"""Leaves of (block, q0) by number, ascending."""

_compiled = jax.jit(solve)


def differentiable(block: Block, q0: Scalar) -> FixedPoint:
    """`solution.solve` in the dtype of q0."""
    if is_traced((block, q0)):
        return _traced(block, q0)
    dtype = jnp.result_type(q0)
    return jax.tree.map(lambda a: jnp.asarray(a, dtype if a.dtype == np.float64 else a.dtype), solve_on_host(block, q0))


@jax.custom_jvp
def _traced(block: Block, q0: Array) -> FixedPoint:
    return _compiled(block, q0)


@partial(_traced.defjvp, symbolic_zeros=True)
def _traced_jvp(primals: tuple, tangents: tuple) -> tuple[FixedPoint, FixedPoint]:
    value, moving = differentiable(*primals), _moving(tangents)
    slopes = _partials(tuple((place,) for place in moving), *primals)
    none = jax.tree.map(no_tangent, value)
    return value, _with_floats(none, _weighted(slopes, moving.values())) if moving else none


def _partials(asked: tuple[Places, ...], block: Block, q0: Array) -> list[list[Array]]:
    """For each tuple of leaf indices, the derivative of `differentiable`'s numbers in these leaves in turn."""
    if is_traced((block, q0)):
        return _traced_partials(asked, block, q0)
    dtype = jnp.result_type(q0)
    found = _on_host(*cast((block, q0), np.float64), asked)
    return [[jnp.asarray(slope, dtype) for slope in slopes] for slopes in found]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _traced_partials(asked: tuple[Places, ...], block: Block, q0: Array) -> list[list[Array]]:
    # All at once: one program, however many leaves are differentiated.
    units = [
        jax.tree.map(lambda *a: jnp.stack(a), *each)
        for each in zip(*(_units(block, q0, p) for p in asked), strict=True)
    ]
    slopes = jax.vmap(lambda units: _along(_compiled, (block, q0), units))(units)
    return [[slope[i] for slope in slopes] for i in range(len(asked))]


@partial(_traced_partials.defjvp, symbolic_zeros=True)
def _traced_partials_jvp(asked: tuple[Places, ...], primals: tuple, tangents: tuple) -> tuple[list, list]:
    value, moving = _partials(asked, *primals), _moving(tangents)
    if not moving:
        return value, jax.tree.map(jnp.zeros_like, value)
    further = _partials(tuple(tuple(sorted((*places, m))) for places in asked for m in moving), *primals)
    rows = [further[i : i + len(moving)] for i in range(0, len(further), len(moving))]
    return value, [_weighted(row, moving.values()) for row in rows]


def _moving(tangents: Any) -> dict[int, Array]:
    """The nonzero tangents, by the index of their leaf."""
    return {i: t for i, t in enumerate(jax.tree.leaves(tangents, is_leaf=is_zero)) if not is_zero(t)}


def _weighted(slopes: Iterable[list[Array]], weights: Iterable[Array]) -> list[Array]:
    terms = [[slope * weight for slope in row] for row, weight in zip(slopes, weights, strict=True)]
    return [reduce(operator.add, parts) for parts in zip(*terms, strict=True)]


def _along(f: Callable[..., FixedPoint], args: tuple, directions: Sequence[Any]) -> list[Array]:
    """The floats of f(*args), differentiated along directions."""
    if not directions:
        return _floats(f(*args))
    return jax.jvp(lambda *args: _along(f, args, directions[:-1]), args, directions[-1])[1]


def _floats(point: FixedPoint) -> list[Array]:
    return [a for a in jax.tree.leaves(point) if jnp.issubdtype(a.dtype, jnp.inexact)]


def _with_floats(point: FixedPoint, floats: list[Array]) -> FixedPoint:
    leaves, tree = jax.tree.flatten(point)
    following = iter(floats)
    return jax.tree.unflatten(tree, [next(following) if a.dtype != jax.dtypes.float0 else a for a in leaves])


@in_float64
def _on_host(block: Block, q0: Any, asked: tuple[Places, ...]) -> list[list[np.ndarray]]:
    """`_partials` of a concrete block."""
    known: dict[Places, list[np.ndarray]] = {}
    for places in asked:
        if places not in known:
            near_by = len(places) == 1 and not _by_quadrature(block, places[0])
            derive = _compiled_along if has_more_state(block) else _near_by if near_by else _anywhere
            known[places] = derive(block, q0, places)
    return [known[places] for places in asked]


def _by_quadrature(block: Block, place: int) -> bool:
    """Whether a leaf is an activation's without closed forms, or lies outside the block, or phi jumps."""
    leaves, tree = jax.tree.flatten(block)
    if place >= len(leaves):
        return True
    marked = jax.tree.unflatten(tree, [i == place for i in range(len(leaves))])
    phis = [phi for phi in activations_of(marked) if phi.closed is None]
    return any(phi.has_steps for phi in phis) or any(any(jax.tree.leaves(phi)) for phi in phis)


def _near_by(block: Block, q0: np.ndarray, places: tuple[int, ...]) -> list:
    """A slope in a leaf of a layer: the `HostActivation` supplies the activation's derivatives in q."""
    leaves, tree = jax.tree.flatten(block)
    direction = jax.tree.unflatten(tree, [np.full_like(leaf, i == places[0]) for i, leaf in enumerate(leaves)])
    answered = hosted_block(block)
    # A hosted activation has no leaf to differentiate; one with closed forms keeps its own.
    three = zip(*map(activations_of, (block, answered, direction)), strict=True)
    fitting = [_still(hosted) if phi.closed is None else towards for phi, hosted, towards in three]
    return _slope(answered, with_activations(direction, fitting), q0, rough_start(block, variance_on_host(block, q0)))


def _still(phi: Activation) -> Activation:
    return jax.tree.map(np.zeros_like, phi)


@partial(host_float64, compiled=False)
def _slope(block: Block, direction: Block, q0: Array, start: Array) -> list[Array]:
    def at(block: Block) -> FixedPoint:
        return solve_correlation(block, solve_variance(block, q0), start)

    towards = jax.tree.map(lambda a, d: d if jnp.issubdtype(a.dtype, jnp.inexact) else no_tangent(a), block, direction)
    return _along(at, (block,), [(towards,)])


def _at_places(block: Block, q0: Array, directions: Sequence[tuple]) -> list[Array]:
    return _along(solve, (block, q0), directions)


_by_numpy, _by_program = host_float64(_at_places, compiled=False), host_float64(_at_places)


def _anywhere(block: Block, q0: np.ndarray, places: tuple[int, ...]) -> list:
    """A derivative in arbitrary leaves: the quadrature itself is differentiated."""
    return _by_numpy(block, q0, _units(block, q0, places))


def _compiled_along(block: Block, q0: np.ndarray, places: tuple[int, ...]) -> list:
    return _by_program(block, q0, _units(block, q0, places))


def _units(block: Block, q0: Any, places: Places) -> list[Any]:
    """Directions along one leaf each."""
    leaves, tree = jax.tree.flatten((block, q0))
    kinds = [(jnp.shape(a), jnp.result_type(a)) for a in leaves]
    return [jax.tree.unflatten(tree, [np.full(s, i == p, d) for i, (s, d) in enumerate(kinds)]) for p in places]
