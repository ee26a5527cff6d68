"""The cost of a sweep before it is run: how its networks are cut into chunks, and how long they will take."""

from __future__ import annotations

import dataclasses
import math
import time

import jax
import jax.numpy as jnp

from ..interface.settings import in_own_settings
from ..networks.network import parameter_count
from .sweep import Sweep
from .task import SCORED

__all__ = ["Cost", "cell_bytes", "cell_flops", "chunk_size", "estimate", "memory_budget"]

# A larger chunk overflows a CPU's caches and gains nothing: the default sweep ran 10% faster with 2 to 4 networks at
# a time than with 8.
_CPU_BUDGET = 128 * 2**20
# Measured on the default sweep: training reaches this share of the rate at which the probe multiplies matrices.
_EFFICIENCY = 0.5
_COMPILE_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Cost:
    """The estimate of `Sweep.cost`.

    `networks` in the grid; `parameters` of all of them together; `flops` of training and scoring; `chunk`, the
    number of networks trained at once (the largest over the depths); `memory_bytes`, the peak of one chunk;
    `devices` used; `seconds`, from a probe of a fraction of a second on this machine and good to a factor of two.
    """

    networks: int
    parameters: int
    flops: float
    chunk: int
    memory_bytes: int
    devices: int
    seconds: float

    def __str__(self) -> str:
        minutes = f"{self.seconds / 60:.1f} minutes" if self.seconds >= 60 else f"{self.seconds:.0f} seconds"
        return (
            f"{self.networks} networks, {self.parameters:,} parameters in all, {self.flops:.2g} FLOPs; "
            f"up to {self.chunk} at a time in {self.memory_bytes / 2**20:.0f} MiB on {self.devices} "
            f"device{'s' if self.devices > 1 else ''}; about {minutes}"
        )


def cell_bytes(sweep: Sweep, depth: int, d_in: int, classes: int) -> int:
    """The memory that training one network takes: weights, gradients, optimizer slots, and kept activations."""
    weights = _parameters(sweep, depth, d_in, classes)
    slots = 2 if sweep.optimizer == "adam" else 1
    kept = 2 * depth * sweep.batch_size * sweep.width
    return 4 * ((3 + slots) * weights + kept)


def cell_flops(sweep: Sweep, depth: int, d_in: int, classes: int, scored: int) -> float:
    """The operations of one network: 6 per weight and example in training, 2 in scoring."""
    weights = _parameters(sweep, depth, d_in, classes)
    return float(weights) * (6 * sweep.batch_size * sweep.steps + 2 * scored)


def _parameters(sweep: Sweep, depth: int, d_in: int, classes: int) -> int:
    return parameter_count(sweep.block, depth=depth - 1, width=sweep.width, d_in=d_in, d_out=classes)


def memory_budget() -> int:
    """The memory budget of a chunk over all devices in bytes: half of what they report; on a CPU a cache's size."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        return _CPU_BUDGET * len(devices)
    limits = [(device.memory_stats() or {}).get("bytes_limit", 4 * 2**30) for device in devices]
    return min(limits) * len(devices) // 2


def chunk_size(cells: int, bytes_each: int, budget: int, devices: int = 1) -> int:
    """How many of `cells` networks to train at once: even chunks, each a multiple of `devices`.

    >>> chunk_size(11, bytes_each=10, budget=50)
    4
    >>> chunk_size(11, bytes_each=10, budget=50, devices=4)
    4
    """
    most = max(1, budget // bytes_each)
    chunks = -(-cells // most)
    even = -(-cells // chunks)
    return -(-even // devices) * devices


@in_own_settings
def estimate(sweep: Sweep) -> Cost:
    """The cost of a sweep on this machine without training; loads the data and times a few matrix products."""
    data = sweep.dataset()
    d_in, classes = data.x_train.shape[1], data.classes
    per_depth = math.prod(sweep.shape[1:])
    devices = len(jax.devices())
    scored = min(SCORED, len(data.x_train)) + min(SCORED, len(data.x_test))
    flops, parameters, chunks, memory = 0.0, 0, [], []
    for depth in sweep.depths:
        each = cell_bytes(sweep, depth, d_in, classes)
        chunks.append(chunk_size(per_depth, each, memory_budget(), devices))
        memory.append(chunks[-1] * each)
        flops += per_depth * cell_flops(sweep, depth, d_in, classes, scored)
        parameters += per_depth * _parameters(sweep, depth, d_in, classes)
    seconds = flops / (_EFFICIENCY * devices * _probe(sweep)) + _COMPILE_SECONDS * len(sweep.depths)
    return Cost(
        networks=per_depth * len(sweep.depths),
        parameters=parameters,
        flops=flops,
        chunk=max(chunks),
        memory_bytes=max(memory),
        devices=devices,
        seconds=seconds,
    )


def _probe(sweep: Sweep) -> float:
    """The rate in FLOP/s of matrix products of the training shapes on the default device."""
    cells, repeats = 4, 50
    h = jnp.ones((cells, sweep.batch_size, sweep.width), jnp.float32)
    w = jnp.full((cells, sweep.width, sweep.width), 1.0 / sweep.width, jnp.float32)
    run = jax.jit(lambda h, w: jax.lax.fori_loop(0, repeats, lambda _, h: h @ w, h))
    run(h, w).block_until_ready()
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        run(h, w).block_until_ready()
        best = min(best, time.perf_counter() - began)
    return 2.0 * cells * repeats * sweep.batch_size * sweep.width**2 / best
