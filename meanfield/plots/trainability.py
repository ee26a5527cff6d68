"""The trainability map: accuracy over sigma_w and depth, with multiples of the theory's depth scale."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from ..errors import InputError
from ..interface.arguments import one_of
from ..interface.quantities import symbol
from .canvas import ascending, axes_or_new, cell_edges, has_fields, is_geometric, log_axis

if TYPE_CHECKING:
    from ..training import Trainability

__all__ = ["trainability"]


def trainability(
    result: Trainability, ax: Axes | None = None, multiples: Sequence[float] = (6,), *, of: str = "train_accuracy"
) -> Axes:
    """Draw a `meanfield.Trainability` as a heat map: the leaf on x, depth on y, the mean accuracy over seeds in colour.

    The sweep must be over one leaf of its block, usually sigma_w; else InputError. Dashed lines are n xi_c for each n
    of `multiples`: Schoenholz et al. 2017 found networks to train up to about 6 xi_c. Cells without a number are
    hatched; a cross marks a cell in which a network diverged. `of` is "train_accuracy" or "test_accuracy". Draws into
    `ax`, or into a new figure; returns the Axes.
    """
    one_of("of", of, ("train_accuracy", "test_accuracy"))
    has_fields("result", result, "sweep", of)
    ax = axes_or_new(ax, size=(6.4, 4.4))
    leaf, values = _only_leaf(result)
    x, columns = ascending(leaf, values)
    y, rows = ascending("depth", result.depths)
    log = is_geometric(x), is_geometric(y)
    # A network has no fewer than 0 layers, however far apart the depths are.
    across, along = cell_edges(x, log[0]), np.maximum(cell_edges(y, log[1]), 0.0)
    ax.patch.set(facecolor="0.9", edgecolor="0.6", hatch="///")
    seen = _seed_mean(getattr(result, of))[np.ix_(rows, columns)]
    mesh = ax.pcolormesh(across, along, seen, cmap="viridis", vmin=0.0, vmax=1.0)
    for name, is_log in zip("xy", log, strict=True):
        if is_log:
            log_axis(ax, name)
    ax.set(xlim=(across[0], across[-1]), ylim=(along[0], along[-1]))
    _depth_scales(ax, result, multiples)
    _divergence(ax, result, values)
    sweep = result.sweep
    ax.set_xlabel(symbol(leaf))
    ax.set_ylabel("depth (layers)")
    biases = "" if sweep.sigma_b is None else f", $\\sigma_b$ = {sweep.sigma_b:.3g}"
    ax.set_title(f"{sweep.name}, width {sweep.width}{biases}, {sweep.steps} steps", fontsize="medium")
    where = "training" if of == "train_accuracy" else "test"
    ax.figure.colorbar(mesh, ax=ax, label=f"{where} accuracy")
    return ax


def _depth_scales(ax: Axes, result: Trainability, multiples: Sequence[float]) -> None:
    top = ax.get_ylim()[1]
    for n, dashes in zip(multiples, _dashes(len(multiples)), strict=True):
        # xi_c is infinite on the critical line; the curve leaves the figure there and returns.
        height = np.minimum(n * result.curve_xi_c, 100 * top)
        ax.plot(result.curve_x, height, color="white", lw=1.8, ls=dashes, label=rf"{n:g} $\xi_c$")
    if len(multiples):
        # White lines need a dark background in the legend too.
        ax.legend(loc="upper right", facecolor="0.25", labelcolor="white", framealpha=0.9, handlelength=3)


def _dashes(count: int) -> list[Any]:
    styles = ["--", ":", "-.", (0, (1, 3))]
    return [styles[i % len(styles)] for i in range(count)]


def _divergence(ax: Axes, result: Trainability, values: np.ndarray) -> None:
    rows, columns = np.nonzero(result.diverged.any(axis=-1))
    if len(rows):
        ax.plot(values[columns], result.depths[rows], "x", color="crimson", ms=5, label="_diverged")


def _only_leaf(result: Trainability) -> tuple[str, np.ndarray]:
    """The single leaf of the sweep, and its values."""
    leaves = result.sweep.leaves
    if len(leaves) != 1:
        raise InputError(
            f"result is over {', '.join(leaves) or 'depth alone'}; a map has depth and one leaf of the block"
        )
    ((name, values),) = leaves.items()
    return name, np.array(values)


def _seed_mean(values: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a cell with no finished seed stays NaN, as it should
        return np.ma.masked_invalid(np.nanmean(values, axis=-1))
