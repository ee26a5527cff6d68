"""The phase diagram: log10 chi_1, or another field, over (sigma_w, sigma_b), the critical line over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from ..theory.diagram_axes import Axis, axis
from ..theory.phase_diagram import PhaseDiagram
from .canvas import ascending, axes_or_new, cell_edges, has_fields, is_geometric, log_axis, stable_line
from .colours import Colours, colours


def phase_diagram(
    result: Any,
    ax: Axes | None = None,
    *,
    field: str = "chi_1",
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a phase diagram on `ax` (None: a new figure) and return the Axes.

    `result` is what `meanfield.phase_diagram` returns, or has `sigma_w` (n,), `sigma_b` (m,), `chi_1` (m, n),
    `activation` and a `critical_line`. Colour is log10(chi_1), centred at chi_1 = 1: red is chaotic, blue ordered; or
    another `field`, such as "xi_c" (variances, distances and depth scales on a log scale). vmin, vmax: the ends of the
    colour bar, on its scale, so that several panels share one. The critical line of a fully connected network comes
    from its own parametrization, solid where it is stable in the variance (chi_q < 1), dashed where it is not; of
    another block it is the contour of the cells. Cells without a number (NaN) are hatched; 0 and inf take the end
    colours. Axes are drawn in ascending order, on a log scale where their values are spaced geometrically. InputError
    for an unknown field, and for axes whose values repeat.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> line = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0, 0.5], stable=[True, True])
    >>> result = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0], chi_1=[[0.9, 1.2]], critical_line=line, activation="tanh")
    >>> phase_diagram(result, Figure().subplots()).get_xlabel()
    '$\\\\sigma_w$'
    """
    has_fields("result", result, "chi_1", "activation", "critical_line")
    drawn = colours(field, getattr(result, str(field), None), vmin, vmax)
    ax = axes_or_new(ax)
    across, along = _axes_of(result)
    (x, columns), (y, rows) = ascending(across.leaf, across.values), ascending(along.leaf, along.values)
    log = is_geometric(x), is_geometric(y)
    edges = cell_edges(x, log[0]), cell_edges(y, log[1])

    # The hatch is the background of the Axes, visible through masked cells whatever the shape of their region.
    ax.patch.set(facecolor="0.93", hatch="///", edgecolor="0.6")
    values = drawn.values[np.ix_(rows, columns)]
    # pcolormesh masks infinities as well as NaN, but chi_1 = 0 and chi_1 = inf are numbers with a phase.
    shown = np.ma.masked_array(np.nan_to_num(values, nan=0.0, posinf=1e300, neginf=-1e300), np.isnan(values))
    mesh = ax.pcolormesh(*edges, _within(shown, drawn), cmap=drawn.cmap, norm=drawn.norm, rasterized=True)
    _colour_bar(ax, mesh, shown, drawn)
    ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]], xlabel=across.label, ylabel=along.label)
    for name, is_log in zip("xy", log, strict=True):
        if is_log:
            log_axis(ax, name)

    if result.critical_line is not None:
        _parametrized_line(ax, result.critical_line, across.leaf)
    else:
        _contour(ax, (x, y), edges, log, np.asarray(result.chi_1, float)[np.ix_(rows, columns)])
    named = f"Phase diagram of {result.activation}" if result.activation else "Phase diagram"
    ax.set_title(named if title is None else title)
    _legend(ax, "no fixed point" if field == "chi_1" else "undefined", hatched=bool(np.isnan(values).any()))
    return ax


def _within(shown: np.ma.MaskedArray, drawn: Colours) -> np.ma.MaskedArray:
    """Values that are 0 on a log scale, or infinite, moved outside the ends."""
    low, high = drawn.ends
    if isinstance(drawn.norm, LogNorm):
        return np.ma.clip(shown, low / 2, high * 2)
    return np.ma.clip(shown, min(-400.0, 2 * low), max(400.0, 2 * high))


def _axes_of(result: Any) -> tuple[Axis, Axis]:
    """The axes along x and y."""
    if isinstance(result, PhaseDiagram):
        return result.x_axis, result.y_axis
    return axis("sigma_w", np.asarray(result.sigma_w)), axis("sigma_b", np.asarray(result.sigma_b))


_CRITICAL = r"critical, $\chi_1 = 1$"


def _parametrized_line(ax: Axes, line: Any, x_leaf: str) -> None:
    turned = x_leaf.rpartition(".")[2] == "sigma_b"
    x, y = (line.sigma_b, line.sigma_w) if turned else (line.sigma_w, line.sigma_b)
    stable_line(ax, x, y, line.stable, label=_CRITICAL)


def _contour(
    ax: Axes, centres: tuple[np.ndarray, ...], edges: tuple[np.ndarray, ...], log: tuple[bool, bool], chi: np.ndarray
) -> None:
    """The contour chi_1 = 1 of the cells, as far as the frame and the border of the cells without a number."""
    if min(chi.shape) < 2:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.clip(np.log(chi), -400.0, 400.0)
    places = [np.concatenate([ends[:1], values, ends[-1:]]) for values, ends in zip(centres, edges, strict=True)]
    x, y = (np.log(place) if is_log else place for place, is_log in zip(places, log, strict=True))
    height = _continued(_continued(height, x).T, y).T
    if np.isfinite(height).any() and np.nanmin(height) < 0 < np.nanmax(height):
        ax.contour(*places, np.ma.masked_invalid(height), [0.0], colors="black", linewidths=1.8)
        ax.plot([], [], color="black", lw=1.8, label=_CRITICAL)


def _continued(height: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows continued linearly to a value more at either end, (n, m - 2) -> (n, m), at x (m,).

    So are the first two NaN beside numbers below 0 where they reach 0: variances often diverge right where chi_1 is 1.
    """
    height = np.pad(height, ((0, 0), (1, 1)), constant_values=np.nan)
    found, last = height.copy(), len(x) - 1
    for turned in (slice(None), slice(None, None, -1)):
        before, place, into = height[:, turned], x[turned], found[:, turned]
        for i in range(1, last):
            near, slope = before[:, i], (before[:, i] - before[:, i - 1]) / (place[i] - place[i - 1])
            reached = near + slope * (place[min(i + 2, last)] - place[i])
            diverges = np.isnan(before[:, i + 1]) & (near < 0) & (reached >= 0)
            wanted = diverges | (i == last - 1)
            for to in range(i + 1, min(i + 2, last) + 1):
                ahead = near + slope * (place[to] - place[i])
                into[:, to] = np.where(np.isnan(into[:, to]) & wanted, ahead, into[:, to])
    return found


def _colour_bar(ax: Axes, mesh: Any, shown: np.ma.MaskedArray, drawn: Colours) -> None:
    low, high = bool((shown < drawn.ends[0]).any()), bool((shown > drawn.ends[1]).any())
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]
    bar = ax.figure.colorbar(mesh, ax=ax, extend=extend)
    bar.set_label(drawn.label)
    if drawn.cmap == "RdBu_r":
        bar.ax.axhline(0.0, color="black", lw=1.2)


def _legend(ax: Axes, word: str, hatched: bool) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if hatched:
        from matplotlib.patches import Patch

        handles.append(Patch(facecolor="0.93", hatch="///", edgecolor="0.6"))
        labels.append(word)
    if handles:
        ax.legend(handles, labels, loc="best", framealpha=0.9, fontsize="small" if _is_wide(ax) else "xx-small")


def _is_wide(ax: Axes) -> bool:
    """Whether the Axes are at least 3 inches wide; in narrower panels a legend must not hide the line."""
    return ax.get_window_extent().width >= 3 * ax.figure.dpi
