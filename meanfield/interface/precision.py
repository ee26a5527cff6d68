"""Float64 for calls from the host, the caller's own dtype under a trace: one decorator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial, wraps
from typing import Any, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

from .evaluation import evaluated
from .settings import own_settings

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
R = TypeVar("R")

_CODES = (np.bool_, np.int8)


def is_traced(tree: Any) -> bool:
    """Whether any leaf of a pytree is being traced by a JAX transformation."""
    return any(isinstance(leaf, core.Tracer) for leaf in jax.tree.leaves(tree))


def cast(tree: T, dtype: Any) -> T:
    """Every numeric leaf as an array of one dtype, so that ints, floats and arrays compile once.

    Arrays of booleans and of codes (int8) keep their dtype.
    """

    def one(leaf: Any) -> Any:
        if getattr(leaf, "dtype", None) in _CODES:
            return leaf
        if isinstance(leaf, core.Tracer):
            return leaf.astype(dtype)
        return (
            np.asarray(leaf, dtype) if isinstance(leaf, (bool, int, float, np.generic, np.ndarray, jax.Array)) else leaf
        )

    return jax.tree.map(one, tree)


@overload
def host_float64(
    compute: Callable[..., R], *, static: tuple[str, ...] = (), compiled: bool = True
) -> Callable[..., R]: ...
@overload
def host_float64(
    *, static: tuple[str, ...] = (), compiled: bool = True
) -> Callable[[Callable[..., R]], Callable[..., R]]: ...
def host_float64(compute: Any = None, *, static: tuple[str, ...] = (), compiled: bool = True) -> Any:
    """Decorate a function of pytrees: on the host it runs in float64 and returns NumPy; traced it follows its
    arguments.

    On the host it is either compiled or run by NumPy without compiling (`evaluation`), which suits a single answer.
    Traced, it is one program inside the caller's; differentiated eagerly, it is compiled as a whole. A float64 JAX
    array outside the scope would turn float32 at the caller's first `1 - c`; hence NumPy. The caller's global precision
    flag is neither needed nor changed. The keyword arguments named in `static` are static. Where the default
    device has no good float64 (TPU, Metal) host calls run on the CPU.
    """
    if compute is None:
        return partial(host_float64, static=static, compiled=compiled)
    traced = jax.jit(compute, static_argnames=static)
    on_arrays = traced if compiled else evaluated(compute, static)

    @wraps(compute)
    def wrapper(*args: Any, **options: Any) -> Any:
        if not is_traced(args):
            return on_host(*args, **options)
        with own_settings():
            return traced(*following(args), **options)

    @in_float64
    def on_host(*args: Any, **options: Any) -> Any:
        found = on_arrays(*cast(args, np.float64), **options)
        return jax.tree.map(np.asarray, found) if compiled else found

    return wrapper


def following(args: T) -> T:
    """Partly traced arguments, all cast to the dtype of the traced ones; float32 if that is shorter."""
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(args) if isinstance(leaf, core.Tracer)]
    floats = [d for d in dtypes if jnp.issubdtype(d, jnp.floating)]
    dtype = jnp.result_type(*floats) if floats else jnp.zeros(()).dtype
    # Half precision has too few digits for a fixed point.
    return cast(args, jnp.promote_types(dtype, jnp.float32))


def in_float64(compute: F) -> F:
    """Decorate a function that is called from the host: its JAX work runs in float64."""

    @wraps(compute)
    def wrapper(*args: Any, **options: Any) -> Any:
        with own_settings():
            # Inside a caller's jit, concrete values are still evaluated.
            inside = isinstance(jax.device_put(np.float32(0.0)), core.Tracer)
            outside = jax.ensure_compile_time_eval() if inside else nullcontext()
            with outside, jax.enable_x64(True), _float64_device():
                return compute(*args, **options)

    return wrapper  # type: ignore[return-value]


def local_devices() -> list:
    """This process's devices that compute in float64: the CPU if the accelerator has no good float64."""
    return jax.local_devices(backend=None if jax.default_backend() in ("cpu", "gpu") else "cpu")


def beside_numpy() -> AbstractContextManager[Any]:
    """On the CPU, where arrays go to and fro for nothing: for small programs between steps of NumPy."""
    return nullcontext() if jax.default_backend() == "cpu" else jax.default_device(jax.local_devices(backend="cpu")[0])


def _float64_device() -> AbstractContextManager[Any]:
    return nullcontext() if jax.default_backend() in ("cpu", "gpu") else jax.default_device(local_devices()[0])
