"""Ranges as users type them: (lo, hi, n), or the values themselves."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..errors import InputError


def values_of(name: str, given: Any, geometric: bool = False) -> np.ndarray:
    """The values that a range says: (lo, hi, n) with an integer n is n points, both ends included; else an array.

    Evenly spaced, geometrically where asked. InputError names the argument.

    >>> values_of("sigma_w", (1.0, 2.0, 3)).tolist()
    [1.0, 1.5, 2.0]
    """
    if isinstance(given, tuple) and len(given) == 3 and isinstance(given[2], (int, np.integer)):
        lo, hi, count = given
        if isinstance(count, bool) or count < 1:
            raise InputError(f"{name}={given!r}: the number of points must be at least 1")
        if not (np.isfinite(lo) and np.isfinite(hi) and lo <= hi):
            raise InputError(f"{name}={given!r}: give (lo, hi, n) with finite lo <= hi")
        if geometric and lo <= 0:
            raise InputError(f"{name}={given!r}: a geometric range starts above 0")
        return np.geomspace(lo, hi, count) if geometric else np.linspace(lo, hi, count)
    try:
        values = np.atleast_1d(np.asarray(given, float))
    except (TypeError, ValueError):
        raise InputError(f"{name}={given!r} must be (lo, hi, n) or an array of numbers") from None
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(f"{name}={given!r} must be (lo, hi, n) or a one-dimensional array of finite numbers")
    return values


def check_sigma(name: str, value: Any) -> None:
    """InputError unless value is a non-negative finite number (or array of them); traced values pass."""
    if isinstance(value, jax.core.Tracer):
        return
    try:
        if isinstance(value, str):
            raise TypeError("NumPy would read a number, JAX would not")
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name}={value!r} must be a number; give a standard deviation >= 0") from None
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 0):
        shown = value if numbers.ndim == 0 else f"[... {numbers[~(numbers >= 0)].ravel()[:1]} ...]"
        raise InputError(f"{name}={shown} must be finite and not negative; give a standard deviation >= 0")
    if np.max(numbers, initial=0.0) > 1e150:
        raise InputError(f"{name}={value} is too large to be squared; give a standard deviation below 1e150")


def check_one_sigma(name: str, value: Any) -> None:
    """`check_sigma`, and that there is one."""
    check_sigma(name, value)
    if np.ndim(value) != 0:
        raise InputError(f"{name}={value} is of shape {np.shape(value)}, but one network has one; give a number")


def whole(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least` and below 2^63, as an int; InputError otherwise.

    >>> check_size("width", 128)
    128
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name}={value!r} must be an integer >= {least}")
    if value >= 2**63:
        raise InputError(f"{name}={value!r} is too large; give an integer below 2^63")
    return int(value)


def one_of(name: str, value: Any, known: Sequence[str]) -> None:
    """InputError unless value is one of the known words."""
    if value not in known:
        raise InputError(f"{name}={value!r} is not known; give one of {', '.join(map(repr, known))}")
