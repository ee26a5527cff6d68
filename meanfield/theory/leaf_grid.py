"""Every fixed-point quantity of any block on a grid of two of its leaves."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path as FilePath
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.block import Block, check_block, has_trait, sampled_block
from ..blocks.leaves import Path, path_name, with_leaf
from ..errors import InputError
from ..interface.arguments import values_of
from ..interface.netcdf import variables, write
from ..interface.precision import host_float64
from ..interface.result import Result
from ..solvers.coupled_state import has_more_state
from ..solvers.fixed_variance import Variances, solve_variance, variance
from ..tables.tabulated_block import activations_of, single_tables, tables_for, with_activations
from .fixed_point import FixedPoint, solve, solve_correlation

_PIECE, _WORTH_A_TABLE = 32, 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class LeafDiagram(Result):
    """What `leaf_diagram` returns: axes x (n,), y (m,) and the names of their leaves; `FixedPoint` fields as [y, x]."""

    x: Any
    y: Any
    q_star: Any
    c_star: Any
    one_minus_c_star: Any
    chi_1: Any
    chi_1_minus_1: Any
    chi_c: Any
    chi_q: Any
    xi_c: Any
    xi_q: Any
    xi_grad: Any
    phase: Any
    status: Any
    q_error: Any
    all_q: Any
    all_chi_q: Any
    x_leaf: str = field(default="x", metadata={"static": True})
    y_leaf: str = field(default="y", metadata={"static": True})
    block: str = field(default="", metadata={"static": True})

    def plot(self, ax: Any = None) -> Any:
        """Draw log10(chi_1) and where it is 1; see `meanfield.plots.phase_diagram`."""
        from ..plots import phase_diagram as draw

        return draw(self, ax=ax)

    def to_xarray(self) -> Any:
        """An xarray.Dataset with the leaves' names as axes; statuses and phases as flags."""
        import xarray

        names = self.y_leaf, self.x_leaf
        data = variables(self, [f.name for f in fields(FixedPoint)], names)
        coords = dict(zip(names, (self.y, self.x), strict=True))
        return xarray.Dataset(data, coords, {"block": self.block, "title": "mean-field phase diagram"})

    def save(self, path: str | FilePath) -> FilePath:
        """Write everything to a NetCDF file (.nc); InputError where its folder does not exist."""
        return write(self.to_xarray(), path)


def leaf_diagram(block: Block, x: tuple[Path, Any], y: tuple[Path, Any], q0: float = 1.0) -> LeafDiagram:
    """Every fixed-point field of a block at every pair of values of two of its leaves.

    x and y are (leaf, values): a leaf by path ("blocks.1.sigma_w", or its end, "sigma_w", which is that of every layer)
    or by a getter, values as (lo, hi, n) or an array. Each point is what `fixed_point` gives; c* and what follows from
    it to 1e-8, by tables of the activations, where the grid is not small and no leaf is an activation's own, else by
    quadrature, which takes tens of milliseconds a point. Raises InputError for an unknown leaf and for what a block
    refuses.

    >>> import meanfield as mf
    >>> block = mf.Activate("relu") >> mf.Dropout(0.1) >> mf.Dense(1.0)
    >>> leaf_diagram(block, x=("sigma_w", [1.2, 1.5]), y=("rate", [0.2, 0.5])).phase[0]
    Phase(['ordered' 'unbounded'])
    """
    check_block(block)
    (x_path, x_range), (y_path, y_range) = (_axis(name, given) for name, given in (("x", x), ("y", y)))
    columns, rows = values_of("x", x_range), values_of("y", y_range)
    for path, values in ((x_path, columns), (y_path, rows)):
        for value in (values.min(), values.max()):
            check_kinks(block, with_leaf(block, path, float(value)), path)
    every = [a.ravel() for a in np.meshgrid(columns, rows)]
    points = _solved(block, (x_path, y_path), every, float(q0))
    shape = rows.size, columns.size
    points = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), points)
    names = {"x_leaf": path_name(x_path), "y_leaf": path_name(y_path), "block": repr(block)}
    return LeafDiagram(columns, rows, **{f.name: getattr(points, f.name) for f in fields(FixedPoint)}, **names)


def _axis(name: str, given: Any) -> tuple[Path, Any]:
    if not (isinstance(given, (tuple, list)) and len(given) == 2):
        raise InputError(f"{name}={given!r} must be (leaf, values), as ('sigma_w', (0.5, 2.0, 40))")
    return given[0], given[1]


