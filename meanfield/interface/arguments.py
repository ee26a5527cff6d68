"""Arguments of public calls, checked: each function returns what it was given, or raises a one-line `InputError`.

The line names the argument, the value and what to give instead. Traced values pass unchecked, since they have no value
yet. `ranges` handles ranges, `paths` handles paths.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

from ..errors import InputError, shown
from .settings import own_settings

T = TypeVar("T")

MOST_LAYERS = 2**20
"""What takes a step for each layer, seed or position has fewer."""


def whole(name: str, value: Any, least: int = 1, below: int = 2**63) -> int:
    """An integer of at least `least` and below `below`, as an int.

    >>> whole("width", 128)
    128
    """
    try:
        # operator.index takes True for 1, but `width=True` is a slip.
        found = None if isinstance(value, (bool, np.bool_, np.ma.MaskedArray)) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise InputError(f"{shown(name, value)} must be an integer >= {least}")
    if found >= below:
        raise InputError(f"{shown(name, value)} is too large; give an integer below 2^{below.bit_length() - 1}")
    return found


def random_key(name: str, value: Any, impl: str | None = None) -> jax.Array:
    """A JAX key from a key or from an integer >= 0, every integer another key.

    >>> random_key("key", 0).shape
    ()
    """
    if isinstance(value, jax.Array) and _is_key(value):
        return value
    try:
        seed = whole(name, value, least=0)
    except InputError:
        raise InputError(f"{shown(name, value)} must be a JAX key or an integer >= 0") from None
    # In 32 bits JAX drops the upper half of a seed: 2**32 would be 0.
    with jax.enable_x64(True), own_settings():
        return jax.random.key(seed, impl=impl)


def _is_key(value: jax.Array) -> bool:
    """Whether an array is one key, of jax.random.key or of jax.random.PRNGKey."""
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.ndim == 0
    return value.ndim == 1 and value.dtype == np.uint32


def sigma(name: str, value: T, single: bool = False) -> T:
    """A standard deviation: finite and not negative; an array of them unless `single`.

    >>> sigma("sigma_w", 1.5)
    1.5
    """
    remedy = "give a standard deviation >= 0"
    found = _numbers(name, value, remedy, single)
    _demand(name, value, np.isfinite(found) & (found >= 0), "must be finite and not negative", remedy)
    _demand(name, value, found <= 1e150, "is too large to be squared", "give a standard deviation below 1e150")
    return value


def variances(name: str, value: T, single: bool = False, finite: bool = True) -> T:
    """A variance >= 0; an array of them unless `single`; infinity is allowed unless `finite`.

    >>> variances("q", 0.5)
    0.5
    """
    remedy = "give a finite variance >= 0" if finite else "give a variance >= 0"
    found = _numbers(name, value, remedy, single)
    bound = "must be finite and not negative" if finite else "must not be negative"
    _demand(name, value, (found >= 0) & (np.isfinite(found) | (not finite)), bound, remedy)
    return value


def between(name: str, value: T, low: float, high: float, ends: str = "[]", single: bool = True) -> T:
    """A number between `low` and `high`; `ends` as in interval notation: "[)" includes the lower, excludes the upper.

    >>> between("c0", 0.5, -1, 1)
    0.5
    """
    interval = f"{ends[0]}{low:g}, {high:g}{ends[1]}"
    found = _numbers(name, value, f"give a number in {interval}", single)
    above = found >= low if ends[0] == "[" else found > low
    below = found <= high if ends[1] == "]" else found < high
    _demand(name, value, above & below, f"must lie in {interval}", "give a number there")
    return value


def finite_number(name: str, value: T, single: bool = True) -> T:
    """A finite number; an array of them unless `single`.

    >>> finite_number("gamma", -1.5)
    -1.5
    """
    remedy = "give a finite number"
    if isinstance(value, (list, tuple)):
        raise InputError(f"{shown(name, value)} must be a number; {remedy}, or an array where it is mapped over")
    found = _numbers(name, value, remedy, single)
    _demand(name, value, np.isfinite(found), "must be finite", "give a number")
    return value


def correlation(name: str, value: T, least: float = -1.0) -> T:
    """A correlation in [-1, 1], or an array of them.

    >>> correlation("c0", 0.5)
    0.5
    """
    return between(name, value, least, 1.0, single=False)


def probability(name: str, value: T) -> T:
    """A probability strictly between 0 and 1.

    >>> probability("alpha", 0.05)
    0.05
    """
    return between(name, value, 0.0, 1.0, "()")


def drop_rate(name: str, value: T) -> T:
    """The share of units that dropout removes, in [0, 1).

    >>> drop_rate("rate", 0.1)
    0.1
    """
    return between(name, value, 0.0, 1.0, "[)")


def positive(name: str, value: Any, below: float = math.inf, zero: bool = False) -> float:
    """A finite float above zero (or zero, where `zero`) and under `below`.

    >>> positive("learning_rate", 1e-3)
    0.001
    """
    limits = f"{'>= 0' if zero else '> 0'}{'' if below == math.inf else f' and < {below:g}'}"
    try:
        number = float(_numbers(name, value, "", single=True))
    except (InputError, TypeError):  # a traced value has no number
        number = math.nan
    if not ((number > 0 or (zero and number == 0)) and number < below):
        raise InputError(f"{shown(name, value)} must be a finite number {limits}")
    return number


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    """One of a few words; the error offers the nearest.

    >>> one_of("optimizer", "adam", ("sgd", "adam"))
    'adam'
    """
    if isinstance(value, str) and value in known:
        return value
    raise InputError(f"{shown(name, value)} is not known; {nearest(value, known)}give one of {', '.join(known)}")


def nearest(value: Any, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The question "did you mean ...?" with the nearest known word, and a space; empty if none is close.

    >>> nearest("tahn", ("tanh", "relu"))
    "did you mean 'tanh'? "
    """
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}? " if near else ""


