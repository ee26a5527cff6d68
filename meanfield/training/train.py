"""`train`: run a sweep, chunk by chunk, keeping what is finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from ..errors import InputError
from ..interface.devices import over_devices
from ..interface.paths import NETCDF, path_to_write
from ..interface.progress import bar
from .cells import Programs, Task, cell_keys, train_cells
from .cost import cell_bytes, chunk_size, memory_budget
from .sweep import Sweep
from .trainability import MEASURED, THEORY, Trainability

__all__ = ["predicted_depth_scales", "train"]

_CURVE_POINTS = 192


def train(
    sweep: Sweep, path: str | os.PathLike | None = None, resume: bool = False, progress: bool | None = None
) -> Trainability:
    """Train every network of a sweep and set the accuracies beside the theory's depth scale.

    Schoenholz et al. 2017 found that networks deeper than about 6 xi_c do not train. Chunks of networks are trained
    together, shallow ones first. With `path` (a .nc file) each finished chunk is saved at once, by an atomic rename;
    `resume=True` then trains only what the file lacks, to the same numbers that an uninterrupted run gives on the
    same machine, and starts anew where there is no file yet. Ctrl-C stops the run and returns what is finished:
    look at `.complete`.

    `progress`: whether to draw a progress bar; None draws it where standard error is a terminal.

    Raises `InputError` before anything is trained: a folder that does not exist, a file that exists without
    `resume`, a file of another sweep, an unknown data set.

    >>> result = train(Sweep(sigma_w=(1.0, 2.0, 2), depths=(2,), width=16, steps=5))
    >>> result.train_accuracy.shape, result.complete
    ((1, 2, 1), True)
    """
    data = sweep.dataset()
    path = _checked(path, resume)
    stored = Trainability.load(path, sweep) if path is not None and path.exists() else None
    foreseen = predicted_depth_scales(sweep)
    scores = _empty(sweep) if stored is None else {name: getattr(stored, name).copy() for name in MEASURED}
    result = Trainability(sweep=sweep, **scores, **foreseen)
    if result.complete:
        return result
    if path is not None:
        result.save(path)  # a path that cannot be written is found now, not after the first depth
    try:
        for cells, chunk_scores in _chunks(sweep, data, scores["finished"], progress):
            for name, value in chunk_scores._asdict().items():
                scores[name][cells] = value
            scores["finished"][cells] = True
            if path is not None:
                Trainability(sweep=sweep, **scores, **foreseen).save(path)
    except KeyboardInterrupt:
        # The signal may have come in the middle of a save: what is finished goes to the file once more.
        if path is not None:
            Trainability(sweep=sweep, **scores, **foreseen).save(path)
    return Trainability(sweep=sweep, **scores, **foreseen)


class _Chunk(NamedTuple):
    """One call's worth of networks: the depth, and the index of each cell on the grid (three arrays)."""

    depth: int
    cells: tuple[np.ndarray, np.ndarray, np.ndarray]
    size: int

    @property
    def work(self) -> int:
        return self.depth * self.size


def _plan(sweep: Sweep, d_in: int, classes: int) -> list[_Chunk]:
    """Cut the grid into chunks. The cut is that of the whole grid even in a resumed run, because the number of
    networks in a chunk moves the last bits of a sum, and a chaotic network amplifies last bits."""
    devices, budget = len(jax.devices()), memory_budget()
    count = len(sweep.sigma_w) * sweep.seeds
    chunks = []
    for row, depth in enumerate(sweep.depths):
        size = chunk_size(count, cell_bytes(sweep, depth, d_in, classes), budget, devices)
        for first in range(0, count, size):
            flat = np.arange(first, min(first + size, count))
            column, seed = np.divmod(flat, sweep.seeds)
            chunks.append(_Chunk(depth, (np.full_like(flat, row), column, seed), size))
    return chunks


def _chunks(sweep: Sweep, data, finished: np.ndarray, progress: bool | None) -> Iterator:
    """Train each chunk that has an unfinished network; yields its cells and their scores."""
    d_in = data.x_train.shape[1]
    todo = [chunk for chunk in _plan(sweep, d_in, data.classes) if not finished[chunk.cells].all()]
    programs, task, sharding = Programs(sweep, d_in, data.classes), Task.of(sweep, data), over_devices(jax.devices())
    if sharding is not None:
        task = jax.device_put(task, jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))
    with bar(sum(chunk.work for chunk in todo) * sweep.steps, "training", progress) as advance:
        for chunk in todo:
            _, column, seed = chunk.cells
            # Every chunk of a depth has one shape, so one compilation: the last one repeats a network to fill up.
            filled = np.pad(np.arange(len(column)), (0, chunk.size - len(column)), mode="edge")
            sigma_w = np.array(sweep.sigma_w)[column[filled]]
            keys = cell_keys(sweep.key, chunk.depth, sigma_w, seed[filled])
            advance(0, f"training, depth {chunk.depth}")
            on_steps = _counter(advance, chunk)
            scores = train_cells(programs, task, chunk.depth, sigma_w, keys, sharding, on_steps)
            yield chunk.cells, scores._replace(**{k: v[: len(column)] for k, v in scores._asdict().items()})


def _counter(advance: Callable[..., None], chunk: _Chunk) -> Callable[[int], None]:
    return lambda steps: advance(steps * chunk.work)


def _empty(sweep: Sweep) -> dict[str, np.ndarray]:
    flags = ("diverged", "finished")
    return {n: np.zeros(sweep.shape, bool) if n in flags else np.full(sweep.shape, np.nan) for n in MEASURED}


def _checked(path: str | os.PathLike | None, resume: bool) -> Path | None:
    """The path, once it is known that a result can be written there."""
    if path is None:
        if resume:
            raise InputError("resume=True needs path=, the file that holds the finished networks")
        return None
    found = path_to_write("path", path, NETCDF)
    if found.exists() and not resume:
        raise InputError(f"path={str(path)!r} exists; pass resume=True to go on with it, or name another file")
    return found


def predicted_depth_scales(sweep: Sweep) -> dict[str, np.ndarray]:
    """What the theory says of the sweep's block: `xi_c`, `xi_grad`, `chi_1` (sigma_w,), and the curve of xi_c.

    >>> predicted_depth_scales(Sweep(sigma_w=(1.0, 1.5811388300841898, 2)))["xi_c"].round(2)[-1]
    np.float64(11.8)
    """
    from ..theory.phase_diagram import phase_diagram

    # Padded to round numbers, so that sweeps of different grids share one compilation of the theory.
    count = len(sweep.sigma_w)
    points = np.pad(np.array(sweep.sigma_w), (0, -count % 64), mode="edge")
    curve = np.linspace(sweep.sigma_w[0], sweep.sigma_w[-1], _CURVE_POINTS)
    diagram = phase_diagram(
        sweep.activation, sigma_w=np.concatenate([points, curve]), sigma_b=np.array([sweep.sigma_b])
    )
    found = {name: np.asarray(getattr(diagram, name), float)[0] for name in THEORY}
    at_points = {name: values[:count] for name, values in found.items()}
    return at_points | {"curve_sigma_w": curve, "curve_xi_c": found["xi_c"][len(points) :]}
