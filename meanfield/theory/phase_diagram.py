"""Every fixed-point quantity over two leaves of a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jax import tree_util

from ..blocks.block import MLP, Block, check_block, mlp_parts
from ..blocks.leaves import Path as LeafPath
from ..blocks.leaves import path_name
from ..errors import InputError
from ..gaussian.activation import Activation
from ..interface.arguments import sigma, variances
from ..interface.labels import Phase, Status
from ..interface.netcdf import Stored, describe, read, variable, write
from ..interface.precision import is_traced
from ..interface.result import Result, show
from ..interface.settings import in_own_settings
from .block_grid import solve_block_grid
from .critical import EdgeOfChaos
from .critical_line import critical_line_inside
from .diagram_axes import Axis, Range, Wanted, axis, check_axis, sigma_places, wanted_axes
from .fixed_point import FixedPoint
from .sigma_grid import solve_sigma_grid

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

FIELDS = tuple(f.name for f in fields(FixedPoint))
LINE = tuple(f.name for f in fields(EdgeOfChaos))
_ALL = ("all_q", "all_chi_q")
_RANGES = {
    "q_star": Stored(None, 0.0),
    "c_star": Stored(None, -1.0, 1.0),
    "one_minus_c_star": Stored(None, 0.0, 2.0),
    "chi_1": Stored(None, 0.0),
    "phase": Stored(None, 0, len(Phase.words) - 1),
    "status": Stored(None, 0, len(Status.words) - 1),
}
_STORED = dict.fromkeys(FIELDS) | _RANGES


@tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class PhaseDiagram(Result):
    """The result of `phase_diagram`: two axes, and the fixed point at every pair of their values.

    x_axis, y_axis : the leaves and their values, (n,) and (m,); `x`, `y` are the values, `x_leaf`, `y_leaf` the paths
    point          : a `FixedPoint` of arrays [y, x] (all_q and all_chi_q with a last axis of five), whose fields are
                     also attributes of the diagram: `diagram.q_star`
    critical_line  : of a fully connected network, the edge of chaos inside the box, from its own parametrization;
                     None for other blocks and leaves
    block          : the block as text;  activation : the name of a fully connected network's activation, else None
    """

    x_axis: Axis
    y_axis: Axis
    point: FixedPoint
    critical_line: EdgeOfChaos | None = None
    block: str = field(default="", metadata={"static": True})
    activation: str | None = field(default=None, metadata={"static": True})

    def __getattr__(self, name: str) -> Any:
        # Reached only for names that the class itself lacks, and for a sigma that is not an axis.
        if name in FIELDS:
            return getattr(self.point, name)
        if name in ("sigma_w", "sigma_b"):
            raise AttributeError(f"this diagram is over {self.x_leaf} and {self.y_leaf}, not {name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *FIELDS])

    @property
    def x(self) -> np.ndarray:
        """The values along x, (n,)."""
        return self.x_axis.values

    @property
    def y(self) -> np.ndarray:
        """The values along y, (m,)."""
        return self.y_axis.values

    @property
    def x_leaf(self) -> str:
        """The path of the leaf along x."""
        return self.x_axis.leaf

    @property
    def y_leaf(self) -> str:
        """The path of the leaf along y."""
        return self.y_axis.leaf

    @property
    def sigma_w(self) -> np.ndarray:
        """The values of sigma_w, if that is an axis."""
        return self._along("sigma_w")

    @property
    def sigma_b(self) -> np.ndarray:
        """The values of sigma_b, if that is an axis."""
        return self._along("sigma_b")

    def _along(self, name: str) -> np.ndarray:
        for candidate in (self.x_axis, self.y_axis):
            if candidate.leaf.rpartition(".")[2] == name:
                return candidate.values
        raise AttributeError(name)  # `__getattr__` then says why

    def rows(self) -> list[tuple[str, str]]:
        """(name, shown value): the axes, every field of the fixed point, and the block."""
        axes = [(f"{place} = {a.leaf}", show(a.values)) for place, a in (("x", self.x_axis), ("y", self.y_axis))]
        line = self.critical_line
        drawn = "none" if line is None else f"{np.sum(np.isfinite(line.sigma_w))} points in the box"
        return [*axes, *self.point.rows(), ("critical_line", drawn), ("block", self.block)]

    def plot(
        self,
        ax: Axes | None = None,
        *,
        field: str = "chi_1",
        vmin: float | None = None,
        vmax: float | None = None,
        title: str | None = None,
    ) -> Axes:
        """Draw log10(chi_1), or another field, with the critical line; see `meanfield.plots.phase_diagram`."""
        from ..plots import phase_diagram as draw

        return draw(self, ax=ax, field=field, vmin=vmin, vmax=vmax, title=title)

    def to_xarray(self) -> xarray.Dataset:
        """An xarray.Dataset over the leaves' names; statuses and phases as flags, the critical line beside the grid."""
        import xarray

        axes = self.y_leaf, self.x_leaf, "fixed_point"
        data = {name: variable(name, getattr(self.point, name), axes) for name in FIELDS}
        if self.critical_line is not None:
            line = {name: np.asarray(getattr(self.critical_line, name)) for name in LINE}
            data |= {f"critical_{name}": variable(name, value, ("critical",)) for name, value in line.items()}
        coords = {a.leaf: xarray.Variable((a.leaf,), a.values, describe(a.leaf)) for a in (self.y_axis, self.x_axis)}
        attributes = {"title": "mean-field phase diagram", "block": self.block}
        attributes |= {"activation": self.activation} if self.activation else {}
        return xarray.Dataset(data, coords, attributes)

    def save(self, path: str | Path) -> Path:
        """Write everything to a NetCDF file (.nc), which `load` reads; InputError if it cannot be written.

        The file is written aside and renamed: it is the old one or the new one, whatever happens.
        """
        return write(self.to_xarray(), path)

    @classmethod
    def load(cls, path: str | Path) -> PhaseDiagram:
        """The diagram in a file that `save` wrote, in any version; InputError if there is none, or it is damaged."""
        data = read(path, _STORED)
        y, x = _axes_of(path, data)
        found: dict[str, Any] = {name: data[name].values for name in FIELDS}
        point = FixedPoint(**found | {"phase": Phase(found["phase"]), "status": Status(found["status"])})
        x_axis, y_axis = (axis(name, data[name].values) for name in (x, y))
        block, activation = data.attrs.get("block", ""), data.attrs.get("activation")
        return cls(x_axis, y_axis, point, _line_of(data), block, activation)


