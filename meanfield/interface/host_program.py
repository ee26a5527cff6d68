"""Programs that only the host calls, compiled in about half the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax

P, R = ParamSpec("P"), TypeVar("R")

_QUICK = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
"""On a CPU these compile 1.2 to 2.9 times faster; what is compiled may run at half the speed."""


def host_program(compute: Callable[P, R]) -> Callable[P, R]:
    """`jax.jit` for a program that is called with concrete arrays alone: under a trace such options are an error.

    For programs that run so little that compiling them is what costs.

    >>> import jax.numpy as jnp
    >>> float(host_program(lambda x: 2 * x)(jnp.float32(1.5)))
    3.0
    """
    compiled: dict[bool, Any] = {}

    @wraps(compute)
    def call(*args: P.args, **options: P.kwargs) -> R:
        on_cpu = jax.default_backend() == "cpu"
        if on_cpu not in compiled:
            compiled[on_cpu] = jax.jit(compute, compiler_options=_QUICK if on_cpu else None)
        return compiled[on_cpu](*args, **options)

    return call
