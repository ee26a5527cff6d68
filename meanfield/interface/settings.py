"""JAX's settings for the library's own work: what a user sets to watch their own code is set aside in it.

Under strict promotion, the transfer guard, or a NaN that stops the program, solvers that hand NumPy's arrays to JAX and
mark what is undefined by NaN would fail. The user's settings hold again as soon as a call returns.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import wraps
from typing import Any, TypeVar

import jax

F = TypeVar("F", bound=Callable[..., Any])

_OWN: dict[str, tuple[Callable[..., AbstractContextManager], Any]] = {
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "standard"),
    "jax_numpy_rank_promotion": (jax.numpy_rank_promotion, "allow"),
    "jax_debug_nans": (jax.debug_nans, False),
    "jax_debug_infs": (jax.debug_infs, False),
    "jax_disable_jit": (jax.disable_jit, False),
    "jax_check_tracer_leaks": (jax.check_tracer_leaks, False),
}
"""Setting: the function that sets it locally, and its value here."""
_GUARDS = ("host_to_device", "device_to_device", "device_to_host")


def own_settings() -> AbstractContextManager[Any]:
    """A scope with the settings that the library needs.

    >>> with jax.numpy_dtype_promotion("strict"), own_settings():
    ...     print(jax.config.jax_numpy_dtype_promotion)
    standard
    """
    scopes = [scope(value) for name, (scope, value) in _OWN.items() if getattr(jax.config, name) != value]
    if any(getattr(jax.config, f"jax_transfer_guard_{way}") not in (None, "allow") for way in _GUARDS):
        scopes.append(jax.transfer_guard("allow"))
    if not scopes:
        return nullcontext()
    stack = ExitStack()
    for scope in scopes:
        stack.enter_context(scope)
    return stack


def in_own_settings(compute: F) -> F:
    """Decorate a public function: it runs under `own_settings`."""

    @wraps(compute)
    def wrapper(*args: Any, **options: Any) -> Any:
        with own_settings():
            return compute(*args, **options)

    return wrapper  # type: ignore[return-value]
