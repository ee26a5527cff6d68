"""The training task of a sweep: the data on the device, and the rows of every batch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..data import Dataset
from ..interface.arguments import random_key
from .sweep import Sweep

__all__ = ["SCORED", "STRETCH", "Task", "minibatches", "root_key", "rows_from"]

STRETCH = 4096  # steps whose batches are drawn at once
SCORED = 2048  # examples, the first of each set: an accuracy to 1%, at a cost that does not grow with the data


class Task(NamedTuple):
    """The data on the device: inputs (n, d) float32, labels (n,), and the rows of the batches of `STRETCH` steps.

    `rows` (at most STRETCH, b) begins at step 0; `rows_from` has those of later steps, drawn as they are needed.
    `x_scored`, `y_scored` hold the examples on which accuracies are measured, those of the training set first, in
    blocks, the last one padded (label -1): a single compiled program scores both sets.
    """

    x_train: jax.Array
    y_train: jax.Array
    rows: jax.Array
    x_scored: jax.Array
    y_scored: jax.Array

    @classmethod
    def of(cls, sweep: Sweep, data: Dataset) -> Task:
        """The task of a sweep."""
        rows = rows_from(sweep, len(data.x_train), 0)
        return cls(
            x_train=jnp.asarray(data.x_train, jnp.float32),
            y_train=jnp.asarray(data.y_train, jnp.int32),
            rows=jnp.asarray(rows),
            x_scored=_blocks(data.x_train, data.x_test, np.float32),
            y_scored=_blocks(data.y_train, data.y_test, np.int32),
        )


def rows_from(sweep: Sweep, examples: int, first: int) -> np.ndarray:
    """The rows of the batches from step `first` on, always as many, so that one program serves all of them."""
    return minibatches(sweep.key, examples, min(sweep.steps, STRETCH), sweep.batch_size, first)


def _blocks(train: np.ndarray, test: np.ndarray, dtype: type) -> jax.Array:
    """The scored examples of both sets, concatenated, in blocks (k, 256, ...), the last one padded with -1."""
    both = np.concatenate([train[:SCORED], test[:SCORED]]).astype(dtype)
    filled = np.pad(both, [(0, -len(both) % 256)] + [(0, 0)] * (both.ndim - 1), constant_values=-1)
    return jnp.asarray(filled.reshape(-1, 256, *both.shape[1:]))


def minibatches(key: int, examples: int, steps: int, batch_size: int, first: int = 0) -> np.ndarray:
    """The training rows of `steps` steps from `first` on, (steps, batch_size): shuffled epochs, the last incomplete
    batch of each dropped.

    >>> minibatches(0, examples=10, steps=3, batch_size=5).shape
    (3, 5)
    """
    per_epoch = examples // batch_size
    begin, end = first // per_epoch, -(-(first + steps) // per_epoch)
    root = jax.random.fold_in(root_key(key), 1)
    orders = jax.vmap(lambda i: jax.random.permutation(jax.random.fold_in(root, i), examples))(
        jnp.arange(begin, end, dtype=jnp.uint32)
    )
    rows = np.asarray(orders[:, : per_epoch * batch_size]).reshape(-1, batch_size)
    return rows[first - begin * per_epoch :][:steps]


def root_key(key: int) -> jax.Array:
    """The key of a whole sweep; its generator is fixed, so that a user's global choice of another has no effect."""
    return random_key("key", key, impl="threefry2x32")
