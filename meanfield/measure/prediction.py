"""What the theory says of given pairs of inputs, compiled once for all of them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..theory.block import Block
from ..theory.precision import cast
from ..theory.trajectory import Trajectory, trajectory
from .finite_width import LengthCorrections, length_corrections
from .inputs import InputKernel

__all__ = ["Prediction", "predict"]


class Prediction(NamedTuple):
    """The limit of infinite width, with arrays (depth + 1, P), and its correction in 1/n for both inputs, (depth + 1, 2 P)."""

    path: Trajectory
    length: LengthCorrections


def predict(block: Block, depth: int, kernel: InputKernel) -> Prediction:
    """`mf.trajectory` and `length_corrections` of every pair, float64.

    Tens of layers times several pairs are some hundred two-dimensional integrals: one compiled program for all of them
    is several times as fast as a call from the host, which dispatches each integral on its own.

    >>> import meanfield as mf
    >>> kernel = InputKernel(np.ones(2), np.ones(2), np.array([0.0, 0.5]))
    >>> predict(mf.MLP("relu", sigma_w=2**0.5), 3, kernel).path.q1[-1].round(6).tolist()
    [1.0, 1.0]
    """
    # The CPU has float64 whatever the accelerator is.
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        found = _predict(cast(block, np.float64), *cast(kernel, np.float64), depth=depth)
        return jax.tree.map(np.asarray, found)


@partial(jax.jit, static_argnames="depth")
def _predict(block: Block, q1: jax.Array, q2: jax.Array, c: jax.Array, *, depth: int) -> Prediction:
    path = trajectory(block, depth, q0=(q1, q2), c0=c)
    return Prediction(path, length_corrections(block, depth, jnp.concatenate([q1, q2])))
