"""Networks at initialization against the theory, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from .canvas import spans_decades


def check(result: Any, axes: Any = None) -> np.ndarray:
    """Draw q^l, 1 - c^l and the gradient factor of a `meanfield.check` against the layer; returns the three Axes.

    Theory is a line, measurement is points with error bars (two standard errors over networks); layers that were not
    tested are hollow. `axes`: three Axes, of a new figure where None. 1 - c and the gradient factor are on log scales.
    `result` has `q`, `one_minus_c`, `gradient`, each with arrays (depth + 1,) `measured`, `predicted`, `error`,
    `tested`, and `verdict`; and `name`, `width`, `seeds`.

    >>> import numpy as np
    >>> from types import SimpleNamespace as Result
    >>> from matplotlib.figure import Figure
    >>> one = np.ones(3)
    >>> part = Result(measured=one, predicted=one, error=0.1 * one, tested=one > 0, verdict="agrees")
    >>> result = Result(q=part, one_minus_c=part, gradient=part, name="tanh", width=100, seeds=10)
    >>> [ax.get_yscale() for ax in check(result, Figure().subplots(1, 3))]
    ['linear', 'log', 'log']
    """
    axes = _three(axes)
    panels = (
        (result.q, False, r"$q^l$", "variance"),
        (result.one_minus_c, True, r"$1 - c^l$", "distance"),
        (result.gradient, True, r"$|J^\top v|^2\,/\,|v|^2$", "gradient factor, layer $l$ to the last"),
    )
    for ax, (part, log, ylabel, title) in zip(axes, panels, strict=True):
        _panel(ax, part, log)
        ax.set(xlabel="layer $l$", ylabel=ylabel)
        ax.set_title(f"{title}: {part.verdict}", fontsize="medium")
    axes[0].legend(title=f"{result.name}\n{result.seeds} networks, width {result.width}", fontsize="small")
    axes[0].get_legend().get_title().set_fontsize("small")
    return axes


def _three(axes: Any) -> np.ndarray:
    if axes is None:
        # pyplot only here: a caller who passes Axes never loads a window system.
        import matplotlib.pyplot as plt

        axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")[1]
    return np.asarray(axes, object).ravel()


def _panel(ax: Any, part: Any, log: bool) -> None:
    layers = np.arange(len(part.predicted))
    tested = np.asarray(part.tested, bool)
    drawable = np.isfinite(part.measured) & (np.asarray(part.measured) > 0)
    if log or spans_decades(part.predicted):
        ax.set_yscale("log")
    with np.errstate(all="ignore"):
        theory = np.where(np.isfinite(part.predicted) & (np.asarray(part.predicted) > 0), part.predicted, np.nan)
        ax.plot(layers, theory, "-", color="black", lw=1.2, label="theory")
        for chosen, face, label in ((tested, "C0", "measured"), (~tested, "none", "not tested")):
            some = chosen & drawable
            if some.any():
                ax.errorbar(
                    layers[some],
                    np.asarray(part.measured)[some],
                    2 * np.asarray(part.error)[some],
                    fmt="o",
                    ms=4,
                    mfc=face,
                    color="C0",
                    lw=1.0,
                    label=label,
                )
