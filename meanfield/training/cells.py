"""Training many networks of one depth at once: the compiled programs and the loop that drives them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..data import Dataset
from .network import Params, draw, logits
from .sweep import Sweep

__all__ = ["SCORED", "Programs", "Scores", "Task", "cell_keys", "minibatches", "train_cells"]

SCORED = 2048  # examples, the first of each set: an accuracy to 1%, at a cost that does not grow with the data
SECONDS_PER_CALL = 0.5  # how long Ctrl-C and the progress bar may have to wait


class Scores(NamedTuple):
    """What is kept of each trained network: arrays (cells,); `diverged` marks a loss that was not finite."""

    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    train_loss: np.ndarray
    test_loss: np.ndarray
    diverged: np.ndarray


class Task(NamedTuple):
    """The data on the device: inputs (n, d) float32, labels (n,), and the rows of each step's batch (steps, b).

    `x_scored`, `y_scored` hold the examples on which accuracies are measured, those of the training set first, in
    blocks, the last filled up (label -1): one program of one shape scores both sets, because compiling is dear.
    """

    x_train: jax.Array
    y_train: jax.Array
    rows: jax.Array
    x_scored: jax.Array
    y_scored: jax.Array

    @classmethod
    def of(cls, sweep: Sweep, data: Dataset) -> Task:
        """The task that a sweep sets its networks."""
        rows = minibatches(sweep.key, len(data.x_train), sweep.steps, sweep.batch_size)
        return cls(
            x_train=jnp.asarray(data.x_train, jnp.float32),
            y_train=jnp.asarray(data.y_train, jnp.int32),
            rows=jnp.asarray(rows),
            x_scored=_blocks(data.x_train, data.x_test, np.float32),
            y_scored=_blocks(data.y_train, data.y_test, np.int32),
        )


def _blocks(train: np.ndarray, test: np.ndarray, dtype: type) -> jax.Array:
    """The scored examples of both sets, end to end, in blocks (k, 256, ...), the last one filled up with -1."""
    both = np.concatenate([train[:SCORED], test[:SCORED]]).astype(dtype)
    filled = np.pad(both, [(0, -len(both) % 256)] + [(0, 0)] * (both.ndim - 1), constant_values=-1)
    return jnp.asarray(filled.reshape(-1, 256, *both.shape[1:]))


class _State(NamedTuple):
    params: Params
    slots: optax.OptState
    finite: jax.Array


class Programs:
    """The three compiled programs of a sweep: `start`, `advance` and `score`, each over a leading axis of networks.

    Each recompiles once for each depth; the depth is the length of a scan, so a compilation takes a second or two.
    """

    def __init__(self, sweep: Sweep, d_in: int, classes: int):
        phi, optimizer = sweep.phi(), _optimizer(sweep)

        def start(keys, sigma_w, depth):
            sizes = {"d_in": d_in, "width": sweep.width, "depth": depth, "d_out": classes}

            def one(key, sigma):
                params = draw(key, sigma, sweep.sigma_b, **sizes)
                return _State(params, optimizer.init(params), jnp.array(True))

            return jax.vmap(one)(keys, sigma_w)

        def loss(params, x, y):
            return optax.softmax_cross_entropy_with_integer_labels(logits(params, phi, x), y)

        def step(state, x, y):
            value, grads = jax.value_and_grad(lambda p: loss(p, x, y).mean())(state.params)
            updates, slots = optimizer.update(grads, state.slots, state.params)
            return _State(optax.apply_updates(state.params, updates), slots, state.finite & jnp.isfinite(value))

        def advance(state, task, first, last):
            # Traced bounds: one compilation serves every stretch of steps, whatever its length.
            def body(i, state):
                rows = task.rows[i]
                return jax.vmap(step, (0, None, None))(state, task.x_train[rows], task.y_train[rows])

            return jax.lax.fori_loop(first, last, body, state)

        def score(params, x, y):
            def block(params, x, y):
                out = logits(params, phi, x)
                # argmax of NaNs is class 0: a network that diverged scores chance, as it would for a user.
                return out.argmax(-1) == y, optax.softmax_cross_entropy_with_integer_labels(out, y)

            return jax.vmap(lambda params: jax.lax.map(lambda xy: block(params, *xy), (x, y)))(params)

        self.start = jax.jit(start, static_argnums=2)
        self.advance = jax.jit(advance, donate_argnums=0)
        self.score = jax.jit(score)


def _optimizer(sweep: Sweep) -> optax.GradientTransformation:
    if sweep.optimizer == "sgd":
        return optax.sgd(sweep.learning_rate, momentum=sweep.momentum or None)
    return {"adam": optax.adam, "rmsprop": optax.rmsprop}[sweep.optimizer](sweep.learning_rate)


def minibatches(key: int, examples: int, steps: int, batch_size: int) -> np.ndarray:
    """The training rows of each step, (steps, batch_size): shuffled epochs, the last incomplete batch dropped.

    >>> minibatches(0, examples=10, steps=3, batch_size=5).shape
    (3, 5)
    """
    per_epoch = examples // batch_size
    epochs = -(-steps // per_epoch)
    keys = jax.random.split(jax.random.fold_in(_root(key), 1), epochs)
    orders = jax.vmap(lambda k: jax.random.permutation(k, examples))(keys)
    return np.asarray(orders[:, : per_epoch * batch_size].reshape(-1, batch_size)[:steps])


def cell_keys(key: int, depth: int, sigma_w: np.ndarray, seeds: np.ndarray) -> jax.Array:
    """One JAX key for each network, (cells,), from its own coordinates: the rest of the grid has no say in it.

    >>> cell_keys(0, depth=8, sigma_w=np.array([1.0, 2.0]), seeds=np.array([0, 0])).shape
    (2,)
    """
    bits = jnp.asarray(np.asarray(sigma_w, np.float32).view(np.uint32))
    base = jax.random.fold_in(jax.random.fold_in(_root(key), 2), depth)
    return jax.vmap(lambda s, b: jax.random.fold_in(jax.random.fold_in(base, s), b))(jnp.asarray(seeds), bits)


def _root(key: int) -> jax.Array:
    # The generator is named so that a user's global choice of another does not change the numbers.
    return jax.random.key(key, impl="threefry2x32")


def train_cells(
    programs: Programs,
    task: Task,
    depth: int,
    sigma_w: np.ndarray,
    keys: jax.Array,
    sharding: jax.sharding.Sharding | None = None,
    on_steps: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Train the networks of one chunk to the end and score them; `sigma_w` and `keys` are (cells,).

    `on_steps` is told how many steps each call to the device took. With a `sharding` the cells are spread over
    several devices.
    """
    sigma_w = jnp.asarray(sigma_w, jnp.float32)
    if sharding is not None:
        keys, sigma_w = jax.device_put((keys, sigma_w), sharding)
    state = programs.start(keys, sigma_w, depth)
    first, stride, steps = 0, 1, len(task.rows)
    while first < steps:
        last = min(first + stride, steps)
        began = time.perf_counter()
        state = jax.block_until_ready(programs.advance(state, task, first, last))
        on_steps(last - first)
        # The first stretch is one step long and its time is mostly compilation; later ones aim at the set time.
        rate = (last - first) / (time.perf_counter() - began)
        stride = 4 if first == 0 else max(1, min(4 * stride, round(rate * SECONDS_PER_CALL)))
        first = last
    rights, losses = programs.score(state.params, task.x_scored, task.y_scored)
    cells, real = len(sigma_w), np.asarray(task.y_scored).ravel() >= 0
    rights, losses = (np.asarray(each, float).reshape(cells, -1)[:, real] for each in (rights, losses))
    border = min(SCORED, len(task.x_train))
    train_loss, test_loss = losses[:, :border].mean(1), losses[:, border:].mean(1)
    finite = np.asarray(state.finite) & np.isfinite(train_loss)
    return Scores(rights[:, :border].mean(1), rights[:, border:].mean(1), train_loss, test_loss, ~finite)
