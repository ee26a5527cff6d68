"""The phase diagram: log10 chi_1 over (sigma_w, sigma_b), the critical line over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm

from ..theory.diagram_axes import Axis, axis
from ..theory.phase_diagram import PhaseDiagram
from .canvas import axes_or_new, cell_edges, has_fields, stable_line

# Beyond a factor of 30 either way the colour saturates, since one extreme cell would wash out the rest.
_WIDEST = 1.5


def phase_diagram(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a phase diagram on `ax` (None: a new figure) and return the Axes.

    `result` is what `meanfield.phase_diagram` returns, or has `sigma_w` (n,), `sigma_b` (m,), `chi_1` (m, n),
    `activation` and a `critical_line`. Colour is log10(chi_1), centred at chi_1 = 1: red is chaotic, blue ordered. The
    critical line of a fully connected network comes from its own parametrization, solid where it is stable in the
    variance (chi_q < 1), dashed where it is not; of another block it is the contour of the cells. Cells without a
    number (chi_1 is NaN) are hatched; chi_1 = 0 and inf take the end colours.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> line = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0, 0.5], stable=[True, True])
    >>> result = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0], chi_1=[[0.9, 1.2]], critical_line=line, activation="tanh")
    >>> phase_diagram(result, Figure().subplots()).get_xlabel()
    '$\\\\sigma_w$'
    """
    has_fields("result", result, "chi_1", "activation", "critical_line")
    ax = axes_or_new(ax)
    chi = np.asarray(result.chi_1, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.log10(chi)
    finite = np.abs(colour[np.isfinite(colour)])
    # A few extreme cells in a corner take the end colour, so that the rest is not washed out.
    half = float(np.clip(np.percentile(finite, 98) if finite.size else 0.0, 0.05, _WIDEST))
    across, along = _axes_of(result)
    x, y = cell_edges(across.values), cell_edges(along.values)

    # The hatch is the background of the Axes, visible through masked cells whatever the shape of their region.
    ax.patch.set(facecolor="0.93", hatch="///", edgecolor="0.6")
    # pcolormesh masks infinities as well as NaN, but chi_1 = 0 and chi_1 = inf are numbers with a phase.
    shown = np.ma.masked_invalid(np.clip(colour, -400.0, 400.0))
    mesh = ax.pcolormesh(x, y, shown, cmap="RdBu_r", norm=CenteredNorm(0.0, half), rasterized=True)
    _colour_bar(ax, mesh, colour, half)

    _critical_line(ax, result, across, along, shown)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=across.label, ylabel=along.label)
    ax.set_title(f"Phase diagram of {result.activation}" if result.activation else "Phase diagram")
    _legend(ax, hatched=bool(np.isnan(chi).any()))
    return ax


def _axes_of(result: Any) -> tuple[Axis, Axis]:
    """The axes along x and y."""
    if isinstance(result, PhaseDiagram):
        return result.x_axis, result.y_axis
    return axis("sigma_w", np.asarray(result.sigma_w)), axis("sigma_b", np.asarray(result.sigma_b))


def _critical_line(ax: Axes, result: Any, across: Axis, along: Axis, shown: np.ma.MaskedArray) -> None:
    """The line from its own parametrization if the result has one, else the contour of the cells `shown`."""
    label = r"critical, $\chi_1 = 1$"
    if result.critical_line is not None:
        line = result.critical_line
        turned = across.leaf.rpartition(".")[2] == "sigma_b"
        x, y = (line.sigma_b, line.sigma_w) if turned else (line.sigma_w, line.sigma_b)
        stable_line(ax, x, y, line.stable, label=label)
    elif min(shown.shape) > 1 and shown.min() < 0 < shown.max():
        ax.contour(across.values, along.values, shown, [0.0], colors="black", linewidths=1.8)
        ax.plot([], [], color="black", lw=1.8, label=label)


def _colour_bar(ax: Axes, mesh: Any, colour: np.ndarray, half: float) -> None:
    low, high = bool((colour < -half).any()), bool((colour > half).any())
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]
    bar = ax.figure.colorbar(mesh, ax=ax, extend=extend)
    bar.set_label(r"$\log_{10}\,\chi_1$    (blue: ordered, red: chaotic)")
    bar.ax.axhline(0.0, color="black", lw=1.2)


def _legend(ax: Axes, hatched: bool) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if hatched:
        from matplotlib.patches import Patch

        handles.append(Patch(facecolor="0.93", hatch="///", edgecolor="0.6"))
        labels.append("no fixed point")
    if handles:
        ax.legend(handles, labels, loc="upper left", framealpha=0.9, fontsize="small")
