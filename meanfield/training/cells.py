"""Training many networks of one depth at once: their drawing, the compiled programs and the loop over steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..blocks.block import Block
from ..interface.host_program import host_program
from ..networks import Network
from .sweep import Sweep
from .task import SCORED, STRETCH, Task, root_key, rows_from

__all__ = ["Cells", "Programs", "Scores", "cell_key", "draw", "train_cells"]

SECONDS_PER_CALL = 0.5  # the longest that Ctrl-C and the progress bar wait


class Scores(NamedTuple):
    """The scores kept of each trained network: arrays (cells,); `diverged` marks a non-finite loss."""

    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    diverged: np.ndarray


class Cells(NamedTuple):
    """Networks of one depth: every array has a leading axis of cells.

    graph: their shared structure; params: the trained parameters; rest: the leaves of their blocks; keys: for noise.
    """

    graph: nnx.GraphDef
    params: nnx.State
    rest: nnx.State
    keys: jax.Array


def draw(
    sweep: Sweep, depth: int, values: Sequence[Sequence[float]], seeds: Sequence[int], d_in: int, d_out: int
) -> Cells:
    """The untrained networks of some cells: `values` of the sweep's leaves and a seed for each.

    A network depends only on its own coordinates: networks are drawn one by one, with one program per depth.

    >>> sweep = Sweep(depths=(4,), width=32)
    >>> cells = draw(sweep, 4, [(1.0,), (2.0,)], [0, 0], d_in=64, d_out=10)
    >>> cells.params["kernel"][...].shape
    (2, 3, 32, 32)
    """
    sizes = {"depth": depth - 1, "width": sweep.width, "d_in": d_in, "d_out": d_out}  # the readout is the last block
    keys = [jax.random.split(cell_key(sweep.key, depth, *cell)) for cell in zip(values, seeds, strict=True)]
    networks = [_network(sweep.block_at(value), *key, **sizes) for value, key in zip(values, keys, strict=True)]
    graphs, params, rest = zip(*networks, strict=True)
    noise = jnp.stack([key for _, key in keys])
    return Cells(graphs[0], jax.tree.map(_stack, *params), jax.tree.map(_stack, *rest), noise)


@host_program(static=("depth", "width", "d_in", "d_out"))
def _network(
    block: Block, params: jax.Array, noise: jax.Array, *, depth: int, width: int, d_in: int, d_out: int
) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """One network in its parts: graph, parameters, and the leaves of the block."""
    rngs = nnx.Rngs(params=params, noise=noise)
    network = Network(block, depth=depth, width=width, d_in=d_in, d_out=d_out, rngs=rngs)
    graph, trained, rest = nnx.split(network, nnx.Param, ...)
    return graph, trained, rest


def _stack(*leaves: jax.Array) -> np.ndarray | jax.Array:
    if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack(jax.device_get(leaves))  # on the host: JAX would compile a program for each number of cells


def cell_key(key: int, depth: int, values: Sequence[float], seed: int) -> jax.Array:
    """The JAX key of one network, from its own coordinates, independent of the rest of the grid.

    >>> cell_key(0, depth=8, values=(1.5,), seed=0).shape
    ()
    """
    found = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(root_key(key), 2), depth), seed)
    for bits in np.asarray(values, np.float32).view(np.uint32):
        found = jax.random.fold_in(found, bits)
    return found


class _State(NamedTuple):
    params: optax.Params
    slots: optax.OptState
    finite: jax.Array


class Programs:
    """The three compiled programs of a sweep, each over a leading axis of networks: `start`, `advance` and `score`.

    Each recompiles once for each depth; the depth is the length of a scan, so a compilation takes a second or two.
    """

    def __init__(self, sweep: Sweep):
        optimizer = _optimizer(sweep)

        def start(params):
            return _State(params, jax.vmap(optimizer.init)(params), jnp.ones(_count(params), bool))

        def step(graph, state, rest, key, x, y):
            def loss(params):
                out = nnx.merge(graph, params, rest, copy=True)(x, key=key)
                return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()

            value, grads = jax.value_and_grad(loss)(state.params)
            updates, slots = optimizer.update(grads, state.slots, state.params)
            return _State(optax.apply_updates(state.params, updates), slots, state.finite & jnp.isfinite(value))

        def advance(graph, state, rest, keys, task, first, last):
            # Traced bounds: one compilation serves every stretch of steps, whatever its length.
            def body(i, state):
                rows = task.rows[i % len(task.rows)]
                x, y = task.x_train[rows], task.y_train[rows]
                return jax.vmap(lambda s, r, k: step(graph, s, r, jax.random.fold_in(k, i), x, y))(state, rest, keys)

            return jax.lax.fori_loop(first, last, body, state)

        def score(graph, params, rest, x, y):
            def block(params, rest, x, y):
                network = nnx.merge(graph, params, rest, copy=True)
                network.eval()
                out = network(x)
                # argmax of NaNs is class 0: a network that diverged scores chance, as it would for a user.
                return out.argmax(-1) == y, optax.softmax_cross_entropy_with_integer_labels(out, y)

            def one(params, rest):
                return jax.lax.map(lambda xy: block(params, rest, *xy), (x, y))

            return jax.vmap(one)(params, rest)

        self.sweep = sweep
        self.start = host_program(start)
        self.advance = jax.jit(advance, static_argnums=0, donate_argnums=1)
        self.score = jax.jit(score, static_argnums=0)


def _count(params: optax.Params) -> int:
    return len(jax.tree.leaves(params)[0])


def _optimizer(sweep: Sweep) -> optax.GradientTransformation:
    if sweep.optimizer == "sgd":
        return optax.sgd(sweep.learning_rate, momentum=sweep.momentum or None)
    return {"adam": optax.adam, "rmsprop": optax.rmsprop}[sweep.optimizer](sweep.learning_rate)


def train_cells(
    programs: Programs,
    task: Task,
    cells: Cells,
    sharding: jax.sharding.Sharding | None = None,
    on_steps: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Train the networks of one chunk to the end and score them.

    `on_steps` receives the number of steps of each device call. With a `sharding` the cells are spread over several
    devices.
    """
    graph, *arrays = cells
    params, rest, keys = arrays if sharding is None else jax.device_put(arrays, sharding)
    state = programs.start(params)
    first, stride, steps = 0, 1, programs.sweep.steps
    while first < steps:
        if first and first % STRETCH == 0:
            task = task._replace(rows=_like(task.rows, rows_from(programs.sweep, len(task.x_train), first)))
        last = min(first + stride, steps, (first // STRETCH + 1) * STRETCH)
        began = time.perf_counter()
        state = jax.block_until_ready(programs.advance(graph, state, rest, keys, task, first, last))
        on_steps(last - first)
        # The first stretch is one step and mostly compilation; later ones aim at the set time.
        rate = (last - first) / (time.perf_counter() - began)
        stride = 4 if first == 0 else max(1, min(4 * stride, round(rate * SECONDS_PER_CALL)))
        first = last
    rights, losses = programs.score(graph, state.params, rest, task.x_scored, task.y_scored)
    return _scores(task, np.asarray(rights, float), np.asarray(losses, float), np.asarray(state.finite))


def _like(old: jax.Array, new: np.ndarray) -> jax.Array:
    """A host array where another one is."""
    return jax.device_put(new, old.sharding)


def _scores(task: Task, rights: np.ndarray, losses: np.ndarray, finite: np.ndarray) -> Scores:
    real = np.asarray(task.y_scored).ravel() >= 0
    rights, losses = (each.reshape(len(finite), -1)[:, real] for each in (rights, losses))
    border = min(SCORED, len(task.x_train))
    train_loss, test_loss = losses[:, :border].mean(1), losses[:, border:].mean(1)
    finite = finite & np.isfinite(train_loss)
    return Scores(rights[:, :border].mean(1), rights[:, border:].mean(1), train_loss, test_loss, ~finite)
