"""Second moments of a pair of inputs, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .canvas import axes_or_new, has_fields


def trajectory(result: Any, ax: Axes | None = None) -> Axes:
    """Draw q1, q2 and c of a `meanfield.trajectory` against the layer; returns the Axes.

    `result` has `q1`, `q2`, `c`, each (depth + 1,) or (depth + 1, *S): then one line for each of the S.
    Variances are C0 (and C1 where the two inputs differ), the correlation is black.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> result = Result(q1=[1.0, 0.8, 0.7], q2=[1.0, 0.8, 0.7], c=[0.5, 0.6, 0.7])
    >>> len(trajectory(result, Figure().subplots()).lines)
    2
    """
    has_fields("result", result, "q1", "q2", "c")
    ax = axes_or_new(ax)
    q1, q2, c = (_columns(value) for value in (result.q1, result.q2, result.c))
    layers = np.arange(len(q1))
    lines = [(q1, "C0", r"$q_1^l$"), (c, "black", r"$c^l$")]
    if not np.array_equal(q1, q2, equal_nan=True):
        lines.insert(1, (q2, "C1", r"$q_2^l$"))
    for values, color, label in lines:
        drawn = ax.plot(layers, values, color=color, alpha=1.0 if values.shape[1] == 1 else 0.6)
        drawn[0].set_label(label)
    ax.set(xlabel="layer $l$", ylabel="variance, correlation", xlim=(0, max(len(q1) - 1, 1)))
    ax.legend()
    return ax


def _columns(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    return values.reshape(len(values), -1)
