"""The coordinate check of muP: do layers move alike at every width in the first steps of training?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ..errors import InputError, shown
from ..interface.arguments import MOST_LAYERS, instance_of, real_array, whole
from ..interface.result import Result
from ..interface.settings import in_own_settings
from ..models.reader import nnx_layers, recorded
from ..networks import Network

__all__ = ["CoordinateCheck", "coordinate_check"]


@dataclass(frozen=True, repr=False, eq=False)
class CoordinateCheck(Result):
    """The result of `coordinate_check`.

    widths (n,); layers: names in call order
    size, moved : (n, steps + 1, layers) root mean square of the layers' outputs, and of their change since step 0
    slope       : (steps + 1, layers) exponent of `moved` in the width. 0: features move alike at every width, muP;
                  positive: wide networks blow up; negative: they stop learning features (-1/2 in the kernel regime).
                  At step 0 nothing has moved: NaN. Outputs at step 0 may shrink with the width under muP.
    """

    widths: np.ndarray
    layers: tuple[str, ...]
    size: np.ndarray
    moved: np.ndarray
    slope: np.ndarray


@in_own_settings
def coordinate_check(
    build: Callable[[int, nnx.Rngs], nnx.Module],
    widths: Sequence[int],
    x: Any,
    y: Any,
    *,
    optimizer: Callable[[Any, Any], Any],
    transform: Callable[[Any, Any], Any] | None = None,
    steps: int = 4,
    seeds: int = 3,
) -> CoordinateCheck:
    """Train the network at several widths for a few steps on one batch, and follow its layers (Yang & Hu 2022).

    build: (width, rngs) -> an NNX module from x (n, ...) to logits; y (n,): labels. Layers are the modules that hold
    weights; of an `mf.networks.Network` its pre-activations 0, 1, ... and its output. optimizer: (params, base params)
    -> an optax transformation, where the base is the smallest width; transform: (params, base params) -> parameters to
    start from, `mf.initializers.mup_params`. Parameters are dicts of arrays. Averages over `seeds` networks.
    InputError for fewer than two widths.

    >>> import optax
    >>> import meanfield as mf
    >>> class Net(nnx.Module):
    ...     def __init__(self, width, rngs):
    ...         self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in ((8, width), (width, width), (width, 2))])
    ...     def __call__(self, x):
    ...         for layer in self.layers:
    ...             x = jnp.tanh(layer(x))
    ...         return x
    >>> x = jax.random.normal(jax.random.key(0), (16, 8))
    >>> found = coordinate_check(Net, (32, 128), x, jnp.arange(16) % 2, seeds=1, steps=1,
    ...     optimizer=lambda params, base: mf.initializers.mup(optax.adam(1e-2), params, base))
    >>> found.layers, found.moved.shape
    (('layers/0', 'layers/1', 'layers/2'), (2, 2, 3))
    """  # noqa: E501
    instance_of("widths", widths, (Sequence, np.ndarray))
    sizes = np.sort([whole("widths", width, below=MOST_LAYERS) for width in widths])
    if len(sizes) < 2:
        raise InputError("widths must hold at least two, so that there is a slope")
    steps, seeds = whole("steps", steps), whole("seeds", seeds, below=MOST_LAYERS)
    x, y = jnp.asarray(real_array("x", x, "give an array (n, ...)")), np.asarray(y)
    if x.ndim < 2 or y.shape != x.shape[:1] or y.dtype.kind not in "ui":
        raise InputError(f"{shown('y', y)} must be an integer label for each input; x has shape {x.shape}")
    rules = optimizer, transform
    runs = [[_run(build, int(w), int(sizes[0]), s, x, y, rules, steps) for s in range(seeds)] for w in sizes]
    layers = runs[0][0][0]
    size, moved = (np.array([[run[i] for run in row] for row in runs]).mean(1) for i in (1, 2))
    return CoordinateCheck(sizes, layers, size, moved, _slope(sizes, moved))


def _slope(widths: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The exponents of `moved` (n, ...) in the width, by least squares."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(moved)
    log_width = np.log(widths) - np.log(widths).mean()
    # Step 0, and a layer that nothing moves, have no slope.
    log[:, ~np.isfinite(log).all(0)] = np.nan
    return np.tensordot(log_width, log, 1) / (log_width**2).sum()


def _run(build: Any, width: int, base: int, seed: int, x: Any, y: Any, rules: tuple, steps: int):
    """Names, sizes and changes of the layers of one network, (steps + 1, layers)."""
    import optax

    optimizer, transform = rules
    model = build(width, nnx.Rngs(seed))
    graph, state, rest = nnx.split(model, nnx.Param, ...)
    params = nnx.to_pure_dict(state)
    small = nnx.to_pure_dict(nnx.state(build(base, nnx.Rngs(seed)), nnx.Param))
    params = params if transform is None else transform(params, small)
    rule = optimizer(params, small)
    names: list[str] = []

    def outputs(params: Any) -> tuple[Any, list]:
        filled = jax.tree.map(lambda a: a, state)
        nnx.replace_by_pure_dict(filled, params)
        out, log = _outputs(nnx.merge(graph, filled, rest, copy=True), x)
        names[:] = list(log)
        return out, list(log.values())

    def loss(params: Any) -> tuple[Any, list]:
        out, seen = outputs(params)
        return optax.softmax_cross_entropy_with_integer_labels(out, y).mean(), seen

    @jax.jit
    def step(params: Any, memory: Any) -> tuple:
        (_, seen), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, memory = rule.update(grads, memory, params)
        return optax.apply_updates(params, updates), memory, seen

    memory, seen = rule.init(params), []
    for _ in range(steps + 1):
        params, memory, now = step(params, memory)
        seen.append([np.asarray(v, float) for v in now])
    size = [[np.sqrt((v**2).mean()) for v in now] for now in seen]
    moved = [[np.sqrt(((v - start) ** 2).mean()) for v, start in zip(now, seen[0], strict=True)] for now in seen]
    return tuple(names), size, moved


def _outputs(network: nnx.Module, x: Array) -> tuple[Array, dict[str, Array]]:
    """The output of a network, and those of its layers by name."""
    if not isinstance(network, Network):
        with recorded(nnx_layers(network)) as log:
            out = network(x)  # type: ignore[operator]
        return out, {name: outs[0] for name, outs in log.items()}
    key = jax.random.key(0)  # the same noise in both passes
    rows = {str(layer): row for layer, row in enumerate(network.preactivations(x, key=key))}
    out = network(x, key=key)
    return out, rows | {"output": out}
