"""The variances at which a block evaluates its activations, returned as an output of the traced function.

A table serves a range of variances, so the variances that a block visits must be known before its pairs are tabulated.
`visited` runs a block whose activations record their variances, and returns the ranges beside the result, from inside
the traced function. A loop carries them: a `Repeat` does so itself, a loop over layers by `widened`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..blocks.activations import activations_of, with_activations
from ..blocks.block import Block
from ..blocks.kernel import Kernel
from ..blocks.residual import Repeat
from ..gaussian.activation import Activation
from ..gaussian.closed_forms import ClosedForms, Moments

T = TypeVar("T")


def visited(block: Block, compute: Callable[[Block], T]) -> tuple[T, Array]:
    """compute(block), and the smallest and largest variance at which it evaluated each activation.

    The ranges are (activations, 2), in the order of the block's pytree, empty (infinite ends) if never evaluated.
    The activations must carry their own moments (`sampled`), and the kernels must be scalar.
    """
    notes = _Notes(len(activations_of(block)))
    watched = (replace(phi, closed=_Watched(phi.closed, notes, i)) for i, phi in enumerate(activations_of(block)))
    return notes.during(lambda: compute(_noting_loops(with_activations(block, list(watched)), notes)))


def widened(ranges: Array, more: Array) -> Array:
    """The smallest ranges that contain both."""
    return jnp.stack([jnp.minimum(ranges[:, 0], more[:, 0]), jnp.maximum(ranges[:, 1], more[:, 1])], 1)


class _Notes:
    """The ranges recorded since the innermost `during` began; they belong to its trace and leave it as its output."""

    def __init__(self, count: int) -> None:
        self.nothing = np.tile([np.inf, -np.inf], (count, 1))
        self.ranges: Array = jnp.asarray(self.nothing)

    def note(self, number: int, q: Array) -> None:
        self.add(jnp.asarray(self.nothing, q.dtype).at[number].set(q))

    def add(self, ranges: Array) -> None:
        self.ranges = widened(self.ranges, ranges)

    def during(self, compute: Callable[[], T]) -> tuple[T, Array]:
        before, self.ranges = self.ranges, jnp.asarray(self.nothing)
        found = compute()
        here, self.ranges = self.ranges, before
        return found, here


@dataclass(frozen=True)
class _Watched(ClosedForms):
    """Moments that record the variance they are evaluated at; `number` is the activation's index in its block."""

    known: Any
    notes: _Notes
    number: int

    def moments(self, phi: Activation, q: Array) -> Moments:
        self.notes.note(self.number, q)
        return self.known.moments(phi, q)


@dataclass(frozen=True)
class _NotingRepeat(Repeat):
    """A `Repeat` whose loop carries the ranges recorded inside."""

    notes: _Notes

    def __call__(self, kernel: Kernel) -> Kernel:
        if self.depth < 1:
            return kernel
        first = self.block(kernel).as_arrays()

        def layer(carry: tuple[Kernel, Array], _: None) -> tuple[tuple[Kernel, Array], None]:
            after, here = self.notes.during(lambda: self.block(carry[0]).as_arrays())
            return (after, widened(carry[1], here)), None

        nothing = jnp.asarray(self.notes.nothing, first.q1.dtype)
        (last, ranges), _ = lax.scan(layer, (first, nothing), length=self.depth - 1)
        self.notes.add(ranges)
        return last


def _noting_loops(block: Block, notes: _Notes) -> Block:
    def one(part: object) -> object:
        return _NotingRepeat(_noting_loops(part.block, notes), part.depth, notes) if isinstance(part, Repeat) else part

    return jax.tree.map(one, block, is_leaf=lambda part: isinstance(part, Repeat))
