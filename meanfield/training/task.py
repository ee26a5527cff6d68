"""The training task of a sweep: the data on the device, and the rows of every batch."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..data import Dataset
from .sweep import Sweep

__all__ = ["SCORED", "Task", "minibatches", "root_key"]

SCORED = 2048  # examples, the first of each set: an accuracy to 1%, at a cost that does not grow with the data


class Task(NamedTuple):
    """The data on the device: inputs (n, d) float32, labels (n,), and the rows of each step's batch (steps, b).

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
        rows = minibatches(sweep.key, len(data.x_train), sweep.steps, sweep.batch_size)
        return cls(
            x_train=jnp.asarray(data.x_train, jnp.float32),
            y_train=jnp.asarray(data.y_train, jnp.int32),
            rows=jnp.asarray(rows),
            x_scored=_blocks(data.x_train, data.x_test, np.float32),
            y_scored=_blocks(data.y_train, data.y_test, np.int32),
        )


def _blocks(train: np.ndarray, test: np.ndarray, dtype: type) -> jax.Array:
    """The scored examples of both sets, concatenated, in blocks (k, 256, ...), the last one padded with -1."""
    both = np.concatenate([train[:SCORED], test[:SCORED]]).astype(dtype)
    filled = np.pad(both, [(0, -len(both) % 256)] + [(0, 0)] * (both.ndim - 1), constant_values=-1)
    return jnp.asarray(filled.reshape(-1, 256, *both.shape[1:]))


def minibatches(key: int, examples: int, steps: int, batch_size: int) -> np.ndarray:
    """The training rows of each step, (steps, batch_size): shuffled epochs, the last incomplete batch dropped.

    >>> minibatches(0, examples=10, steps=3, batch_size=5).shape
    (3, 5)
    """
    per_epoch = examples // batch_size
    epochs = -(-steps // per_epoch)
    keys = jax.random.split(jax.random.fold_in(root_key(key), 1), epochs)
    orders = jax.vmap(lambda k: jax.random.permutation(k, examples))(keys)
    return np.asarray(orders[:, : per_epoch * batch_size].reshape(-1, batch_size)[:steps])


def root_key(key: int) -> jax.Array:
    """The key of a whole sweep; its generator is fixed, so that a user's global choice of another has no effect."""
    return jax.random.key(key, impl="threefry2x32")