def check_kinks(block: Block, moved: Block, path: Path) -> None:
    """InputError where a leaf moves kinks that under a trace would not be known to move."""
    before, after = (jax.tree.leaves(b, is_leaf=lambda p: hasattr(p, "kinks")) for b in (block, moved))
    for old, new in zip(before, after, strict=True):
        if hasattr(old, "kinks") and old.name == new.name and type(old.name) is str:
            free = not np.array_equal(np.asarray(old.kinks, float), np.asarray(new.kinks, float))
            if free and "(" in old.name:
                raise InputError(f"path={path_name(path)!r} moves the kinks of {old!r}; declare them as "
                                 "mf.Activation(fn, params, kinks=...)")  # fmt: skip


def _solved(block: Block, paths: tuple[Path, Path], every: list[np.ndarray], q0: float) -> FixedPoint:
    def in_pieces(compute: Any, *more: Any) -> Any:
        """compute of every point, and of `more`, in pieces of one size, so that one program serves every grid."""
        pieces = []
        for start in range(0, every[0].size, _PIECE):
            rows = np.minimum(np.arange(start, start + _PIECE), every[0].size - 1)
            piece = jax.tree.map(lambda a, rows=rows: a[rows], (*every, *more))
            pieces.append(compute(block, *piece, paths=paths))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: every[0].size], *pieces)

    if has_more_state(block):
        return in_pieces(partial(_by_state, q0=q0))
    tabulate = every[0].size >= _WORTH_A_TABLE and not _moves_activations(block, paths, every)
    found = in_pieces(partial(_variances, single_tables(block) if tabulate else None, q0=q0))
    with_pairs = has_trait(block, "per_input_noise") | found.chaotic
    known = (found.status == 0) | (found.status == 2)
    found = found._replace(chaotic=found.chaotic & known, q=np.where(known, found.q, 0.0))
    tables = None
    if tabulate and np.sum(with_pairs & known) >= _WORTH_A_TABLE:
        q = np.where(with_pairs & known, found.q, np.max(found.q[with_pairs & known]))

        def visit(watched: Block) -> Any:
            return in_pieces(partial(_visited_variances, activations_of(watched)), q)

        tables = tables_for(block, visit)
    return in_pieces(partial(_correlations, tables), found)


def _moves_activations(block: Block, paths: tuple[Path, Path], every: list[np.ndarray]) -> bool:
    far = block
    for path, values in zip(paths, every, strict=True):
        far = with_leaf(far, path, float(values[np.argmax(np.abs(values - values[0]))]))
    pairs = zip(*(jax.tree.leaves(activations_of(b)) for b in (block, far)), strict=True)
    return not all(np.array_equal(a, b) for a, b in pairs)


def _at(block: Block, paths: tuple[Path, Path], x: Any, y: Any) -> Block:
    return with_leaf(with_leaf(block, paths[0], x), paths[1], y)


@host_float64(static=("paths", "q0"))
def _by_state(block: Block, x: Array, y: Array, *, paths: tuple[Path, Path], q0: float) -> FixedPoint:
    return lax.map(lambda xy: solve(_at(block, paths, *xy), jnp.asarray(q0, x.dtype)), (x, y))


@host_float64(static=("paths", "q0"))
def _variances(
    tables: list | None, block: Block, x: Array, y: Array, *, paths: tuple[Path, Path], q0: float
) -> Variances:
    def one(x: Array, y: Array) -> Variances:
        here = _at(block, paths, x, y)
        here = sampled_block(here) if tables is None else with_activations(here, tables)
        return solve_variance(here, jnp.asarray(q0, x.dtype))

    return jax.vmap(one)(x, y)


@host_float64(static=("paths",))
def _visited_variances(
    activations: list, block: Block, x: Array, y: Array, q: Array, *, paths: tuple[Path, Path]
) -> Array:
    """One layer at every point, for the variances that its activations meet."""
    return jax.vmap(lambda x, y, q: variance(with_activations(_at(block, paths, x, y), activations), q))(x, y, q)


@host_float64(static=("paths",))
def _correlations(
    tables: list | None, block: Block, x: Array, y: Array, v: Variances, *, paths: tuple[Path, Path]
) -> FixedPoint:
    if tables is None:
        # One point at a time: pairs are what costs.
        return lax.map(lambda point: solve_correlation(_at(block, paths, *point[:2]), point[2]), (x, y, v))

    def one(x: Array, y: Array, v: Variances) -> FixedPoint:
        return solve_correlation(with_activations(_at(block, paths, x, y), tables), v)

    return jax.vmap(one)(x, y, v)
