"""What a sweep accepts, one check for each kind of field; each raises a one-line `InputError`."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InputError
from ..interface.arguments import values_of

__all__ = ["depth_values", "instance_of", "member", "positive", "sigma_values", "whole"]


def whole(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least`.

    >>> whole("width", 128)
    128
    """
    # bool is an Integral, but `width=True` is a slip.
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name}={value!r} must be an integer >= {least}")
    return int(value)


def positive(name: str, value: Any, below: float = math.inf, zero: bool = False) -> float:
    """A finite float above zero (or zero, where `zero`) and under `below`.

    >>> positive("learning_rate", 1e-3)
    0.001
    """
    ok = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or not (value > 0 or (zero and value == 0)) or value >= below:
        limits = f"{'>= 0' if zero else '> 0'}{'' if below == math.inf else f' and < {below:g}'}"
        raise InputError(f"{name}={value!r} must be a finite number {limits}")
    return float(value)


def sigma_values(name: str, values: Any) -> tuple[float, ...]:
    """Standard deviations, ascending and distinct, from values or from a range `(lo, hi, n)` with an integer n.

    >>> sigma_values("sigma_w", (1.0, 2.0, 3))
    (1.0, 1.5, 2.0)
    >>> sigma_values("sigma_w", [2.0, 1.0])
    (1.0, 2.0)
    """
    # Twelve digits turn a range's 1.7000000000000002 into what a reader would write; given values stay as they are.
    ranged = isinstance(values, tuple) and len(values) == 3 and isinstance(values[2], numbers.Integral)
    items = values_of(name, values).tolist()
    items = [float(f"{item:.12g}") for item in items] if ranged else items
    return tuple(sorted({positive(name, item, zero=True) for item in items}))


def depth_values(values: Any) -> tuple[int, ...]:
    """Depths in layers, ascending and distinct; a triple of integers is three depths, not a range.

    >>> depth_values((16, 8, 16))
    (8, 16)
    """
    if isinstance(values, numbers.Integral):
        values = [values]
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise InputError(f"depths={values!r} must be integers >= 1")
    found = tuple(sorted({whole("depth", value) for value in values}))
    if not found:
        raise InputError(f"depths={values!r} is empty; give at least one depth")
    return found


def member(name: str, value: Any, known: Sequence[str]) -> str:
    """One of a few words; the error offers the nearest.

    >>> member("optimizer", "adam", ("sgd", "adam"))
    'adam'
    """
    if value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"{name}={value!r} is not known; {hint}give one of {', '.join(known)}")


def instance_of(name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """A value of one of some types.

    >>> instance_of("data", "digits", (str,))
    'digits'
    """
    if not isinstance(value, kinds):
        words = " or ".join(kind.__name__ for kind in kinds)
        raise InputError(f"{name}={value!r} must be a {words}")
    return value
