"""Initialization schemes as points on the phase diagram of an activation."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..interface.quantities import symbol
from .canvas import axes_or_new, has_fields

_MARKS = "osD^vP*Xphd<>"
_COLOURS = {"trains": "#1a9850", "inputs merge": "#fdae61"}


def schemes(result: Any, ax: Axes | None = None) -> Axes:
    """Draw every scheme of a `meanfield.compare_init` at its (sigma_w, sigma_b), on a phase diagram; returns the Axes.

    `result` has `activation`, `schemes` (names), `sigma_w`, `sigma_b` (n,) and `verdict` (words). A filled green mark
    trains, an empty one does not, and the legend says why. Draw `meanfield.plots.phase_diagram` on `ax` first for the
    colours of the phases. Schemes at one point share a mark.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> result = Result(activation="relu", schemes=("he", "lecun", "glorot"), sigma_w=[1.4, 1.0, 1.0],
    ...     sigma_b=[0.0, 0.0, 0.0], verdict=("trains", "gradients vanish", "gradients vanish"))
    >>> len(schemes(result, Figure().subplots()).collections)
    2
    """
    has_fields("result", result, "activation", "schemes", "sigma_w", "sigma_b", "verdict")
    ax = axes_or_new(ax)
    for i, (point, (names, word)) in enumerate(_grouped(result).items()):
        colour = _COLOURS.get(word, "#d73027")
        trains = word == "trains"
        face, edge = (colour, "black") if trains else ("white", colour)
        label = f"{', '.join(names)}: {word}"
        mark = _MARKS[i % len(_MARKS)]
        ax.scatter(
            *point,
            s=64,
            marker=mark,
            linewidth=1.4,
            zorder=5,
            clip_on=False,
            label=label,
            facecolor=face,
            edgecolor=edge,
        )
    if not ax.get_xlabel():
        ax.set(xlabel=symbol("sigma_w"), ylabel=symbol("sigma_b"))
    ax.set_title(f"Initialization schemes, {result.activation}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize="x-small", frameon=False, ncols=2)
    return ax


def _grouped(result: Any) -> dict[tuple[float, float], tuple[list[str], str]]:
    """(sigma_w, sigma_b), equal to three digits -> names at that point, and their verdict."""
    groups: dict[tuple[float, float], tuple[list[str], str]] = {}
    for name, w, b, word in zip(result.schemes, result.sigma_w, result.sigma_b, result.verdict, strict=True):
        point = (float(np.round(w, 3)), float(np.round(b, 3)))
        groups.setdefault(point, ([], word))[0].append(name)
    return groups
