"""Values along an axis as users type them: (lo, hi, n), or the values themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import InputError, shown
from .arguments import sigma, whole


def values_of(name: str, given: Any, geometric: bool = False) -> np.ndarray:
    """The values of a range: (lo, hi, n) with an integer n is n points, both ends included; anything else is values.

    Evenly spaced, or geometrically if requested. InputError names the argument.

    >>> values_of("sigma_w", (1.0, 2.0, 3)).tolist()
    [1.0, 1.5, 2.0]
    """
    if is_range(given):
        return _spaced(name, given, geometric)
    try:
        values = np.atleast_1d(np.asarray(given, float))
    except (TypeError, ValueError):
        raise InputError(f"{shown(name, given)} must be (lo, hi, n) or an array of numbers") from None
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(f"{shown(name, given)} must be (lo, hi, n) or a one-dimensional array of finite numbers")
    return values


def is_range(given: Any) -> bool:
    """Whether a value is (lo, hi, n): a tuple of three that ends in an integer.

    >>> is_range((1.0, 2.0, 3)), is_range([1.0, 2.0, 3])
    (True, False)
    """
    return isinstance(given, tuple) and len(given) == 3 and isinstance(given[2], (int, np.integer))


def _spaced(name: str, given: tuple[Any, Any, Any], geometric: bool) -> np.ndarray:
    lo, hi, count = given
    if isinstance(count, bool) or count < 1:
        raise InputError(f"{shown(name, given)}: the number of points must be at least 1")
    numeric = all(isinstance(end, (int, float, np.number)) for end in (lo, hi))
    if not (numeric and np.isfinite(lo) and np.isfinite(hi) and lo <= hi):
        raise InputError(f"{shown(name, given)}: give (lo, hi, n) with finite lo <= hi")
    if geometric and lo <= 0:
        raise InputError(f"{shown(name, given)}: a geometric range starts above 0")
    return np.geomspace(lo, hi, count) if geometric else np.linspace(lo, hi, count)


def sigma_values(name: str, given: Any) -> tuple[float, ...]:
    """Standard deviations, ascending and distinct, from values or from a range.

    >>> sigma_values("sigma_w", (1.0, 2.0, 3))
    (1.0, 1.5, 2.0)
    >>> sigma_values("sigma_w", [2.0, 1.0])
    (1.0, 2.0)
    """
    values = sigma(name, values_of(name, given)).tolist()
    # Twelve digits turn a range's 1.7000000000000002 into 1.7; explicit values stay as given.
    return tuple(sorted({float(f"{value:.12g}") for value in values} if is_range(given) else set(values)))


def whole_values(name: str, given: Any, least: int = 1) -> tuple[int, ...]:
    """Integers, ascending and distinct; three of them are three values, not a range.

    >>> whole_values("depths", (16, 8, 16))
    (8, 16)
    """
    if isinstance(given, (int, np.integer)):
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise InputError(f"{shown(name, given)} must be integers >= {least}")
    found = tuple(sorted({whole(name, value, least) for value in given}))
    if not found:
        raise InputError(f"{shown(name, given)} is empty; give at least one")
    return found
