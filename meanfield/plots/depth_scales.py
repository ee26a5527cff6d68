"""Depth scales along a line through the phase diagram."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..errors import InputError
from ..interface.arguments import real_array
from ..interface.quantities import symbol
from .canvas import ascending, axes_or_new, has_fields, is_geometric, log_axis


def depth_scales(x: Any, result: Any, ax: Axes | None = None, xlabel: str = symbol("sigma_w")) -> Axes:
    """Draw xi_c, xi_q and |xi_grad|, in layers, against `x` (n,) on a log scale; returns the Axes.

    `result` is a `meanfield.fixed_point` over n values, with `xi_c`, `xi_q`, `xi_grad` each (n,). Where gradients
    grow, xi_grad is negative: it is drawn dashed. Infinite and undefined values leave a gap. x is drawn in
    ascending order, on a log scale where it is spaced geometrically; InputError where values repeat.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> result = Result(xi_c=[3.0, 9.0], xi_q=[2.0, 4.0], xi_grad=[5.0, -5.0])
    >>> depth_scales([1.0, 1.5], result, Figure().subplots()).get_yscale()
    'log'
    """
    has_fields("result", result, "xi_c", "xi_q", "xi_grad")
    x, grad = real_array("x", x, "give one for each point of the result"), np.asarray(result.xi_grad, float)
    if x.shape != grad.shape:
        raise InputError(
            f"x has shape {x.shape}, the result {grad.shape}; give one number for each point of the result"
        )
    x, order = ascending("x", x)
    ax = axes_or_new(ax)
    curves = [
        (result.xi_c, "black", "-", symbol("xi_c")),
        (result.xi_q, "C0", "-", symbol("xi_q")),
        (np.where(grad > 0, grad, np.nan), "C3", "-", r"$\xi_\nabla$, vanishing"),
        (np.where(grad < 0, -grad, np.nan), "C3", "--", r"$-\xi_\nabla$, exploding"),
    ]
    for values, color, style, label in curves:
        values = np.asarray(values, float)
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        if np.isfinite(values).any():
            ax.plot(x, values[order], style, color=color, label=label)
    ax.set(xlabel=xlabel, ylabel="depth scale (layers)", yscale="log")
    if is_geometric(x):
        log_axis(ax, "x")
    if ax.lines:
        ax.legend()
    return ax