def instance_of(name: str, value: T, kinds: tuple[type, ...]) -> T:
    """A value of one of some types.

    >>> instance_of("data", "digits", (str,))
    'digits'
    """
    if not isinstance(value, kinds):
        raise InputError(f"{shown(name, value)} must be a {' or '.join(kind.__name__ for kind in kinds)}")
    return value


def function(name: str, value: T, remedy: str) -> T:
    """A function, or anything that can be called.

    >>> function("where", callable, "give a function of a layer's path") is callable
    True
    """
    if not callable(value):
        raise InputError(f"{shown(name, value)} cannot be called; {remedy}")
    return value


def switch(name: str, value: Any) -> bool:
    """A truth value, and nothing that Python would take for one.

    >>> switch("resume", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{shown(name, value)} must be True or False")
    return bool(value)


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """The shape of an array: a tuple of integers >= 0.

    >>> shape_of("shape", [3, 4])
    (3, 4)
    """
    if not isinstance(value, (tuple, list)):
        raise InputError(f"{shown(name, value)} must be a tuple of integers, like (3, 4)")
    return tuple(whole(name, n, least=0) for n in value)


def float_dtype(name: str, value: Any) -> Any:
    """A floating-point dtype.

    >>> float_dtype("dtype", "float32")
    dtype('float32')
    """
    try:
        found = jnp.dtype(value)
    except Exception:  # a stranger's attributes may raise anything
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise InputError(f"{shown(name, value)} must be a floating-point dtype, like jnp.float32")
    return found


def real_array(name: str, value: Any, remedy: str) -> np.ndarray:
    """Real numbers as an array of float64; not whether they are finite, but whether they are numbers.

    Integers, floats of any width, arrays of them, and lists and tuples of them. Not what NumPy would read as numbers or
    change in silence: text, bytes, truth values, None, dates, complex and masked values, objects such as a Fraction.

    >>> real_array("q", [1, 2.5], "give a number")
    array([1. , 2.5])
    """
    if isinstance(value, core.Tracer):
        return np.empty(0)
    try:
        found = value if isinstance(value, (np.ndarray, np.generic, jax.Array)) else _plain_array(value)
        real = jnp.issubdtype(found.dtype, np.floating) or jnp.issubdtype(found.dtype, np.integer)
        # NumPy computes with int8 in int8, and here it stands for labels.
        if not real or found.dtype == np.int8 or isinstance(found, np.ma.MaskedArray):
            raise TypeError
        return np.asarray(found, float)
    except Exception:  # a stranger's __array__ or __float__ may raise anything
        raise InputError(f"{shown(name, value)} must be a number; {remedy}") from None


def _plain_array(value: Any) -> np.ndarray:
    """Numbers of Python, or nested lists of them, as an array; integers of any length as floats."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return np.asarray(float(value))
    if isinstance(value, (list, tuple)) and all(isinstance(part, (int, float, np.number)) for part in value):
        if any(isinstance(part, (bool, complex, np.complexfloating)) for part in value):
            raise TypeError
        return np.asarray([float(part) for part in value])
    return np.asarray(value)


def _numbers(name: str, value: Any, remedy: str, single: bool) -> np.ndarray:
    """The value as an array of floats; empty if it is traced, so that every check passes."""
    found = real_array(name, value, remedy)
    if single and np.ndim(value) != 0:
        raise InputError(f"{shown(name, value)} has shape {np.shape(value)} where one number is needed; {remedy}")
    return found


def _demand(name: str, value: Any, fine: np.ndarray, bound: str, remedy: str) -> None:
    if np.all(fine):
        return
    # Of an array, report the first offending value.
    wrong = value if np.ndim(value) == 0 else np.asarray(value)[~fine].ravel()[0]
    raise InputError(f"{shown(name, wrong)} {bound}; {remedy}")
