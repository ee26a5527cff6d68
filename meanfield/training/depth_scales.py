"""The theory's predictions for a sweep's cells, to compare with the training results."""

from __future__ import annotations

import numpy as np

from ..blocks.block import Block
from ..blocks.leaves import leaf, leaf_paths
from ..theory.fixed_point import fixed_point
from ..theory.phase_diagram import phase_diagram
from .sweep import Sweep

__all__ = ["THEORY", "predicted_depth_scales"]

THEORY = ("xi_c", "xi_grad", "chi_1")
_CURVE_POINTS = 192

Scales = dict[str, np.ndarray]


def predicted_depth_scales(sweep: Sweep) -> Scales:
    """The theory of the sweep's block: `xi_c`, `xi_grad`, `chi_1`, an array over its leaves, and the curve of xi_c.

    The curve is over a finer grid of the leaf, `curve_x` and `curve_xi_c`; empty unless there is exactly one leaf.

    >>> predicted_depth_scales(Sweep(sigma_w=(1.0, 1.5811388300841898, 2)))["xi_c"].round(2)[-1]
    np.float64(11.8)
    """
    leaves = [(path, np.array(values)) for path, values in sweep.leaves.items()]
    if len(leaves) == 1:
        return _with_curve(sweep.block, *leaves[0])
    found = _over(sweep, leaves)
    return found | {"curve_x": np.empty(0), "curve_xi_c": np.empty(0)}


def _with_curve(block: Block, path: str, values: np.ndarray) -> Scales:
    # Padded to round numbers, so that sweeps of different grids share one compilation of the theory.
    points = np.pad(values, (0, -len(values) % 64), mode="edge")
    curve = np.linspace(values[0], values[-1], _CURVE_POINTS)
    still = _another_leaf(block, path)
    everything = np.concatenate([points, curve])
    found = _grid(block, (path, everything), (still, np.array([float(leaf(block, still))])))
    scales = {name: row[0, : len(values)] for name, row in found.items()}
    return scales | {"curve_x": curve, "curve_xi_c": found["xi_c"][0, len(points) :]}


def _over(sweep: Sweep, leaves: list[tuple[str, np.ndarray]]) -> Scales:
    """The scales on any number of axes but one: the last two as a diagram, the others one by one."""
    if not leaves:
        point = fixed_point(sweep.block)
        return {name: np.asarray(getattr(point, name), float) for name in THEORY}
    *outer, y, x = leaves
    shape = tuple(len(values) for _, values in outer)
    rows = []
    for place in np.ndindex(shape):
        fixed = [float(values[i]) for i, (_, values) in zip(place, outer, strict=True)]
        rows.append(_grid(sweep.block_at([*fixed, float(y[1][0]), float(x[1][0])]), x, y))
    return {name: np.stack([row[name] for row in rows]).reshape(sweep.shape[1:-1]) for name in THEORY}


def _grid(block: Block, x: tuple[str, np.ndarray], y: tuple[str, np.ndarray]) -> Scales:
    """The scales at every pair of values, [y, x]."""
    diagram = phase_diagram(block, x=x, y=y, progress=False)
    return {name: np.asarray(getattr(diagram, name), float) for name in THEORY}


def _another_leaf(block: Block, path: str) -> str:
    """A leaf other than the axis, to stay constant along the second axis of a diagram; sigma_b if possible."""
    others = [name for name in leaf_paths(block) if not f".{name}".endswith(f".{path}")]
    return next((name for name in others if name.endswith("sigma_b")), others[0])
