"""Finds the kinks of an undeclared callable numerically, and the length over which it bends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from ..errors import InputError
from ..interface.callables import check_traceable, first_line
from ..interface.elementwise import Elementwise
from ..interface.evaluation import evaluated

_NEAREST, _REACH = 1e-7, 1e7
"""The range of |x| searched for kinks other than 0."""
_EVEN = ((32.0, 1.0 / 512), (2.0, 1.0 / 16384))
_RATIO = 1.0 / 256
"""Grid steps: even ones within a reach of 0, and relative ones from _NEAREST to _REACH."""
_MOST = 16
_DEFINED = 40.0
"""How far from 0 a function must be defined."""


class Found(NamedTuple):
    """Kink positions, whether the function itself jumps at each, and the length over which it bends."""

    kinks: tuple[float, ...]
    steps: tuple[bool, ...]
    scale: float


def inspect_callable(fn: Callable, label: str, params: dict[str, Any] | None = None) -> Found:
    """Check that fn(x, **params) is elementwise and finite near 0, and find its kinks.

    A kink is where second differences of fn, or of its derivative, stand out from their neighbours and still do under
    refinement: on even grids around 0, which separate kinks 1/2000 apart on [-2, 2] and 1/60 apart on [-32, 32], and on
    a geometric grid from 1e-7 to 1e7. Raises InputError; the message begins with `label`.

    >>> import jax.numpy as jnp
    >>> inspect_callable(lambda x: jnp.clip(x, -1, 1), "clip").kinks
    (-1.0, 1.0)
    >>> inspect_callable(lambda x: jnp.clip(x, -1e-4, 300), "clip").kinks
    (-0.0001, 300.0)
    """
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), np.errstate(over="ignore", invalid="ignore"):
        check_traceable(fn, label, params or {})
        _check_elementwise(partial(fn, **params or {}), label)
        both = Elementwise(fn, params or {})
        value, slope = (lambda x: both(x)[0]), (lambda x: both(x)[1])
        kinks = _merge(_irregular(value) + _irregular(slope))
        if len(kinks) > _MOST:
            raise InputError(f"{label}: more than {_MOST} kinks found; declare them with mf.Activation(fn, kinks=...)")
        steps = tuple(_jumps(value, k) or _is_steep(slope, k) for k in kinks)
        return Found(tuple(map(float, kinks)), tuple(map(bool, steps)), min(_scale(slope), _apart(kinks)))


def _check_elementwise(fn: Callable, label: str) -> None:
    x, carried_out = np.linspace(-3.0, 3.0, 7), evaluated(fn)
    try:
        y, square = carried_out(x), carried_out(np.stack([x, x[::-1]]))
        alone = [carried_out(v[None])[0] for v in x] if np.shape(y) == x.shape else []
    except InputError:
        raise
    except Exception as error:  # whatever a user's function raises becomes one line
        raise InputError(f"{label} fails on an array: {first_line(error)}; it must map arrays elementwise") from None
    if np.shape(y) != x.shape or np.shape(square) != (2, 7):
        raise InputError(f"{label} is not elementwise: it maps shape (7,) to {np.shape(y)}")
    if np.iscomplexobj(y) or not np.all(np.isfinite(y)):
        raise InputError(f"{label} returns NaN, inf or complex values on [-3, 3]; it must be finite and real there")
    same = partial(np.allclose, rtol=1e-6, atol=1e-9)
    if not (same(alone, y) and same(square, [y, y[::-1]])):
        raise InputError(f"{label} is not elementwise: a value depends on its neighbours in the array")
    far = np.append(0.0, np.sort(np.concatenate([g[np.abs(g) < _DEFINED] for g in _grids()])))
    with np.errstate(all="ignore"):
        lost = far[np.isnan(carried_out(far))]
    if lost.size:
        raise InputError(
            f"{label} is NaN at x = {lost[np.argmin(np.abs(lost))]:.4g}, where a Gaussian reaches; define it there, as "
            "jnp.where does"
        )


def _grids() -> list[np.ndarray]:
    """The grids searched for kinks, each ascending."""
    # The offset keeps grid points off the round numbers where kinks usually are.
    even = [np.arange(-reach, reach, step) + 0.37 * step for reach, step in _EVEN]
    away = np.exp(np.arange(np.log(_NEAREST), np.log(_REACH), _RATIO) + 0.37 * _RATIO)
    return [*even, away, -away[::-1]]


def _irregular(g: Callable) -> list[float]:
    """Points where second differences of g stand out."""
    grids, found = _grids(), []
    # All at once: one program.
    ends = np.cumsum([x.size for x in grids])[:-1]
    for x, y in zip(grids, np.split(g(np.concatenate(grids)), ends), strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            bend = np.abs(y[2:] - 2 * y[1:-1] + y[:-2])
            level = 1e-9 * (1 + np.abs(y[1:-1]))
            bend = np.where(np.isfinite(bend), bend, 0.0)
            # A kink lights up two neighbouring differences; compare with those three to eight steps away.
            near = np.maximum.reduce([np.roll(bend, s) for s in (-8, -6, -4, -3, 3, 4, 6, 8)])
            alone = (bend > 6 * near + level) & (bend >= np.roll(bend, 1)) & (bend >= np.roll(bend, -1))
            found += [_refine(g, x[i], x[i + 2]) for i in np.flatnonzero(alone)]
    return [k for k in found if k is not None]


def _refine(g: Callable, lo: float, hi: float) -> float | None:
    """Locate the sharpest bend of g in [lo, hi]; None if it fades under refinement, as a smooth one does."""
    first = None
    for _ in range(12):
        x = np.linspace(lo, hi, 17)
        y = g(x)
        bend = np.abs(y[2:] - 2 * y[1:-1] + y[:-2])
        i = int(np.argmax(bend))
        if bend[i] <= 64 * np.finfo(float).eps * (1 + np.abs(y).max()):
            break
        if first is None:
            first = bend[i]
        # A curvature jump's bend falls with the step (8 times here), a smooth one's with its square (64 times).
        elif bend[i] < first / 24:
            return None
        else:
            first = bend[i]
        lo, hi = x[max(i - 0, 0)], x[min(i + 2, 16)]
    return None if first is None else (lo + hi) / 2


def _merge(candidates: list[float]) -> list[float]:
    """One position per kink, snapped to a short decimal within a millionth of it."""
    merged: list[float] = []
    for k in sorted(candidates):
        short = round(k, 4) if abs(k) >= 0.1 or abs(k) < _NEAREST / 10 else float(f"{k:.4g}")
        k = short + 0.0 if abs(k - short) < 1e-6 * min(1.0, max(abs(k), _NEAREST)) else k
        if not merged or k - merged[-1] > 4e-6 * min(1.0, max(abs(k), _NEAREST)):
            merged.append(k)
    return merged


def _jumps(value: Callable, k: float) -> bool:
    """Whether the function itself jumps at k: by as much from close by as from further away, which no power does."""
    aside = np.array([[1e-7], [1e-5]]) * max(1.0, abs(k))
    at = value(k + aside * np.array([-2.0, -1.0, 1.0, 2.0]))
    # Continuous slopes are subtracted: extrapolate both sides to k.
    near, far = np.abs((2 * at[:, 2] - at[:, 3]) - (2 * at[:, 1] - at[:, 0]))
    return bool(near > 1e-6 * (1 + np.abs(at[0]).max()) and near > 0.9 * far)


def _is_steep(slope: Callable, k: float) -> bool:
    """Whether E[phi'^2] is infinite since phi rises as |x - k|^p with p <= 1/2."""
    a = np.array([1e-6, 1e-8]) * abs(k) if k else np.array([1e-8, 1e-12])
    with np.errstate(invalid="ignore", over="ignore"):
        far, near = (slope(k + a) ** 2 + slope(k - a) ** 2) * a
    return bool(near > 0.99 * far)


def _apart(kinks: list[float]) -> float:
    """The shortest distance between kinks, or from 0 to a kink."""
    lengths = np.append(np.abs(kinks), np.diff(kinks))
    return float(np.min(lengths[lengths > 0], initial=1.0))


def _scale(slope: Callable) -> float:
    """max|phi'| / max|phi''|, at most 1: the shortest length over which phi bends smoothly."""
    x = np.linspace(-4.0, 4.0, 2001) + 1e-4
    y = slope(x)
    curvature = np.abs(np.diff(y)) / (x[1] - x[0])
    curvature = curvature[np.isfinite(curvature)]
    # Kinks make isolated spikes; the 99th percentile belongs to the smooth part.
    bend = float(np.quantile(curvature, 0.99)) if curvature.size else 0.0
    size = float(np.nanmax(np.abs(y)))
    return float(np.clip(size / bend, 1e-3, 1.0)) if bend > 0 and np.isfinite(size) else 1.0
