"""`train`: run a sweep chunk by chunk, keeping what is finished."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from ..data import Dataset
from ..errors import InputError
from ..interface.arguments import instance_of, switch
from ..interface.devices import over_devices
from ..interface.paths import NETCDF, path_to_write
from ..interface.progress import bar
from ..interface.saving import sole_writer
from ..interface.settings import in_own_settings
from .cells import Cells, Programs, Scores, draw, train_cells
from .cost import cell_bytes, chunk_size, memory_budget
from .depth_scales import predicted_depth_scales
from .sweep import Sweep
from .task import Task
from .trainability import MEASURED, Trainability

__all__ = ["predicted_depth_scales", "train"]

_Scored = tuple[tuple[np.ndarray, ...], Scores]


@in_own_settings
def train(
    sweep: Sweep, path: str | os.PathLike | None = None, resume: bool = False, progress: bool | None = None
) -> Trainability:
    """Train every network of a sweep, and compare the accuracies with the theory's depth scale.

    Schoenholz et al. 2017 found that networks deeper than about 6 xi_c do not train. Chunks of networks are trained
    together, shallow ones first. With `path` (a .nc file) each finished chunk is saved at once, by an atomic rename;
    `resume=True` then trains only what the file lacks, with the same numbers as an uninterrupted run on the same
    machine, and starts from scratch if there is no file yet. Ctrl-C stops the run and returns what is finished; check
    `.complete`.

    `progress`: whether to draw a progress bar; None draws it if standard error is a terminal.

    Raises `InputError` before anything is trained: a folder that does not exist, a file that exists without
    `resume`, a file of another sweep or one that another process is writing, an unknown data set.

    >>> result = train(Sweep(sigma_w=(1.0, 2.0, 2), depths=(2,), width=16, steps=5))
    >>> result.train_accuracy.shape, result.complete
    ((1, 2, 1), True)
    """
    instance_of("sweep", sweep, (Sweep,))
    data = sweep.dataset()
    path = _checked(path, switch("resume", resume))
    if path is None:
        return _trained(sweep, data, None, _empty(sweep), progress)
    with sole_writer("path", path):
        _checked(path, resume)  # another run may have written it since
        stored = Trainability.load(path, sweep) if path.exists() else None
        scores = _empty(sweep) if stored is None else {name: getattr(stored, name).copy() for name in MEASURED}
        return _trained(sweep, data, path, scores, progress)


def _trained(
    sweep: Sweep, data: Dataset, path: Path | None, scores: dict[str, np.ndarray], progress: bool | None
) -> Trainability:
    """Train what `scores` lacks, saving after each chunk."""
    foreseen = predicted_depth_scales(sweep)

    def saved() -> Trainability:
        result = Trainability(sweep=sweep, **scores, **foreseen)
        if path is not None:
            result.save(path)
        return result

    if scores["finished"].all():
        return Trainability(sweep=sweep, **scores, **foreseen)
    saved()  # an unwritable path is reported now, not after the first depth
    try:
        for cells, chunk_scores in _chunks(sweep, data, scores["finished"], progress):
            for name, value in chunk_scores._asdict().items():
                scores[name][cells] = value
            scores["finished"][cells] = True
            saved()
    except KeyboardInterrupt:
        return saved()  # the signal may have interrupted a save
    return Trainability(sweep=sweep, **scores, **foreseen)


class _Chunk(NamedTuple):
    """The networks of one device call: the depth, the index of each cell on the grid (an array per axis), a size."""

    depth: int
    cells: tuple[np.ndarray, ...]
    size: int

    @property
    def work(self) -> int:
        return self.depth * self.size

    def draw(self, sweep: Sweep, d_in: int, classes: int) -> Cells:
        """The chunk's networks; the last chunk of a depth is padded with one of them: one compilation serves all."""
        _, *leaves, seeds = self.cells
        at = np.pad(np.arange(len(seeds)), (0, self.size - len(seeds)), mode="edge")
        columns = [np.array(v)[i[at]] for v, i in zip(sweep.leaves.values(), leaves, strict=True)]
        values = [tuple(float(column[cell]) for column in columns) for cell in range(self.size)]
        return draw(sweep, self.depth, values, seeds[at].tolist(), d_in, classes)


def _plan(sweep: Sweep, d_in: int, classes: int) -> list[_Chunk]:
    """Cut the grid into chunks, always those of the whole grid, even in a resumed run.

    The number of networks in a chunk changes the last bits of a sum, and a chaotic network amplifies them.
    """
    devices, budget = len(jax.devices()), memory_budget()
    of_one_depth = sweep.shape[1:]
    count = math.prod(of_one_depth)
    chunks = []
    for row, depth in enumerate(sweep.depths):
        size = chunk_size(count, cell_bytes(sweep, depth, d_in, classes), budget, devices)
        for first in range(0, count, size):
            flat = np.arange(first, min(first + size, count))
            chunks.append(_Chunk(depth, (np.full_like(flat, row), *np.unravel_index(flat, of_one_depth)), size))
    return chunks


def _chunks(sweep: Sweep, data: Dataset, finished: np.ndarray, progress: bool | None) -> Iterator[_Scored]:
    """Train each chunk that has an unfinished network; yields its cells and their scores."""
    d_in = data.x_train.shape[1]
    todo = [chunk for chunk in _plan(sweep, d_in, data.classes) if not finished[chunk.cells].all()]
    programs, task, sharding = Programs(sweep), Task.of(sweep, data), over_devices(jax.devices())
    if sharding is not None:
        task = jax.device_put(task, jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec()))
    with bar(sum(chunk.work for chunk in todo) * sweep.steps, "training", progress) as advance:
        for chunk in todo:
            advance(0, f"training, depth {chunk.depth}")
            cells = chunk.draw(sweep, d_in, data.classes)
            scores = train_cells(programs, task, cells, sharding, _counter(advance, chunk))
            real = len(chunk.cells[0])
            yield chunk.cells, scores._replace(**{name: each[:real] for name, each in scores._asdict().items()})


def _counter(advance: Callable[..., None], chunk: _Chunk) -> Callable[[int], None]:
    return lambda steps: advance(steps * chunk.work)


def _empty(sweep: Sweep) -> dict[str, np.ndarray]:
    flags = ("diverged", "finished")
    return {n: np.zeros(sweep.shape, bool) if n in flags else np.full(sweep.shape, np.nan) for n in MEASURED}


def _checked(path: str | os.PathLike | None, resume: bool) -> Path | None:
    """The path, once a result is known to be writable there."""
    if path is None:
        if resume:
            raise InputError("resume=True needs path=, the file that holds the finished networks")
        return None
    found = path_to_write("path", path, NETCDF)
    if found.exists() and not resume:
        raise InputError(f"path={str(path)!r} exists; pass resume=True to continue it, or name another file")
    return found
