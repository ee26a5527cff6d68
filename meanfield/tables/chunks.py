"""Many points through one compiled program, in chunks of one size spread over the local devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from ..interface.devices import over_devices
from ..interface.precision import local_devices


class Pending(NamedTuple):
    """Pending results in chunks of one size; only the first `wanted` rows count."""

    pieces: list[Any]
    wanted: int


def in_chunks(compute: Callable, size: int, *columns: np.ndarray) -> Pending:
    """compute(*columns) in chunks of one size, so that one program serves every grid; does not wait for the results.

    Where the size is a multiple of the number of devices, the rows of a piece are spread over them.
    """
    count = len(columns[0])
    devices = local_devices()
    spread = over_devices(devices) if len(devices) > 1 and size % len(devices) == 0 else None
    pieces = []
    for start in range(0, max(count, 1), size):
        piece = [_filled(c[start : start + size], size) for c in columns]
        pieces.append(compute(*(piece if spread is None else jax.device_put(piece, spread))))
    return Pending(pieces, count)


def _filled(column: np.ndarray, size: int) -> np.ndarray:
    """The column with its last row repeated, or zeros where it has none; np.pad takes ten times as long."""
    if len(column) == size:
        return column
    last = column[-1:] if len(column) else np.zeros_like(column, shape=(1, *column.shape[1:]))
    return np.concatenate([column, np.broadcast_to(last, (size - len(column), *column.shape[1:]))])


def fetch(pending: Pending) -> Any:
    """The results of `in_chunks`, as writable NumPy arrays."""
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: pending.wanted], *pending.pieces)
