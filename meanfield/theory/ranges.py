"""Ranges as users type them: (lo, hi, n), or the values themselves."""

from __future__ import annotations

from typing import Any

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
