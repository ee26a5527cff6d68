"""Fixed points of a fully connected network on a grid of its two sigmas, from its activation's table.

The grid is cut into tiles, and tiles are solved a few at a time: the variance half, then c* from the panels of pairs
that the points turn out to need. Tiles that need missing panels wait until all of these are solved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Activate, Block, Dense, Serial
from ..gaussian.activation import Activation
from ..interface.evaluation import evaluated
from ..interface.labels import Phase, Status
from ..interface.precision import in_float64, local_devices
from ..interface.progress import bar
from ..solvers.fixed_gap import fixed_gap
from ..solvers.fixed_variance import Variances, solve_variance
from ..solvers.roots import MOST_ROOTS
from ..tables.chunks import fetch, in_chunks
from ..tables.mlp_grid import Points, looked_up, pairs, panels_needed, points
from ..tables.moment_table import Table, table_of
from .fixed_point import FixedPoint, assemble, fixed_point, solve

CHUNK = 256
TILE, _COMPILED = 40_000, 10_000
_FEW, _SEVERAL, _AT_ONCE = 16, 64, 8
# If the table does not serve up to this many points of a tile, compiling a solver for them does not pay.
_SINGLY = 16
# The margin is in arcsinh(sqrt(q) / scale): a factor of seven in q.
_LARGE, _MARGIN = 10_000, 1.0

Together = Callable[..., Iterator[Any]]
"""`map` of a function over iterables, several at a time."""
Keep = Callable[[FixedPoint], None]
"""Writes the results of a tile into the whole."""


class Sigmas(NamedTuple):
    """The axes of a grid or of a tile: sigma_w (n,) and sigma_b (m,)."""

    w: np.ndarray
    b: np.ndarray

    def at(self, places: np.ndarray) -> list[np.ndarray]:
        """sigma_w and sigma_b at places of the flattened grid [sigma_b, sigma_w]."""
        row, column = np.divmod(places, self.w.size)
        return [self.w[column], self.b[row]]


@in_float64
def solve_sigma_grid(
    phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float, progress: bool | None = None
) -> FixedPoint:
    """`fixed_point` at every (sigma_b, sigma_w), every field in that order; in float64, progress as `bar` has it."""
    tiles = _tiles(sigma_b.size, sigma_w.size)
    whole = _empty((sigma_b.size, sigma_w.size))
    table = None if phi.has_steps else table_of(phi)
    solve = partial(_by_solver, phi) if table is None else partial(_by_table, table, sigma_w.size * sigma_b.size)
    # Programs on one set of devices must not be started in two different orders.
    at_once = min(os.cpu_count() or 1, _AT_ONCE) if len(local_devices()) == 1 else 1
    # Two tiles must not compile the same program at once.
    alone = 1 if table is None or not table.is_warm else 0
    shown = False if progress is None and len(tiles) <= _FEW else progress
    with bar(sigma_w.size * sigma_b.size, "phase diagram", shown) as advance, ThreadPoolExecutor(at_once) as pool:

        def together(compute: Callable[..., Any], *columns: Iterable[Any]) -> Iterator[Any]:
            return pool.map(in_float64(compute), *columns)

        for group in _groups(tiles, alone, at_once):
            axes = [Sigmas(sigma_w[columns], sigma_b[rows]) for rows, columns in group]
            solve(axes, [partial(_put, whole, tile) for tile in group], q0, together)
            advance(sum(one.w.size * one.b.size for one in axes))
    return whole


def _tiles(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Slices of the grid of at most TILE points, tall rather than wide: the scan is paid for once per column."""
    high = min(rows, 256)
    wide = max(1, TILE // high)
    # Even tiles, so that two cores finish together.
    wide = -(-columns // -(-columns // wide))
    return [(slice(i, i + high), slice(j, j + wide)) for i in range(0, rows, high) for j in range(0, columns, wide)]


def _groups(tiles: list[tuple[slice, slice]], alone: int, size: int) -> list[list[tuple[slice, slice]]]:
    """The first tile alone if requested, the others in groups."""
    rest = tiles[alone:]
    return [[tile] for tile in tiles[:alone]] + [rest[i : i + size] for i in range(0, len(rest), size)]


def _empty(shape: tuple[int, int]) -> FixedPoint:
    many = np.full((2, *shape, MOST_ROOTS), np.nan)
    grid: dict[str, Any] = {f.name: np.empty(shape) for f in fields(FixedPoint)}
    grid |= dict(zip(("all_q", "all_chi_q"), many, strict=True))
    phase, status = (np.empty(shape, np.int8) for _ in range(2))
    return FixedPoint(**grid | {"phase": Phase(phase), "status": Status(status)})


def _put(whole: FixedPoint, tile: tuple[slice, slice], found: FixedPoint) -> None:
    """Write a tile into its place, with as many fixed points per point as it has; the rest is NaN already."""
    for into, values in zip(jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
        place = into[tile]
        if place.ndim == 3:
            place = place[..., : values.shape[1]]
        place[...] = np.asarray(values).reshape(place.shape)


def _by_solver(phi: Activation, tiles: Sequence[Sigmas], keep: Sequence[Keep], q0: float, together: Together) -> None:
    """Activations with value jumps have no table: closed forms all at once, others point by point."""

    def one(axes: Sigmas, keep: Keep) -> None:
        w, b = axes.at(np.arange(axes.w.size * axes.b.size))
        if phi.closed is not None:
            return keep(fetch(in_chunks(partial(_solve_many, phi, q0=q0), CHUNK, w, b)))
        found = [_solve_one(phi, *point, q0) for point in zip(w, b, strict=True)]
        return keep(jax.tree.map(lambda *a: np.stack(a), *found))

    list(together(one, tiles, keep))


def _by_table(
    table: Table, size: int, tiles: Sequence[Sigmas], keep: Sequence[Keep], q0: float, together: Together
) -> None:
    """The variance half at all points, then the pair panels that these need, then c* piece by piece.

    `size` is that of the whole grid: one that is large is likely to be computed again, over a slightly wider range.
    """

    def finish(half: _Half, axes: Sigmas, keep: Keep) -> None:
        keep(_with_pairs(table, half, axes, q0))

    def begin(axes: Sigmas, keep: Keep) -> _Half | None:
        half = _one_input(table, axes, q0)
        return finish(half, axes, keep) if half.panels <= table.panels else half

    jobs = zip(together(begin, tiles, keep), tiles, keep, strict=True)
    waiting = [(half, *tile) for half, *tile in jobs if half is not None]
    if waiting:
        missing = set().union(*(half.panels for half, *_ in waiting))
        table.atlas(missing, round(_MARGIN / table.height) if size >= _LARGE else None)
        list(together(finish, *zip(*waiting, strict=True)))
    table.is_warm = True


class _Half(NamedTuple):
    """The variance half at the points of a tile, except for a few that are left to be solved `singly`.

    chaotic : the indices of chaotic points; panels : the table's panels that contain their pairs
    """

    points: Points
    chaotic: np.ndarray
    panels: set[int]
    singly: np.ndarray


def _one_input(table: Table, axes: Sigmas, q0: float) -> _Half:
    """The variance half of every fixed point."""
    (found, y, r), hard = points(table, axes.w, axes.b, q0)
    (these,) = np.nonzero(hard)
    if these.size:
        found = found._replace(**{name: _padded(getattr(found, name)) for name in ("all_q", "all_chi_q")})
    if these.size <= _SINGLY:
        (chaotic,) = np.nonzero(found.chaotic & ~hard)
    else:
        solver = partial(_by_moments, table.activation(), table.unit, q0=q0)
        general, y[these], r[these] = fetch(in_chunks(solver, _SEVERAL, *axes.at(these)))
        for whole, part in zip(found, general, strict=True):
            whole[these] = part
        (chaotic,), these = np.nonzero(found.chaotic), these[:0]
    return _Half(Points(found, y, r), chaotic, panels_needed(table, y[chaotic]), these)


def _with_pairs(table: Table, half: _Half, axes: Sigmas, q0: float) -> FixedPoint:
    """Every field of the fixed points, flattened."""
    (found, y, r), these, panels, singly = half
    e, chi_c = np.zeros_like(found.q), found.chi_1.copy()
    e[these], chi_c[these] = pairs(table, table.atlas(panels), y[these], r[these], np.asarray(found.chi_1)[these] - 1)
    these = these[np.isnan(e[these])]
    if these.size > _SINGLY:
        at = [*axes.at(these), *(np.asarray(of)[these] for of in (found.q, found.chi_1))]
        e[these], chi_c[these] = fetch(in_chunks(partial(_gaps, table.phi), _FEW, *at))
    else:
        singly = np.concatenate([singly, these])
    every = {"all_q": found.all_q, "all_chi_q": found.all_chi_q}
    nothing = np.zeros(0)
    put_together: Any = _assemble if e.size >= _COMPILED else _assemble_small
    known = replace(put_together(found._replace(all_q=nothing, all_chi_q=nothing), e, chi_c), **every)
    return _solved_singly(known, table.phi, axes, singly, q0) if singly.size else known


def _solved_singly(known: FixedPoint, phi: Activation, axes: Sigmas, these: np.ndarray, q0: float) -> FixedPoint:
    """The grid's points with these replaced by `fixed_point`'s, which compiles nothing."""
    known = jax.tree.map(lambda a: _padded(a) if np.ndim(a) == 2 else np.array(a), known)
    for i, w, b in zip(these, *axes.at(these), strict=True):
        point = fixed_point(_block(phi, w, b), q0)
        for whole, value in zip(jax.tree.leaves(known), jax.tree.leaves(point), strict=True):
            whole[i] = value
    return known


def _padded(roots: np.ndarray) -> np.ndarray:
    return np.pad(roots, ((0, 0), (0, MOST_ROOTS - roots.shape[1])), constant_values=np.nan)


# Compiled for every shape of tile; NumPy is faster for a small one.
_assemble, _assemble_small = jax.jit(assemble), evaluated(assemble)


@jax.jit
def _by_moments(phi: Activation, unit: tuple[float, float], sigma_w: Array, sigma_b: Array, q0: Array) -> Points:
    """`Points` by the general solver, with the table's moments."""

    def solve(w: Array, b: Array) -> Variances:
        return solve_variance(_block(phi, w, b), jnp.asarray(q0))

    one = jax.vmap(solve)(sigma_w, sigma_b)
    mean = jax.vmap(lambda q: phi.closed.moments(phi, q).mean)(one.q)
    return Points(one, *looked_up(unit, sigma_w**2, sigma_b**2, one.q, one.chi_1, mean))


@jax.jit
def _gaps(phi: Activation, sigma_w: Array, sigma_b: Array, q: Array, chi_1: Array) -> tuple[Array, Array]:
    """1 - c* and chi_c of chaotic points, point by point."""

    def one(point: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        w, b, q, chi_1 = point
        gap, chi_c = fixed_gap(_block(phi, w, b), q, chi_1, jnp.asarray(True))
        return gap / q, chi_c

    return lax.map(one, (sigma_w, sigma_b, q, chi_1))


@jax.jit
def _solve_one(phi: Activation, sigma_w: Array, sigma_b: Array, q0: Array) -> FixedPoint:
    return solve(_block(phi, sigma_w, sigma_b), jnp.asarray(q0))


@jax.jit
def _solve_many(phi: Activation, sigma_w: Array, sigma_b: Array, q0: Array) -> FixedPoint:
    return jax.vmap(lambda w, b: _solve_one(phi, w, b, q0))(sigma_w, sigma_b)


def _block(phi: Activation, sigma_w: Array, sigma_b: Array) -> Block:
    return Serial((Activate(phi), Dense(sigma_w, sigma_b)))
