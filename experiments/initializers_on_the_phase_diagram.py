"""Edge-of-chaos curves of many activations on one axes, and initialization schemes on the phase diagram.

    python experiments/initializers_on_the_phase_diagram.py

The curves are after Hayou et al. (2019), solid where the variance is stable. Writes edge_of_chaos.png and .json,
schemes_tanh.png and schemes_gelu.png with their .json, in figures/.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import meanfield as mf

FIGURES = Path(__file__).resolve().parent.parent / "figures"
COMMAND = "python experiments/initializers_on_the_phase_diagram.py"
ACTIVATIONS = ("tanh", "erf", "sin", "elu", "selu", "softsign", "lecun_tanh", "gelu", "silu", "mish", "relu")
WINDOWS = {"tanh": ((0.4, 2.0, 160), (0.0, 0.5, 120)), "gelu": ((0.4, 2.1, 160), (0.0, 0.8, 120))}
DEPTH = 100


def save(figure, name: str) -> None:
    """A picture in figures/, the command in its metadata."""
    figure.savefig(FIGURES / f"{name}.png", dpi=150, metadata={"Description": COMMAND})


def stored(name: str, values: dict) -> None:
    """The numbers of a picture, NaN as null."""
    plain = {k: {f: np.asarray(v).tolist() for f, v in part.items()} for k, part in values.items()}
    text = json.dumps({"command": COMMAND} | plain).replace("NaN", "null").replace("Infinity", '"inf"')
    (FIGURES / f"{name}.json").write_text(text.replace('-"inf"', '"-inf"'))


def curves() -> None:
    """Every activation's critical line."""
    lines = {name: mf.edge_of_chaos(name, q=(1e-4, 400.0, 400)) for name in ACTIVATIONS}
    figure, ax = plt.subplots(figsize=(9, 5.5), layout="constrained")
    ax.set(xlim=(0.6, 2.6), ylim=(0, 1.6))
    mf.plots.edge_of_chaos(lines, ax)
    save(figure, "edge_of_chaos")
    fields = ("q", "sigma_w", "sigma_b", "chi_q", "stable")
    stored("edge_of_chaos", {name: {f: getattr(line, f) for f in fields} for name, line in lines.items()})


def schemes(name: str) -> None:
    """The schemes for a network of DEPTH layers, on the phase diagram."""
    sigma_w, sigma_b = WINDOWS[name]
    found = mf.compare_init(name, DEPTH, measured=False)
    figure, ax = plt.subplots(figsize=(7.5, 6.2), layout="constrained")
    mf.plots.phase_diagram(mf.phase_diagram(name, sigma_w=sigma_w, sigma_b=sigma_b), ax)
    found.plot(ax)
    ax.set_title(f"{name}, {DEPTH} layers: where initialization schemes are")
    save(figure, f"schemes_{name}")
    fields = ("schemes", "sigma_w", "sigma_b", "q_star", "chi_1", "chi_q", "log_gradient", "verdict")
    stored(f"schemes_{name}", {name: {f: getattr(found, f) for f in fields}})


if __name__ == "__main__":
    curves()
    for activation in WINDOWS:
        schemes(activation)
