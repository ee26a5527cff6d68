"""Values along an axis as users type them: (lo, hi, n), or the values themselves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError, shown
from .arguments import real_array, sigma, whole

MOST_POINTS = 100_000
"""Points along one axis."""


class Values(tuple[float, ...]):
    """Values that were read once, which are never read as a range again."""

    __slots__ = ()


def values_of(name: str, given: Any, geometric: bool = False) -> np.ndarray:
    """The values of a range: a tuple (lo, hi, n) with an integer n is n points, both ends included; else values.

    Evenly spaced, or geometrically if requested. InputError names the argument; three values as a tuple are refused,
    and so is a range of integers with n = 3, which could be three values: these are given as a list.

    >>> values_of("sigma_w", (1.0, 2.0, 3)).tolist()
    [1.0, 1.5, 2.0]
    """
    if is_range(given):
        return _spaced(name, given, geometric)
    values = np.atleast_1d(real_array(name, given, "give (lo, hi, n) or a one-dimensional array of finite numbers"))
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(f"{shown(name, given)} must be (lo, hi, n) or a one-dimensional array of finite numbers")
    if values.size > MOST_POINTS:
        raise InputError(f"{shown(name, given)} has {values.size} values; give at most {MOST_POINTS}")
    return values


def is_range(given: Any) -> bool:
    """Whether a value is (lo, hi, n): a tuple of three.

    >>> is_range((1.0, 2.0, 3)), is_range([1.0, 2.0, 3])
    (True, False)
    """
    return isinstance(given, tuple) and len(given) == 3 and not isinstance(given, Values)


def _spaced(name: str, given: tuple[Any, Any, Any], geometric: bool) -> np.ndarray:
    lo, hi, count = given
    typed = shown(name, given)
    as_list = f"for three values give a list, {list(given)}" if _numeric(lo, hi, count) else "give numbers"
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise InputError(f"{typed} must be (lo, hi, n) with an integer n; {as_list}")
    if all(isinstance(part, (int, np.integer)) for part in given) and count == 3:
        raise InputError(f"{typed} can be three values or a range; {as_list}, for a range ({lo}.0, {hi}.0, 3)")
    if not 1 <= count <= MOST_POINTS:
        raise InputError(f"{typed}: the number of points must be at least 1 and at most {MOST_POINTS}")
    if not (_numeric(lo, hi) and lo <= hi):
        raise InputError(f"{typed}: give (lo, hi, n) with finite lo <= hi")
    if geometric and lo <= 0:
        raise InputError(f"{typed}: a geometric range starts above 0")
    with np.errstate(over="ignore", invalid="ignore"):
        found = (np.geomspace if geometric else np.linspace)(float(lo), float(hi), int(count))
    if not np.all(np.isfinite(found)):
        raise InputError(f"{typed}: the ends are too far apart; give smaller ones")
    return found


def _numeric(*ends: Any) -> bool:
    """Whether all are single finite real numbers."""
    try:
        return all(np.ndim(end) == 0 and np.isfinite(real_array("", end, "")) for end in ends)
    except InputError:
        return False


def sigma_values(name: str, given: Any) -> tuple[float, ...]:
    """Standard deviations, ascending and distinct, from values or from a range.

    >>> sigma_values("sigma_w", (1.0, 2.0, 3))
    (1.0, 1.5, 2.0)
    >>> sigma_values("sigma_w", [2.0, 1.0])
    (1.0, 2.0)
    """
    return distinct(given, sigma(name, values_of(name, given)))


def distinct(given: Any, values: np.ndarray) -> Values:
    """Values read from `given`, ascending and distinct.

    >>> distinct([2.0, 1.0, 2.0], np.array([2.0, 1.0, 2.0]))
    (1.0, 2.0)
    """
    # Twelve digits turn a range's 1.7000000000000002 into 1.7; explicit values stay as given.
    each = {float(f"{value:.12g}") for value in values} if is_range(given) else set(values.tolist())
    return Values(sorted(each))


def whole_values(name: str, given: Any, least: int = 1) -> tuple[int, ...]:
    """Integers, ascending and distinct; three of them are three values, not a range.

    >>> whole_values("depths", (16, 8, 16))
    (8, 16)
    """
    if isinstance(given, (int, np.integer)):
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)) or np.ma.isMaskedArray(given):
        raise InputError(f"{shown(name, given)} must be integers >= {least}")
    try:
        several = list(islice(given, MOST_POINTS + 1))
    except TypeError:  # an array without axes
        several = [given]
    if len(several) > MOST_POINTS:
        raise InputError(f"{shown(name, given)} has more than {MOST_POINTS} values; give at most as many")
    found = tuple(sorted({whole(name, value, least, below=2**31) for value in several}))
    if not found:
        raise InputError(f"{shown(name, given)} is empty; give at least one")
    return found
