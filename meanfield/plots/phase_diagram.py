"""The phase diagram: log10 chi_1 over (sigma_w, sigma_b), the critical line over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm

from .canvas import axes_or_new, cell_edges, critical_line

# Beyond a factor of 30 either way more colour says nothing, and one extreme cell would bleach the rest.
_WIDEST = 1.5


def phase_diagram(result: Any, ax: Axes | None = None) -> Axes:
    """Draw a phase diagram on `ax` (a new figure's where None) and return the Axes.

    `result` is what `meanfield.phase_diagram` returns: `sigma_w` (n,), `sigma_b` (m,), `chi_1` (m, n), and
    `critical_line`. Colour is log10(chi_1), centred at chi_1 = 1: red is chaotic, blue ordered. The critical line
    comes from its own parametrization, not from the cells (but for a `LeafDiagram`, where it is their contour): solid
    where it is stable in the variance (chi_q < 1),
    dashed where it is not. Cells without a number (chi_1 is NaN) are hatched; chi_1 = 0 and inf take the end colours.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> line = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0, 0.5], stable=[True, True])
    >>> result = Result(sigma_w=[1.0, 2.0], sigma_b=[0.0], chi_1=[[0.9, 1.2]], critical_line=line, activation="tanh")
    >>> phase_diagram(result, Figure().subplots()).get_xlabel()
    '$\\\\sigma_w$'
    """
    ax = axes_or_new(ax)
    chi = np.asarray(result.chi_1, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.log10(chi)
    finite = np.abs(colour[np.isfinite(colour)])
    # A few extreme cells in a corner take the end colour, so that the rest is not washed out.
    half = float(np.clip(np.percentile(finite, 98) if finite.size else 0.0, 0.05, _WIDEST))
    axes, labels = _axes_of(result)
    x, y = (cell_edges(values) for values in axes)

    # The hatch is the Axes' own ground: masked cells let it through, whatever the shape of their region.
    ax.patch.set(facecolor="0.93", hatch="///", edgecolor="0.6")
    # pcolormesh masks infinities as well as NaN, but chi_1 = 0 and chi_1 = inf are numbers with a phase.
    shown = np.ma.masked_invalid(np.clip(colour, -400.0, 400.0))
    mesh = ax.pcolormesh(x, y, shown, cmap="RdBu_r", norm=CenteredNorm(0.0, half), rasterized=True)
    _colour_bar(ax, mesh, colour, half)

    if getattr(result, "critical_line", None) is not None:
        critical_line(ax, result.critical_line, label=r"critical, $\chi_1 = 1$")
    elif min(chi.shape) > 1 and np.nanmin(colour) < 0 < np.nanmax(colour):
        ax.contour(*axes, shown, [0.0], colors="black", linewidths=1.8)
        ax.plot([], [], color="black", lw=1.8, label=r"critical, $\chi_1 = 1$")
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=labels[0], ylabel=labels[1])
    name = getattr(result, "activation", None)
    ax.set_title(f"Phase diagram of {name}" if name else "Phase diagram")
    _legend(ax, hatched=bool(np.isnan(chi).any()))
    return ax


def _axes_of(result: Any) -> tuple[list[np.ndarray], list[str]]:
    """The values along x and y, and what the axes are called: two sigmas, or the leaves of a `LeafDiagram`."""
    if hasattr(result, "x_leaf"):
        known = {"sigma_w": r"$\sigma_w$", "sigma_b": r"$\sigma_b$", "gamma": r"$\gamma$"}
        names = [known.get(name, name) for name in (result.x_leaf, result.y_leaf)]
        return [np.asarray(result.x), np.asarray(result.y)], names
    return [np.asarray(result.sigma_w), np.asarray(result.sigma_b)], [r"$\sigma_w$", r"$\sigma_b$"]


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
