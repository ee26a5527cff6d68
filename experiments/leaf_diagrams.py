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

import meanfield as mf

SIGMA_B = 0.05**0.5


def dropout() -> mf.PhaseDiagram:
    """Drop rate against sigma_w for tanh at sigma_b^2 = 0.05, the line of Schoenholz et al. (2017)."""
    block = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.0, SIGMA_B)
    return mf.phase_diagram(block, x=("sigma_w", (1.0, 2.0, 33)), y=("rate", (0.0, 0.5, 26)))


def residual() -> mf.PhaseDiagram:
    """Branch scale against sigma_w for tanh behind a skip of 0.9, which leaves a fixed point (Doshi et al. 2023)."""
    block = mf.Residual(mf.MLP("tanh", 1.0, 0.1), scale=1.0, skip=0.9)
    return mf.phase_diagram(block, x=("sigma_w", (0.5, 3.0, 41)), y=("scale", (0.1, 1.5, 29)))


def leaky() -> mf.PhaseDiagram:
    """Slope of a leaky ReLU against sigma_w at sigma_b = 0.3."""
    block = mf.MLP(mf.Activation.leaky_relu(0.1), 1.0, 0.3)
    return mf.phase_diagram(block, x=("sigma_w", (0.5, 2.0, 61)), y=("slope", (0.0, 1.0, 41)))


def draw_dropout(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1, and the depth scale xi_c, which dropout keeps finite; its largest value at each rate is dotted."""
    data.plot(left)
    left.set(title="tanh with dropout, $\\sigma_b^2 = 0.05$", ylabel="drop rate")
    x, y = np.meshgrid(data.x, data.y)
    shown = right.pcolormesh(x, y, np.clip(data.xi_c, 0, 20), cmap="viridis", rasterized=True)
    right.figure.colorbar(shown, ax=right, extend="max").set_label(r"$\xi_c$ (layers)")
    with_dropout = data.y > 0
    right.plot(data.x[np.argmax(data.xi_c, 1)][with_dropout], data.y[with_dropout], "w.", label=r"largest $\xi_c$")
    right.legend(loc="upper right", fontsize="small", facecolor="0.4", labelcolor="white")
    right.set(xlabel=r"$\sigma_w$", ylabel="drop rate", title=r"Dropout bounds $\xi_c$")


def draw_residual(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1, and c*."""
    data.plot(left)
    left.set(title="tanh residual, skip 0.9, $\\sigma_b = 0.1$", ylabel="branch scale")
    shown = right.pcolormesh(data.x, data.y, data.c_star, cmap="viridis", vmin=0, vmax=1, rasterized=True)
    right.figure.colorbar(shown, ax=right).set_label(r"$c^*$")
    right.set(xlabel=r"$\sigma_w$", ylabel="branch scale", title="Fixed correlation")


def draw_leaky(data: mf.PhaseDiagram, left: Axes, right: Axes) -> None:
    """chi_1 with sigma_w^2 = 2 / (1 + a^2), beyond which the variance has no fixed point; and q*."""
    slope = np.linspace(data.y[0], data.y[-1], 200)
    for ax in (left, right):
        ax.plot(np.sqrt(2 / (1 + slope**2)), slope, "k", lw=1.8, label=r"$\sigma_w^2 = 2 / (1 + a^2)$")
    data.plot(left)
    left.set(title="Leaky ReLU, $\\sigma_b = 0.3$", ylabel="slope $a$")
    with np.errstate(invalid="ignore"):
        log_q = np.where(np.isfinite(data.q_star), np.log10(data.q_star), np.nan)
    right.patch.set(facecolor="0.93", hatch="///", edgecolor="0.6")
    shown = right.pcolormesh(data.x, data.y, np.ma.masked_invalid(log_q), cmap="viridis", rasterized=True)
    right.figure.colorbar(shown, ax=right).set_label(r"$\log_{10} q^*$")
    right.set(xlabel=r"$\sigma_w$", ylabel="slope $a$", title="Fixed variance")


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
