"""Phase diagrams over two leaves of a block: dropout rate, residual scale and leaky slope against sigma_w.

    python experiments/leaf_diagrams.py [--out figures] [--only dropout]

Each figure gets its data beside it (NetCDF), and its command in its metadata.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import meanfield as mf

SIGMA_B = 0.05**0.5


def dropout() -> mf.PhaseDiagram:
    """Drop rate against sigma_w for tanh at sigma_b^2 = 0.05, the line of Schoenholz et al. (2017)."""
    block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.0, SIGMA_B)
    return mf.phase_diagram(block, x=("sigma_w", (1.0, 2.0, 33)), y=("rate", (0.0, 0.5, 26)))


def residual() -> mf.PhaseDiagram:
    """Branch scale against sigma_w for tanh behind a skip of 0.9, which leaves a fixed point (Doshi et al. 2023).

    Only scale times sigma_w matters nearly everywhere: on log scales the critical line is nearly straight.
    """
    block = mf.Residual(mf.MLP("tanh", 1.0, 0.1), scale=1.0, skip=0.9)
    return mf.phase_diagram(block, x=("sigma_w", np.geomspace(0.5, 3.0, 41)), y=("scale", np.geomspace(0.1, 1.5, 41)))


def leaky() -> mf.PhaseDiagram:
    """Slope of a leaky ReLU against sigma_w at sigma_b = 0.3."""
    block = mf.MLP(mf.Activation.leaky_relu(0.1), 1.0, 0.3)
    return mf.phase_diagram(block, x=("sigma_w", (0.5, 2.0, 151)), y=("slope", (0.0, 1.0, 41)))


def draw_dropout(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1, and the depth scale xi_c, which dropout keeps finite; its largest value at each rate is dotted."""
    data.plot(left)
    left.set(title="tanh with dropout, $\\sigma_b^2 = 0.05$", ylabel="drop rate")
    data.plot(right, field="xi_c", vmin=1, vmax=100, title=r"Dropout bounds $\xi_c$")
    with_dropout = data.y > 0
    right.plot(data.x[np.argmax(data.xi_c, 1)][with_dropout], data.y[with_dropout], "w.", label=r"largest $\xi_c$")
    right.legend(loc="upper right", fontsize="small", facecolor="0.4", labelcolor="white")
    right.set(ylabel="drop rate")


def draw_residual(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1, and c*."""
    data.plot(left)
    left.set(title="tanh residual, skip 0.9, $\\sigma_b = 0.1$", ylabel="branch scale")
    data.plot(right, field="c_star", vmin=0, vmax=1, title="Fixed correlation")
    right.set(ylabel="branch scale")


def draw_leaky(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1 with sigma_w^2 = 2 / (1 + a^2), beyond which the variance has no fixed point; and q*."""
    edges = np.linspace(data.y[0] - 0.1, data.y[-1] + 0.1, 200)
    end = np.sqrt(2 / (1 + edges**2))
    data.plot(left, title="Leaky ReLU, $\\sigma_b = 0.3$")
    data.plot(right, field="q_star", vmax=100, title="Fixed variance")
    for ax in (left, right):
        # Cells that the line cuts are whole; what is beyond it is drawn over them.
        ax.fill_betweenx(edges, end, 3.0, facecolor="0.93", hatch="///", edgecolor="0.6", lw=0)
        ax.plot(end, edges, ":", color="orange", lw=2.5, label=r"$\sigma_w^2 = 2 / (1 + a^2)$")
        ax.set(ylabel="slope $a$")
        ax.legend(*_once(ax), loc="lower left", fontsize="small")


def _once(ax: Axes) -> tuple[list, list]:
    """The legend's entries, with the hatch that says that there is no fixed point."""
    handles, labels = ax.get_legend_handles_labels()
    patch = Patch(facecolor="0.93", hatch="///", edgecolor="0.6")
    return [*handles, patch], [*labels, "no fixed point"]


FIGURES = {"dropout": (dropout, draw_dropout), "residual": (residual, draw_residual), "leaky": (leaky, draw_leaky)}


def main() -> None:
    """Compute, save and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("figures"), help="an existing folder")
    parser.add_argument("--only", choices=[*FIGURES], help="one of the figures")
    args = parser.parse_args()
    for name in [args.only] if args.only else FIGURES:
        compute, draw = FIGURES[name]
        began = time.perf_counter()
        data = compute()
        path = args.out / f"phase_diagram_{name}.nc"
        data.save(path)
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        draw(data, *figure.subplots(1, 2))
        command = f"python experiments/leaf_diagrams.py --only {name}"
        figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Description": command})
        print(
            f"{path.with_suffix('.png')}: {data.chi_1.size} points, {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
