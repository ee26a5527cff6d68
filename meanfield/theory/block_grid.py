"""Fixed points of any block on a grid of two of its leaves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.activations import activations_of, sampled_block, with_activations
from ..blocks.block import Block, has_trait
from ..blocks.leaves import Path, with_leaf
from ..gaussian.activation import Activation
from ..interface.labels import Status
from ..interface.precision import host_float64
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import Variances, solve_variance, variance
from ..tables.tabulated_block import single_tables, tables_for
from ..tables.visits import visited
from .fixed_point import FixedPoint, fixed_point, solve, solve_correlation

# Fewer points are not worth a compilation.
_PIECE, _WORTH_A_TABLE, _SINGLY = 32, 64, 16

Paths = tuple[Path, Path]
"""The leaves along x and y."""


def solve_block_grid(block: Block, paths: Paths, values: tuple[np.ndarray, np.ndarray], q0: float) -> FixedPoint:
    """`fixed_point` at every pair of values (n,), (m,) of the leaves along x and y; every field is [y, x]."""
    columns, rows = values
    every = [a.ravel() for a in np.meshgrid(columns, rows)]
    points = _solved(block, paths, every, q0)
    return jax.tree.map(lambda a: a.reshape(rows.size, columns.size, *a.shape[1:]), points)


def _solved(block: Block, paths: Paths, every: list[np.ndarray], q0: float) -> FixedPoint:
    def in_pieces(compute: Callable[..., Any], *more: Any) -> Any:
        """compute of every point, and of `more`, in chunks of one size: one program serves every larger grid."""
        pieces = []
        for start in range(0, every[0].size, _PIECE):
            rows = np.minimum(np.arange(start, start + min(_PIECE, every[0].size)), every[0].size - 1)
            piece = jax.tree.map(lambda a, rows=rows: a[rows], (*every, *more))
            pieces.append(compute(block, *piece, paths=paths))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: every[0].size], *pieces)

    if has_more_state(block):
        return in_pieces(partial(_by_state, q0=q0))
    if every[0].size <= _SINGLY:
        points = [fixed_point(_at(block, paths, *xy), q0) for xy in zip(*every, strict=True)]
        return jax.tree.map(lambda *parts: np.stack(parts), *points)
    tabulate = every[0].size >= _WORTH_A_TABLE and not _moves_activations(block, paths, every)
    found = in_pieces(partial(_variances, single_tables(block) if tabulate else None, q0=q0))
    known = (found.status == Status.CONVERGED.code) | (found.status == Status.SCALE_INVARIANT.code)
    found = found._replace(chaotic=found.chaotic & known, q=np.where(known, found.q, 0.0))
    with_pairs = (has_trait(block, "per_input_noise") | found.chaotic) & known
    tables = None
    if tabulate and np.sum(with_pairs) >= _WORTH_A_TABLE:
        q = np.where(with_pairs, found.q, np.max(found.q[with_pairs]))
        tables = tables_for(block, lambda samples: in_pieces(partial(_visited, samples), q))
    return in_pieces(partial(_correlations, tables), found)


def _moves_activations(block: Block, paths: Paths, every: list[np.ndarray]) -> bool:
    far = block
    for path, values in zip(paths, every, strict=True):
        far = with_leaf(far, path, float(values[np.argmax(np.abs(values - values[0]))]))
    pairs = zip(*(jax.tree.leaves(activations_of(b)) for b in (block, far)), strict=True)
    return not all(np.array_equal(a, b) for a, b in pairs)


def _at(block: Block, paths: Paths, x: Any, y: Any) -> Block:
    return with_leaf(with_leaf(block, paths[0], x), paths[1], y)


@host_float64(static=("paths", "q0"))
def _by_state(block: Block, x: Array, y: Array, *, paths: Paths, q0: float) -> FixedPoint:
    return lax.map(lambda xy: solve(_at(block, paths, *xy), jnp.asarray(q0, x.dtype)), (x, y))


@host_float64(static=("paths", "q0"))
def _variances(
    tables: list[Activation] | None, block: Block, x: Array, y: Array, *, paths: Paths, q0: float
) -> Variances:
    def one(x: Array, y: Array) -> Variances:
        here = _at(block, paths, x, y)
        here = sampled_block(here) if tables is None else with_activations(here, tables)
        return solve_variance(here, jnp.asarray(q0, x.dtype))

    return jax.vmap(one)(x, y)


@host_float64(static=("paths",))
def _visited(activations: list[Activation], block: Block, x: Array, y: Array, q: Array, *, paths: Paths) -> Array:
    """The variances that one layer at every point visits in each activation: (points, activations, 2)."""

    def one(x: Array, y: Array, q: Array) -> Array:
        here = with_activations(_at(block, paths, x, y), activations)
        return visited(here, lambda watched: variance(watched, q))[1]

    return jax.vmap(one)(x, y, q)


@host_float64(static=("paths",))
def _correlations(
    tables: list[Activation] | None, block: Block, x: Array, y: Array, v: Variances, *, paths: Paths
) -> FixedPoint:
    if tables is None:
        # One point at a time: pairs dominate the cost.
        return lax.map(lambda point: solve_correlation(_at(block, paths, *point[:2]), point[2]), (x, y, v))

    def one(x: Array, y: Array, v: Variances) -> FixedPoint:
        return solve_correlation(with_activations(_at(block, paths, x, y), tables), v)

    return jax.vmap(one)(x, y, v)
