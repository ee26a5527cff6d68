"""Critical lines of one or several activations in the plane (sigma_w, sigma_b)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes

from ..interface.quantities import symbol
from .canvas import axes_or_new, critical_line, has_fields


def edge_of_chaos(curves: Any, ax: Axes | None = None) -> Axes:
    """Draw critical lines, solid where stable in the variance and dashed where not; returns the Axes.

    `curves` is a result of `meanfield.edge_of_chaos`, or a mapping from a label to one. Each has `sigma_w`,
    `sigma_b` and `stable`, all (n,).

    >>> from types import SimpleNamespace as Curve
    >>> from matplotlib.figure import Figure
    >>> tanh = Curve(sigma_w=[1.0, 1.3], sigma_b=[0.0, 0.2], stable=[True, True])
    >>> len(edge_of_chaos({"tanh": tanh}, Figure().subplots()).lines)
    1
    """
    if not isinstance(curves, Mapping):
        curves = {None: curves}
    for curve in curves.values():
        has_fields("curves", curve, "sigma_w", "sigma_b", "stable")
    ax = axes_or_new(ax)
    # A single critical line is black, as in every figure here.
    cycle = [f"C{i}" for i in range(10)] if len(curves) <= 10 else [colormaps["tab20"](i) for i in range(20)]
    colors = ["black"] if len(curves) == 1 else [cycle[i % len(cycle)] for i in range(len(curves))]
    for (name, curve), color in zip(curves.items(), colors, strict=True):
        critical_line(ax, curve, color=color, label=name)
    ax.set(xlabel=symbol("sigma_w"), ylabel=symbol("sigma_b"), title="Edge of chaos")
    ax.set_ylim(bottom=0.0)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small")
    return ax
