"""Shared by the figures: an Axes to draw on, cell edges, and a line that shows where it is stable."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..errors import InputError, shown
from ..interface.arguments import instance_of


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (6.4, 4.8)) -> Axes:
    """The given Axes, or that of a new figure of `size` inches.

    >>> from matplotlib.figure import Figure
    >>> mine = Figure().subplots()
    >>> axes_or_new(mine) is mine
    True
    """
    if ax is not None:
        return instance_of("ax", ax, (Axes,))
    # pyplot only here: a caller who passes an Axes never loads a window system.
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def has_fields(name: str, result: Any, *fields: str) -> None:
    """InputError unless a result has the fields that a figure is drawn from.

    >>> has_fields("result", 3, "real")
    """
    missing = [field for field in fields if not hasattr(result, field)]
    if missing:
        raise InputError(
            f"{shown(name, result)} has no {', '.join(missing)}; give what a call of this library returned"
        )


def is_geometric(values: Any) -> bool:
    """Whether values (n,), ascending, are spaced by a ratio rather than a difference, over a factor of 4 or more.

    >>> is_geometric([1.0, 3.0, 10.0, 30.0]), is_geometric([1.0, 2.0, 3.0, 4.0])
    (True, False)
    """
    values = np.asarray(values, float)
    if values.size < 3 or not values[0] > 0 or values[-1] < 4 * values[0]:
        return False
    by_ratio, by_difference = (np.std(steps) / np.mean(steps) for steps in (np.diff(np.log(values)), np.diff(values)))
    return bool(by_ratio < 0.25 and by_ratio < by_difference / 2)


def cell_edges(centres: Any, log: bool = False) -> np.ndarray:
    """Edges (n + 1,) of the cells around `centres` (n,), halfway between neighbours; one centre gets width 1.

    log: halfway on a log scale.

    >>> cell_edges([1.0, 2.0, 4.0]).tolist(), cell_edges([1.0, 4.0, 16.0], log=True).round(9).tolist()
    ([0.5, 1.5, 3.0, 5.0], [0.5, 2.0, 8.0, 32.0])
    """
    if log:
        return np.exp(cell_edges(np.log(np.asarray(centres, float))))
    centres = np.atleast_1d(np.asarray(centres, float))
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def spans_decades(values: Any) -> bool:
    """Whether the positive finite ones among the values span a factor of 100.

    >>> spans_decades([1.0, 200.0]), spans_decades([1.0, 20.0])
    (True, False)
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values) & (values > 0)]
    return bool(values.size) and bool(values.max() > 100 * values.min())


def log_axis(ax: Axes, which: str) -> None:
    """Put "x" or "y" on a log scale with ticks at 1, 2 and 5, written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def ascending(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) in ascending order and the order; InputError where two are equal, or one is no number.

    >>> [part.tolist() for part in ascending("x", [2.0, 1.0])]
    [[1.0, 2.0], [1, 0]]
    """
    values = np.atleast_1d(np.asarray(values, float))
    order = np.argsort(values, kind="stable")
    found = values[order]
    if not np.isfinite(found).all() or (np.diff(found) == 0).any():
        raise InputError(f"{name} must hold distinct finite numbers to be drawn; give each value once")
    return found, order


def critical_line(ax: Axes, curve: Any, color: Any = "black", label: str | None = None) -> None:
    """Draw an edge of chaos over (sigma_w, sigma_b); `curve` has these and `stable`, as for `stable_line`."""
    stable_line(ax, curve.sigma_w, curve.sigma_b, curve.stable, color, label)


def stable_line(ax: Axes, x: Any, y: Any, stable: Any, color: Any = "black", label: str | None = None) -> None:
    """Draw a line through points (n,): solid where it is stable, dashed where it is not.

    In the order of the line's parameter; NaN breaks it. A line of a single point (ReLU's critical line) is a dot.
    """
    x, y, stable = np.asarray(x, float), np.asarray(y, float), np.asarray(stable, bool)
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return
    if np.ptp(x[seen]) < 1e-9 and np.ptp(y[seen]) < 1e-9:
        # Half of the dot lies outside a box that ends at sigma_b = 0, where ReLU is critical.
        ax.plot(x[seen][:1], y[seen][:1], "o", color=color, label=label, clip_on=False, zorder=3)
        return
    # A segment is solid if both of its ends are stable, so that the two styles meet at a shared point.
    whole = stable[:-1] & stable[1:]
    for chosen, style, note in ((whole, "-", ""), (~whole, "--", " (variance-unstable)")):
        keep = np.zeros(len(x), bool)
        keep[:-1] |= chosen
        keep[1:] |= chosen
        if (keep & seen).any():
            name = None if label is None else label + note
            ax.plot(np.where(keep, x, np.nan), np.where(keep, y, np.nan), style, color=color, lw=1.8, label=name)
