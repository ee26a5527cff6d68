"""Second moments of a pair of inputs, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .canvas import axes_or_new, has_fields, spans_decades


def trajectory(result: Any, ax: Axes | None = None) -> Axes:
    """Draw q1, q2 of a `meanfield.trajectory` against the layer, and c on an axis of its own; returns the Axes.

    `result` has `q1`, `q2`, `c`, each (depth + 1,) or (depth + 1, *S): then one line for each of the S.
    Variances are C0 (and C1 where the two inputs differ), with their scale on the left, logarithmic where they span a
    factor of 100; the correlation is black, with its scale on the right.

    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> result = Result(q1=[1.0, 0.8, 0.7], q2=[1.0, 0.8, 0.7], c=[0.5, 0.6, 0.7])
    >>> ax = trajectory(result, Figure().subplots())
    >>> [(one.get_ylabel(), len(one.lines)) for one in ax.figure.axes]
    [('variance', 1), ('correlation', 1)]
    """
    has_fields("result", result, "q1", "q2", "c")
    ax = axes_or_new(ax)
    q1, q2, c = (_columns(value) for value in (result.q1, result.q2, result.c))
    other = ax.twinx()
    lines = [(ax, q1, "C0", r"$q_1^l$"), (other, c, "black", r"$c^l$")]
    if not np.array_equal(q1, q2, equal_nan=True):
        lines.insert(1, (ax, q2, "C1", r"$q_2^l$"))
    handles = []
    for place, values, color, label in lines:
        drawn = place.plot(np.arange(len(q1)), values, color=color, alpha=1.0 if values.shape[1] == 1 else 0.6)
        handles += drawn[:1]
        handles[-1].set_label(label)
    ax.set(xlabel="layer $l$", ylabel="variance", xlim=(0, max(len(q1) - 1, 1)))
    if spans_decades([q1, q2]):
        ax.set_yscale("log")
    # Correlations that hardly change keep the whole scale, so that they look as they are.
    other.set(ylabel="correlation", ylim=(min(0.0, float(np.nanmin(c, initial=0.0))) - 0.02, 1.02))
    ax.legend(handles=handles)
    return ax


def _columns(values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    return values.reshape(len(values), -1)
