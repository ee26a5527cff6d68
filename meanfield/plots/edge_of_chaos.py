"""Critical lines of one or several activations in the plane (sigma_w, sigma_b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..interface.quantities import symbol
from .canvas import axes_or_new, critical_line, has_fields

_COLOURS = [*(f"C{i}" for i in range(10)), "black"]


def edge_of_chaos(curves: Any, ax: Axes | None = None) -> Axes:
    """Draw critical lines, solid where stable in the variance and dashed where not; returns the Axes.

    Several lines carry their names at their ends, within the limits that `ax` has: set these first.
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
    colors = ["black"] if len(curves) == 1 else [_COLOURS[i % len(_COLOURS)] for i in range(len(curves))]
    for (name, curve), color in zip(curves.items(), colors, strict=True):
        critical_line(ax, curve, color=color, label=name)
    ax.set(xlabel=symbol("sigma_w"), ylabel=symbol("sigma_b"))
    ax.set_title("Edge of chaos", pad=6 if len(curves) == 1 else 62)
    if ax.get_autoscaley_on():
        ax.set_ylim(bottom=0.0)
    if len(curves) == 1:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize="small")
        return ax
    _label_lines(ax, curves, colors)
    if any(line.get_linestyle() == "--" for line in ax.lines):
        ax.legend(handles=[Line2D([], [], color="0.4", ls="--", label="variance-unstable")], fontsize="small")
    return ax


def _label_lines(ax: Axes, curves: Mapping[Any, Any], colors: Sequence[Any]) -> None:
    """Each name at the end of its line, in its colour: beside the frame where the line leaves it, upright above it."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small"}
    above: list[tuple[float, Any, Any]] = []
    for (name, curve), color in zip(curves.items(), colors, strict=True):
        x, y = np.asarray(curve.sigma_w, float), np.asarray(curve.sigma_b, float)
        inside = np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
        if not inside.size:
            continue
        end = inside[-1]
        after = slice(end, end + 2)
        if end + 1 < len(x) and y[end + 1] > top:
            above.append((float(np.interp(top, y[after], x[after])), name, color))
        elif end + 1 < len(x) and x[end + 1] > right:
            place = (right, float(np.interp(right, x[after], y[after])))
            ax.annotate(
                str(name), place, (4, 0), textcoords="offset points", va="center", color=color, fontsize="small"
            )
        else:
            ax.annotate(str(name), (x[end], y[end]), (5, 4), color=color, **style)
    _label_above(ax, sorted(above, key=lambda one: one[0]), top)


def _label_above(ax: Axes, ends: list[tuple[float, Any, Any]], top: float) -> None:
    """Upright names above the frame, pushed apart where lines end close to each other."""
    left, right = ax.get_xlim()
    gap = 0.028 * (right - left)
    places = [x for x, _, _ in ends]
    for _ in range(50):
        for i in range(1, len(places)):
            short = gap - (places[i] - places[i - 1])
            if short > 0:
                places[i - 1], places[i] = places[i - 1] - short / 2, places[i] + short / 2
    for (x, name, color), place in zip(ends, places, strict=True):
        leader = {"arrowstyle": "-", "color": color, "lw": 0.7}
        text = ax.annotate(str(name), (x, top), (place, top + 0.035 * (top - ax.get_ylim()[0])), arrowprops=leader)
        text.set(rotation=90, ha="center", va="bottom", color=color, fontsize="small", annotation_clip=False)
