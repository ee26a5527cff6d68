"""Every fixed-point quantity on a grid of two standard deviations."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..blocks.block import MLP, Activate, Block, Dense, Serial, check_block
from ..blocks.leaves import Path as LeafPath
from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from ..interface.arguments import values_of
from ..interface.labels import Phase, Status
from ..interface.netcdf import variables, write
from ..interface.precision import in_float64, local_devices
from ..interface.progress import bar
from ..interface.result import Result
from ..solvers.fixed_gap import fixed_gap
from ..solvers.fixed_variance import solve_variance
from ..solvers.roots import MOST_ROOTS
from ..tables.mlp_grid import Points, fetch, in_chunks, looked_up, pairs, points
from ..tables.moment_table import table_of
from .critical import EdgeOfChaos, line_at
from .fixed_point import FixedPoint, assemble, solve
from .leaf_grid import LeafDiagram, leaf_diagram

CHUNK = 256
TILE = 40_000
_FEW, _SEVERAL, _AT_ONCE = 16, 64, 8
_SIGMA_W, _SIGMA_B = (0.5, 4.0, 300), (0.0, 1.0, 250)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class PhaseDiagram(Result):
    """What `phase_diagram` returns: axes sigma_w (n,), sigma_b (m,); every `FixedPoint` field as [sigma_b, sigma_w].

    `all_q` and `all_chi_q` have a last axis of five. `critical_line` is the edge of chaos inside the box, from its own
    parametrization; `activation` is the name of the activation.
    """

    sigma_w: Any
    sigma_b: Any
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
    critical_line: EdgeOfChaos
    activation: str

    def plot(self, ax: Any = None) -> Any:
        """Draw log10(chi_1) with the critical line; see `meanfield.plots.phase_diagram`."""
        from ..plots import phase_diagram as draw

        return draw(self, ax=ax)

    def to_xarray(self) -> Any:
        """An xarray.Dataset with named axes; statuses and phases as flags, the critical line beside the grid."""
        import xarray

        data = variables(self, [f.name for f in fields(FixedPoint)], ("sigma_b", "sigma_w"))
        for f in fields(EdgeOfChaos):
            value = np.asarray(getattr(self.critical_line, f.name))
            data[f"critical_{f.name}"] = xarray.Variable(
                ("critical",), value.astype(np.int8) if value.dtype == bool else value
            )
        coords = {"sigma_w": self.sigma_w, "sigma_b": self.sigma_b}
        return xarray.Dataset(data, coords, {"activation": self.activation, "title": "mean-field phase diagram"})

    def save(self, path: str | Path) -> Path:
        """Write everything to a NetCDF file (.nc); InputError where its folder does not exist."""
        return write(self.to_xarray(), path)


def phase_diagram(
    phi_or_block: str | Callable | Activation | Block,
    sigma_w: Any = _SIGMA_W,
    sigma_b: Any = _SIGMA_B,
    q0: float = 1.0,
    progress: bool | None = None,
    *,
    x: tuple[LeafPath, Any] | None = None,
    y: tuple[LeafPath, Any] | None = None,
) -> PhaseDiagram | LeafDiagram:
    """The phase diagram of an activation, or of an MLP block: every fixed-point field at every (sigma_b, sigma_w).

    Each range is (lo, hi, n) or an array of values. Poole et al. (2016), Schoenholz et al. (2017). Moments are
    tabulated once per activation and interpolated, within 1e-8 relative of single points (c* where it nearly vanishes:
    within 1e-10; chi_c and chi_q there: within 1e-10 of chi_1). Large grids are computed tile by tile, each spread over
    all local devices, in about 190 bytes a point and 300 megabytes beside; `progress` draws a bar (None: where standard
    error is a terminal and there are many tiles). Raises InputError for a negative sigma or an empty range.

    Of any other block, or over any two leaves, x=(leaf, values) and y=(leaf, values), it is a `LeafDiagram`: see
    `meanfield.theory.leaf_grid.leaf_diagram`. x is then sigma_w and y is sigma_b of every layer where not given.

    >>> import meanfield as mf
    >>> grid = mf.phase_diagram("tanh", sigma_w=[1.0, 1.5, 2.0], sigma_b=[0.1])
    >>> grid.phase[0]
    Phase(['ordered' 'chaotic' 'chaotic'])
    """
    if x is not None or y is not None or not _is_mlp(phi_or_block):
        return _over_leaves(phi_or_block, x or ("sigma_w", sigma_w), y or ("sigma_b", sigma_b), q0)
    phi = _activation_of(phi_or_block)
    axes = {"sigma_w": values_of("sigma_w", sigma_w), "sigma_b": values_of("sigma_b", sigma_b)}
    for name, values in axes.items():
        if np.any(values < 0):
            raise InputError(f"{name}: {values.min()} must not be negative; give standard deviations >= 0")
    point = _on_grid(phi, axes["sigma_w"], axes["sigma_b"], q0, progress)
    known = phi if phi.has_steps else in_float64(table_of)(phi).activation()
    line = _line_inside(known, axes["sigma_w"], axes["sigma_b"], point.q_star)
    grid = {f.name: getattr(point, f.name) for f in fields(FixedPoint)}
    return PhaseDiagram(**axes, **grid, critical_line=line, activation=phi.name)


def _is_mlp(given: Any) -> bool:
    if not isinstance(given, Block):
        return True
    return isinstance(given, Serial) and [type(b) for b in given.blocks] == [Activate, Dense]


def _over_leaves(given: Any, x: tuple[LeafPath, Any], y: tuple[LeafPath, Any], q0: float) -> LeafDiagram:
    """The slower way, which takes any block; its default grids are as much coarser."""
    coarse = {id(_SIGMA_W): (0.5, 4.0, 72), id(_SIGMA_B): (0.0, 1.0, 50)}
    x, y = ((leaf, coarse.get(id(values), values)) for leaf, values in (x, y))
    block = given if isinstance(given, Block) else MLP(given, sigma_w=1.0, sigma_b=0.0)
    return leaf_diagram(block, x, y, q0)


def _activation_of(given: Any) -> Activation:
    if not isinstance(given, Block):
        return activation(given)
    check_block(given)
    return given.blocks[0].phi


@in_float64
def _on_grid(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float, progress: bool | None) -> FixedPoint:
    """Tile by tile into one result, several tiles at a time where there is one device and several cores."""
    solve = in_float64(_by_solver if phi.has_steps else _by_table)
    tiles = _tiles(sigma_b.size, sigma_w.size)
    whole = _empty((sigma_b.size, sigma_w.size))

    def fill(tile: tuple[slice, slice]) -> int:
        rows, columns = tile
        found = solve(phi, sigma_w[columns], sigma_b[rows], float(q0))
        for into, values in zip(jax.tree.leaves(whole), jax.tree.leaves(found), strict=True):
            place, values = into[rows, columns], np.asarray(values)
            if place.ndim == 3:
                # A tile keeps as many fixed points a point as it has; the rest is NaN already.
                place = place[..., : values.shape[1]]
            place[...] = values.reshape(place.shape)
        return place.shape[0] * place.shape[1]

    shown = False if progress is None and len(tiles) <= _FEW else progress
    # What is compiled and tabulated on the way is not to be done by two tiles at once.
    alone = 0 if not phi.has_steps and table_of(phi).is_warm else 1
    # Programs of one set of devices must not be started in two orders.
    at_once = min(os.cpu_count() or 1, _AT_ONCE) if len(local_devices()) == 1 else 1
    with bar(sigma_w.size * sigma_b.size, "phase diagram", shown) as advance:
        for tile in tiles[:alone]:
            advance(fill(tile))
        with ThreadPoolExecutor(at_once) as pool:
            for done in pool.map(fill, tiles[alone:]):
                advance(done)
    return whole


def _tiles(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Slices of the grid that hold at most TILE points, high rather than wide: the scan is paid for once a column."""
    high = min(rows, 256)
    wide = max(1, TILE // high)
    # Even tiles: two cores end together.
    wide = -(-columns // -(-columns // wide))
    return [(slice(i, i + high), slice(j, j + wide)) for i in range(0, rows, high) for j in range(0, columns, wide)]


def _empty(shape: tuple[int, int]) -> FixedPoint:
    many = np.full((2, *shape, MOST_ROOTS), np.nan)
    grid = {f.name: np.empty(shape) for f in fields(FixedPoint)} | dict(zip(("all_q", "all_chi_q"), many, strict=True))
    phase, status = (np.empty(shape, np.int8) for _ in range(2))
    return FixedPoint(**grid | {"phase": Phase(phase), "status": Status(status)})


def _by_solver(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> FixedPoint:
    """Activations with value jumps have no table: closed forms in one go, others point by point."""
    b, w = (a.ravel() for a in np.meshgrid(sigma_b, sigma_w, indexing="ij"))
    if phi.closed is not None:
        return fetch(in_chunks(partial(_solve_many, phi, q0=q0), CHUNK, w, b))
    points = [_solve_one(phi, *point, q0) for point in zip(w, b, strict=True)]
    return jax.tree.map(lambda *a: np.stack(a), *points)


def _by_table(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> FixedPoint:
    """What one input decides at all points, then the pair panels that these need, then c* piece by piece."""
    table = table_of(phi)
    table.is_warm = True
    (found, y, r), hard = points(table, sigma_w, sigma_b, q0)

    def sigmas(at: np.ndarray) -> list[np.ndarray]:
        row, column = np.divmod(at, sigma_w.size)
        return [sigma_w[column], sigma_b[row]]

    (these,) = np.nonzero(hard)
    if these.size:
        solver = partial(_by_moments, table.activation(), table.unit, q0=q0)
        general, y[these], r[these] = fetch(in_chunks(solver, _SEVERAL, *sigmas(these)))
        found = found._replace(**{name: _padded(getattr(found, name)) for name in ("all_q", "all_chi_q")})
        for whole, part in zip(found, general, strict=True):
            whole[these] = part
    e, chi_c = np.zeros_like(found.q), found.chi_1.copy()
    (these,) = np.nonzero(found.chaotic)
    e[these], chi_c[these] = pairs(table, y[these], r[these], found.chi_1[these] - 1)
    these = these[np.isnan(e[these])]
    if these.size:
        at = sigmas(these) + [found.q[these], found.chi_1[these]]
        e[these], chi_c[these] = fetch(in_chunks(partial(_gaps, phi), _FEW, *at))
    every = {"all_q": found.all_q, "all_chi_q": found.all_chi_q}
    nothing = np.zeros(0)
    return replace(_assemble(found._replace(all_q=nothing, all_chi_q=nothing), e, chi_c), **every)


def _padded(roots: np.ndarray) -> np.ndarray:
    return np.pad(roots, ((0, 0), (0, MOST_ROOTS - roots.shape[1])), constant_values=np.nan)


_assemble = jax.jit(assemble)


@jax.jit
def _by_moments(phi: Activation, unit: tuple, sigma_w: Any, sigma_b: Any, q0: Any) -> Points:
    """`Points` by the general solver, with the table's moments."""
    one = jax.vmap(lambda w, b: solve_variance(_block(phi, w, b), jnp.asarray(q0)))(sigma_w, sigma_b)
    mean = jax.vmap(lambda q: phi.closed.moments(phi, q).mean)(one.q)
    return Points(one, *looked_up(unit, sigma_w**2, sigma_b**2, one.q, one.chi_1, mean))


@jax.jit
def _gaps(phi: Activation, sigma_w: Any, sigma_b: Any, q: Any, chi_1: Any) -> tuple[Any, Any]:
    """1 - c* and chi_c of chaotic points, point by point."""

    def one(point: tuple) -> tuple[Any, Any]:
        w, b, q, chi_1 = point
        gap, chi_c = fixed_gap(_block(phi, w, b), q, chi_1, jnp.asarray(True))
        return gap / q, chi_c

    return lax.map(one, (sigma_w, sigma_b, q, chi_1))


@jax.jit
def _solve_one(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> FixedPoint:
    return solve(_block(phi, sigma_w, sigma_b), jnp.asarray(q0))


@jax.jit
def _solve_many(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> FixedPoint:
    return jax.vmap(lambda w, b: _solve_one(phi, w, b, q0))(sigma_w, sigma_b)


def _block(phi: Activation, sigma_w: Any, sigma_b: Any) -> Block:
    return Serial((Activate(phi), Dense(sigma_w, sigma_b)))


def _line_inside(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q_star: np.ndarray) -> EdgeOfChaos:
    """The critical line where it runs inside the box, with NaN where it leaves it."""
    finite = q_star[np.isfinite(q_star) & (q_star > 0)]
    top = max(float(finite.max(initial=1.0)), float(sigma_b.max()) ** 2) * 10
    line = line_at(phi, np.geomspace(1e-10, top, 600))
    with np.errstate(invalid="ignore"):
        inside = (
            (line.sigma_w >= sigma_w.min()) & (line.sigma_w <= sigma_w.max())
            & (line.sigma_b >= sigma_b.min()) & (line.sigma_b <= sigma_b.max())
        )  # fmt: skip
    gap = np.where(inside, 1.0, np.nan)
    return replace(line, sigma_w=line.sigma_w * gap, sigma_b=line.sigma_b * gap)
