"""Networks of 100 layers and 256 units on the handwritten digits, trained from each scheme, learning rates swept.

For gelu the stable critical branch trains where lecun, glorot and he stay at chance; for tanh critical(q = 1/depth)
with orthogonal weights should be best, lecun next, and he and the old 1/(3n) heuristic should fail; for relu he trains
and lecun does not. `mf.compare_init` predicts this; its verdicts are stored beside the measurements.

    python experiments/initialization_schemes.py            train (resumes), then draw
    python experiments/initialization_schemes.py --draw     draw what is stored

Numbers go to figures/initialization_schemes.json, the picture to figures/initialization_schemes.png.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import meanfield as mf
from meanfield.data import load
from meanfield.initializers import critical, glorot, he, heuristic, lecun

DEPTH, WIDTH, SEEDS = 100, 256, 3
RATES = (3e-5, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1)
FIGURES = Path(__file__).resolve().parent.parent / "figures"
SCHEMES = {
    "tanh": {
        "critical q=1/depth, orthogonal": critical("tanh", q=1 / DEPTH, weights="orthogonal"),
        "lecun": lecun, "he": he, "1/(3n) heuristic": heuristic,
    },
    "relu": {"he": he, "lecun": lecun},
    "gelu": {"critical sigma_b=0.5": critical("gelu", sigma_b=0.5), "lecun": lecun, "glorot": glorot, "he": he},
}  # fmt: skip


def draw(rule, phi, key, d_in: int, d_out: int):
    """One network of a rule, DEPTH - 1 hidden layers of WIDTH and a readout: its graph, its parameters and the rest."""
    sizes = {"depth": DEPTH - 1, "width": WIDTH, "d_in": d_in, "d_out": d_out}
    network = mf.networks.Network(rule.block(phi), **sizes, rngs=nnx.Rngs(params=key), kernel_init=rule)
    return nnx.split(network, nnx.Param, ...)


def loss(params, rest, graph, x, y):
    """Cross-entropy in nats."""
    logp = jax.nn.log_softmax(nnx.merge(graph, params, rest)(x))
    return -jnp.mean(jnp.take_along_axis(logp, y[:, None], 1))


@partial(jax.jit, static_argnames="graph")
def stretch(networks, rest, momenta, rates, x, y, *, graph):
    """Steps of SGD with momentum 0.9 on batches x (steps, n, d), y (steps, n), for networks (k, ...) and rates (k,)."""

    def one(params, momentum, rate):
        def step(state, batch):
            params, momentum = state
            value, grad = jax.value_and_grad(loss)(params, rest, graph, *batch)
            momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grad)
            return (jax.tree.map(lambda p, m: p - rate * m, params, momentum), momentum), value

        return jax.lax.scan(step, (params, momentum), (x, y))

    return jax.lax.map(lambda args: one(*args), (networks, momenta, rates))


@partial(jax.jit, static_argnames="graph")
def accuracy(networks, rest, x, y, *, graph):
    """The share of x that each network labels correctly; a network of NaNs labels everything 0."""

    def one(params):
        return jnp.mean(jnp.argmax(nnx.merge(graph, params, rest)(x), -1) == y)

    return jax.lax.map(one, networks)


def train(phi, rule, data, rates: list[float], steps: int, batch: int) -> dict:
    """Last training losses and final accuracies of a scheme: by learning rate, one number a seed."""
    x_train, y_train = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    drawn = [draw(rule, phi, jax.random.key(seed), x_train.shape[1], data.classes) for seed in range(SEEDS)]
    graph, _, rest = drawn[0]
    one_each = [drawn[s][1] for _ in rates for s in range(SEEDS)]
    networks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_each)
    momenta = jax.tree.map(jnp.zeros_like, networks)
    order = np.random.default_rng(0)
    rows = np.concatenate([order.permutation(len(x_train)) for _ in range(-(-steps * batch // len(x_train)))])
    rows = rows[: steps * batch].reshape(steps, batch)
    each = jnp.repeat(jnp.asarray(rates), SEEDS)
    (networks, _), losses = stretch(networks, rest, momenta, each, x_train[rows], y_train[rows], graph=graph)
    scores = {
        "train_accuracy": accuracy(networks, rest, x_train, y_train, graph=graph),
        "test_accuracy": accuracy(networks, rest, jnp.asarray(data.x_test), jnp.asarray(data.y_test), graph=graph),
        "last_loss": jnp.mean(losses[:, -20:], 1),
    }
    found = {name: np.asarray(v, float).reshape(len(rates), SEEDS).tolist() for name, v in scores.items()}
    return {str(rate): {name: v[i] for name, v in found.items()} for i, rate in enumerate(rates)}


def run(path: Path, steps: int, batch: int) -> None:
    """Train the schemes missing from the file; each is stored as soon as it is done."""
    data, stored = load("digits"), json.loads(path.read_text()) if path.exists() else {"results": {}}
    stored |= {
        "setting": dict(depth=DEPTH, width=WIDTH, seeds=SEEDS, rates=RATES, steps=steps, batch=batch, data="digits",
                        optimizer="SGD, momentum 0.9"),
        "command": "python experiments/initialization_schemes.py",
    }  # fmt: skip
    for name, rules in SCHEMES.items():
        known = mf.compare_init(name, DEPTH, measured=False, rules=rules)
        stored.setdefault("predicted", {})[name] = dict(zip(known.schemes, known.verdict, strict=True))
        for scheme, rule in rules.items():
            done = stored["results"].setdefault(f"{name}: {scheme}", {})
            rates = [rate for rate in RATES if str(rate) not in done]
            if rates:
                began = time.perf_counter()
                done |= train(name, rule, data, rates, steps, batch)
                best = max(np.mean(one["train_accuracy"]) for one in done.values())
                print(f"{name}: {scheme:35s} best {best:.3f}  {time.perf_counter() - began:.0f} s", flush=True)
            path.write_text(json.dumps(stored, indent=1).replace("NaN", "null"))


def picture(path: Path) -> None:
    """Accuracy against learning rate, a panel for each activation."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    stored = json.loads(path.read_text())
    setting = stored["setting"]
    figure, panels = plt.subplots(1, len(SCHEMES), figsize=(12, 5.6), sharey=True, layout="constrained")
    for ax, (name, rules) in zip(panels, SCHEMES.items(), strict=True):
        for i, scheme in enumerate(rules):
            found = stored["results"].get(f"{name}: {scheme}")
            if not found:
                continue
            rates = sorted(found, key=float)
            scores = np.array([found[rate]["train_accuracy"] for rate in rates], float)
            word = stored["predicted"][name][scheme]
            style = "-" if word == "trains" else "--"
            at, half = [float(rate) for rate in rates], (scores.max(1) - scores.min(1)) / 2
            look = {"fmt": f"o{style}", "ms": 4, "capsize": 2, "color": f"C{i}"}
            ax.errorbar(at, scores.mean(1), half, label=f"{scheme}\n(theory: {word})", **look)
        ax.axhline(0.1, color="0.6", lw=0.8)
        ax.set(xscale="log", xlabel="learning rate", ylim=(0, 1.03))
        ax.set_title(name)
        ax.legend(fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False, ncols=2)
    panels[0].set_ylabel("training accuracy")
    figure.suptitle(
        f"{setting['depth']} layers of {setting['width']} units, digits, {setting['steps']} steps of SGD with momentum "
        f"0.9, batch {setting['batch']}, mean and range of {setting['seeds']} seeds",
        fontsize="medium",
    )
    figure.supxlabel(
        f"The theory is that of infinite width, at initialization. At depth / width = {setting['depth']} / "
        f"{setting['width']}, gradients of single ReLU and GELU networks vary by factors:\n"
        '"trains" then means that a scheme is the best of its panel, not that it fits within these steps.',
        fontsize="small",
    )
    figure.savefig(FIGURES / "initialization_schemes.png", dpi=150, metadata={"Description": stored["command"]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="draw what is stored")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--data", type=Path, default=FIGURES / "initialization_schemes.json")
    options = parser.parse_args()
    if not options.draw:
        run(options.data, options.steps, options.batch)
    picture(options.data)