def _axes_of(path: str | Path, data: xarray.Dataset) -> tuple[str, str]:
    """The names of the axes, once every field is known to be over them, and they to hold distinct finite numbers."""
    dims = tuple(str(name) for name in data["q_star"].dims)
    wrong = [name for name in FIELDS if tuple(data[name].dims)[:2] != dims or data[name].ndim != 2 + (name in _ALL)]
    for name in dims:
        values = data[name].values
        numbers = values.dtype.kind in "iuf" and np.isfinite(values).all() and np.unique(values).size == values.size
        wrong += [] if numbers and name in data.coords else [name]
    if len(dims) != 2 or wrong:
        raise InputError(f"path={str(path)!r} is damaged: {', '.join(wrong or dims)} does not fit; move it aside")
    return dims[0], dims[1]


def _line_of(data: xarray.Dataset) -> EdgeOfChaos | None:
    if "critical_q" not in data:
        return None
    line = {name: data[f"critical_{name}"].values for name in LINE}
    return EdgeOfChaos(**line | {"stable": line["stable"].astype(bool)})


@in_own_settings
def phase_diagram(
    phi_or_block: str | Callable | Activation | Block,
    sigma_w: Range | None = None,
    sigma_b: Range | None = None,
    q0: float = 1.0,
    progress: bool | None = None,
    *,
    x: tuple[LeafPath, Range] | None = None,
    y: tuple[LeafPath, Range] | None = None,
) -> PhaseDiagram:
    """The phase diagram of an activation or of any block: every fixed-point field at every pair of two leaves' values.

    Without x and y it is over sigma_w and sigma_b (Poole et al. 2016; Schoenholz et al. 2017), each (lo, hi, n) or an
    array of values. x=(leaf, values) and y=(leaf, values) are any leaves: by path ("blocks.1.sigma_w", or its end,
    "sigma_w", which sets every layer's) or by a getter. All other leaves keep the block's values.

    Of a fully connected network over its two sigmas, moments are tabulated once per activation and interpolated, within
    1e-8 relative of single points (c* where it nearly vanishes: within 1e-10; chi_c and chi_q there: within 1e-10 of
    chi_1). Large grids are computed tile by tile, each spread over all local devices, in about 190 bytes a point plus
    300 megabytes; `progress` draws a bar (None: where standard error is a terminal and there are many tiles). For other
    blocks and leaves each point is that of `fixed_point`; c* and the quantities derived from it to 1e-8 from tables of
    the activations, unless the grid is small or a leaf belongs to an activation: then by quadrature, at tens of
    milliseconds a point. Default ranges have 300 x 250 points where these are cheap, else 72 x 50.

    Raises InputError for an unknown leaf, an empty range, a value that the block rejects, such as a negative sigma, and
    under a trace.

    >>> import meanfield as mf
    >>> mf.phase_diagram("tanh", sigma_w=[1.0, 1.5, 2.0], sigma_b=[0.1]).phase[0]
    Phase(['ordered' 'chaotic' 'chaotic'])
    >>> block = mf.Activate("relu") >> mf.Dropout(0.1) >> mf.Dense(1.0)
    >>> mf.phase_diagram(block, x=("sigma_w", [1.2, 1.5]), y=("rate", [0.2, 0.5])).phase[0]
    Phase(['ordered' 'unbounded'])
    """
    block = phi_or_block if isinstance(phi_or_block, Block) else MLP(phi_or_block, sigma_w=1.0, sigma_b=0.0)
    check_block(block)
    if is_traced((block, q0)):
        raise InputError("phase_diagram tabulates: call it outside jit, grad and vmap; vmap mf.fixed_point inside them")
    q0 = float(variances("q0", q0, single=True))
    wanted = wanted_axes(block, x, y, sigma_w, sigma_b)
    places = sigma_places(block, wanted)
    x_axis, y_axis = (_axis(block, one, of_sigmas=places is not None) for one in wanted)
    if places is not None:
        return _of_sigmas(block, (x_axis, y_axis), places, q0, progress)
    paths = wanted[0].path, wanted[1].path
    point = solve_block_grid(block, paths, (x_axis.values, y_axis.values), q0)
    return PhaseDiagram(x_axis, y_axis, point, block=repr(block))


def _axis(block: Block, wanted: Wanted, of_sigmas: bool) -> Axis:
    values = wanted.values(fine=of_sigmas)
    if of_sigmas:
        sigma(path_name(wanted.path), values)
    else:
        check_axis(block, wanted.path, values)
    return axis(wanted.path, values)


def _of_sigmas(
    block: Block, axes: tuple[Axis, Axis], places: tuple[int, int], q0: float, progress: bool | None
) -> PhaseDiagram:
    """The diagram of a fully connected network over its two sigmas; the columns of the grid are sigma_w."""
    phi, _ = mlp_parts(block)
    w, b = (axes[i].values for i in places)
    point = solve_sigma_grid(phi, w, b, q0, progress)
    line = critical_line_inside(phi, w, b, np.asarray(point.q_star))
    if places == (1, 0):
        point = tree_util.tree_map(lambda a: np.swapaxes(a, 0, 1), point)
    return PhaseDiagram(axes[0], axes[1], point, line, repr(block), phi.name)
