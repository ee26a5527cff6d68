"""Every fixed-point quantity on a grid of two standard deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from .block import Activate, Block, Dense, Serial, check_block
from .critical import EdgeOfChaos, edge_of_chaos
from . import grid
from .fixed_point import FixedPoint, assemble, solve, solve_variance
from .precision import host_float64
from .ranges import values_of
from .result import Result
from .status import Labels
from .table import builder_of

CHUNK = 1024


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class PhaseDiagram(Result):
    """What `phase_diagram` returns: axes sigma_w (n,), sigma_b (m,), and every `FixedPoint` field as [sigma_b, sigma_w].

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
        """An xarray.Dataset with named axes; statuses and phases as flag variables, the critical line beside the grid."""
        import xarray

        data: dict[str, Any] = {}
        for f in fields(FixedPoint):
            value = getattr(self, f.name)
            attributes: dict[str, Any] = {}
            if isinstance(value, Labels):
                attributes = {
                    "flag_values": np.arange(len(value.words), dtype=np.int8),
                    "flag_meanings": " ".join(value.words),
                }
                value = value.code
            dims = ("sigma_b", "sigma_w", "fixed_point")[: np.ndim(value)]
            data[f.name] = xarray.Variable(dims, value, attributes)
        for f in fields(EdgeOfChaos):
            value = np.asarray(getattr(self.critical_line, f.name))
            data[f"critical_{f.name}"] = xarray.Variable(("critical",), value.astype(np.int8) if value.dtype == bool else value)
        coords = {"sigma_w": self.sigma_w, "sigma_b": self.sigma_b}
        return xarray.Dataset(data, coords, {"activation": self.activation, "title": "mean-field phase diagram"})

    def save(self, path: str | Path) -> Path:
        """Write everything to a NetCDF file (.nc); InputError where its folder does not exist."""
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError(f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist; create it first")
        self.to_xarray().to_netcdf(path, engine="scipy")
        return path


def phase_diagram(
    phi_or_block: str | Callable | Activation | Block,
    sigma_w: Any = (0.5, 4.0, 300),
    sigma_b: Any = (0.0, 1.0, 250),
    q0: float = 1.0,
) -> PhaseDiagram:
    """The phase diagram of an activation, or of an MLP block: every fixed-point field at every (sigma_b, sigma_w).

    Each range is (lo, hi, n) or an array of values. Poole et al. (2016), Schoenholz et al. (2017). Moments are
    tabulated once per activation and interpolated, within 1e-8 relative of single points. Raises InputError for a
    negative sigma or an empty range.

    >>> import meanfield as mf
    >>> grid = mf.phase_diagram("tanh", sigma_w=[1.0, 1.5, 2.0], sigma_b=[0.1])
    >>> grid.phase[0]
    Phase(['ordered' 'chaotic' 'chaotic'])
    """
    phi = _activation_of(phi_or_block)
    axes = {"sigma_w": values_of("sigma_w", sigma_w), "sigma_b": values_of("sigma_b", sigma_b)}
    for name, values in axes.items():
        if np.any(values < 0):
            raise InputError(f"{name}: {values.min()} must not be negative; give standard deviations >= 0")
    point = _on_grid(phi, axes["sigma_w"], axes["sigma_b"], q0)
    line = _line_inside(phi, axes["sigma_w"], axes["sigma_b"], point.q_star)
    grid = {f.name: getattr(point, f.name) for f in fields(FixedPoint)}
    return PhaseDiagram(**axes, **grid, critical_line=line, activation=phi.name)


def _activation_of(given: Any) -> Activation:
    if not isinstance(given, Block):
        return activation(given)
    check_block(given)
    if isinstance(given, Serial) and [type(b) for b in given.blocks] == [Activate, Dense]:
        return given.blocks[0].phi
    raise InputError(f"block={given!r}: phase diagrams are drawn over the sigmas of mf.MLP(phi, sigma_w, sigma_b)")


@host_float64
def _on_grid(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> FixedPoint:
    shape = (sigma_b.size, sigma_w.size)
    b, w = (a.ravel() for a in np.meshgrid(sigma_b, sigma_w, indexing="ij"))
    points = _points_by_solver(phi, w, b, q0) if phi.has_steps else _points_by_table(phi, w, b, q0)
    return jax.tree.map(lambda a: np.asarray(a).reshape(shape + a.shape[1:]), points)


def _points_by_solver(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: Any) -> FixedPoint:
    """Activations with value jumps have no table: closed forms in one go, others point by point."""
    if phi.closed is not None:
        return in_chunks(partial(_solve_many, phi, q0=q0), CHUNK, sigma_w, sigma_b)
    blocks = [_block(phi, *point) for point in zip(sigma_w, sigma_b, strict=True)]
    return jax.tree.map(lambda *a: np.stack(a), *(solve(block, jnp.asarray(q0)) for block in blocks))


def _points_by_table(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: Any) -> FixedPoint:
    """The variances of all points, then the pair panels that these need, then c* panel by panel."""
    builder = builder_of(phi)
    scan = grid.scan_of(builder)
    found, hard = in_chunks(partial(grid.variances, builder.table, scan, q0=q0), grid.ROWS, sigma_w, sigma_b)
    if not builder.rising:
        hard = np.ones_like(hard)
    if hard.any():
        general = in_chunks(partial(_variances, builder.activation(), q0=q0), CHUNK, sigma_w[hard], sigma_b[hard])
        for whole, part in zip(found, general, strict=True):
            whole[hard] = part
    e, chi_c = np.zeros_like(found.q), found.chi_1.copy()
    panels = np.where(found.chaotic, builder.panel_of(found.q), -1)
    builder.cover(found.q[found.chaotic])
    for panel in np.unique(panels[panels >= 0]):
        (here,) = np.nonzero(panels == panel)
        solve_pairs = partial(grid.pairs, builder.table, panel)
        e[here], chi_c[here] = in_chunks(solve_pairs, grid.ROWS, found.q[here], found.chi_1[here])
    return assemble(found, e, chi_c)


def in_chunks(compute: Callable, size: int, *columns: np.ndarray) -> Any:
    """compute(*columns) in pieces of one size, so that one program serves every grid; NumPy arrays, writable."""
    count = columns[0].size
    pieces = []
    for start in range(0, count, size):
        piece = [c[start : start + size] for c in columns]
        short = size - piece[0].size
        pieces.append(compute(*(np.pad(c, (0, short), mode="edge") for c in piece)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *pieces)


@jax.jit
def _variances(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> Any:
    return jax.vmap(lambda w, b: solve_variance(_block(phi, w, b), q0))(sigma_w, sigma_b)


@jax.jit
def _solve_many(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> FixedPoint:
    return jax.vmap(lambda w, b: solve(_block(phi, w, b), q0))(sigma_w, sigma_b)


def _block(phi: Activation, sigma_w: Any, sigma_b: Any) -> Block:
    return Serial((Activate(phi), Dense(sigma_w, sigma_b)))


def _line_inside(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q_star: np.ndarray) -> EdgeOfChaos:
    """The critical line where it runs inside the box, with NaN where it leaves it."""
    finite = q_star[np.isfinite(q_star) & (q_star > 0)]
    top = max(float(finite.max(initial=1.0)), float(sigma_b.max()) ** 2) * 10
    line = edge_of_chaos(phi, np.geomspace(1e-10, top, 600))
    with np.errstate(invalid="ignore"):
        inside = (
            (line.sigma_w >= sigma_w.min()) & (line.sigma_w <= sigma_w.max())
            & (line.sigma_b >= sigma_b.min()) & (line.sigma_b <= sigma_b.max())
        )  # fmt: skip
    gap = np.where(inside, 1.0, np.nan)
    return replace(line, sigma_w=line.sigma_w * gap, sigma_b=line.sigma_b * gap)
