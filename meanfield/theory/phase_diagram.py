"""Every fixed-point quantity on a grid of two standard deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError
from ..gaussian.activation import Activation
from ..gaussian.named import activation
from .block import MLP, Activate, Block, Dense, Serial, check_block
from .critical import EdgeOfChaos, edge_of_chaos
from .fixed_point import FixedPoint, solve_correlation, solve_variance
from .precision import host_float64
from .ranges import values_of
from .result import Result
from .status import Labels
from .table import builder_of

_CHUNK = 4096


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


def _on_grid(phi: Activation, sigma_w: np.ndarray, sigma_b: np.ndarray, q0: float) -> FixedPoint:
    """All fields, in chunks of a bounded size: first the variances, then the pair table they need, then the rest."""
    shape = (sigma_b.size, sigma_w.size)
    b, w = (a.ravel() for a in np.meshgrid(sigma_b, sigma_w, indexing="ij"))
    padded = -(-w.size // _CHUNK) * _CHUNK if w.size > _CHUNK else w.size
    w, b = (np.pad(a, (0, padded - a.size), mode="edge") for a in (w, b))
    rows = [_solve_chunk(phi, w[i : i + _CHUNK], b[i : i + _CHUNK], q0) for i in range(0, padded, _CHUNK)]
    return jax.tree.map(lambda *a: np.concatenate(a)[: shape[0] * shape[1]].reshape(shape + a[0].shape[1:]), *rows)


@host_float64
def _solve_chunk(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> FixedPoint:
    if phi.closed is None and not phi.has_steps:
        builder = builder_of(phi)
        variances = _variances(builder.activation(), sigma_w, sigma_b, q0)
        q = np.asarray(variances.q)[np.asarray(variances.chaotic)]
        if q.size:
            builder.cover(q)
        return _correlations(builder.activation(), sigma_w, sigma_b, variances)
    if phi.closed is not None:
        return _correlations(phi, sigma_w, sigma_b, _variances(phi, sigma_w, sigma_b, q0))
    # A user's function with value jumps has no table: point by point.
    blocks = [MLP(phi, w, b) for w, b in zip(sigma_w, sigma_b, strict=True)]
    points = [solve_correlation(block, solve_variance(block, jnp.asarray(q0))) for block in blocks]
    return jax.tree.map(lambda *a: jnp.stack(a), *points)


@jax.jit
def _variances(phi: Activation, sigma_w: Any, sigma_b: Any, q0: Any) -> Any:
    return jax.vmap(lambda w, b: solve_variance(_block(phi, w, b), q0))(sigma_w, sigma_b)


@jax.jit
def _correlations(phi: Activation, sigma_w: Any, sigma_b: Any, variances: Any) -> FixedPoint:
    return jax.vmap(lambda w, b, v: solve_correlation(_block(phi, w, b), v))(sigma_w, sigma_b, variances)


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
