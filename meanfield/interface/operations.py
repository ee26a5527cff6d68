"""The NumPy version of each elementary JAX operation; see `evaluation`.

Each entry takes an operation's parameters once and returns the function to apply to its operands. NumPy's floating
point is IEEE, like XLA's; elementary functions may differ in the last digit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Act = Callable[..., Any]


def _special(name: str) -> Act:
    """A SciPy function, imported on first use."""

    def act(*values: Any) -> Any:
        from scipy import special

        return getattr(special, name)(*values)

    return act


def _divide(a: Any, b: Any) -> Any:
    if np.issubdtype(np.result_type(a), np.integer):
        # Towards zero, as in C.
        return (np.sign(a) * np.sign(b)) * (np.abs(a) // np.abs(b))
    return np.divide(a, b)


def _rsqrt(x: Any) -> Any:
    return 1 / np.sqrt(x)


def _same(x: Any) -> Any:
    return x


def _round(x: Any, to_even: bool) -> Any:
    return np.rint(x) if to_even else np.trunc(x + np.copysign(0.5, x))


_ELEMENTWISE: dict[str, Act] = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": _divide, "rem": np.fmod,
    "pow": np.power, "max": np.maximum, "min": np.minimum, "atan2": np.arctan2, "nextafter": np.nextafter,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "square": np.square, "sqrt": np.sqrt, "rsqrt": _rsqrt,
    "cbrt": np.cbrt, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite, "copy": _same, "copy_p": _same,
    "stop_gradient": _same, "logistic": _special("expit"), "erf": _special("erf"), "erfc": _special("erfc"),
    "erf_inv": _special("erfinv"), "lgamma": _special("gammaln"), "digamma": _special("digamma"),
}  # fmt: skip


def _reduction(reduce: Callable[..., Any]) -> Callable[[dict, Any], Act]:
    return lambda params, eqn: partial(_reduced, reduce, tuple(int(axis) for axis in params["axes"]))


def _reduced(reduce: Callable[..., Any], axes: tuple[int, ...], x: Any) -> Any:
    # NumPy sums contiguous data pairwise, so that rounding does not grow with the count.
    return reduce(x, axis=axes)


def _argument(find: Callable[..., Any]) -> Callable[[dict, Any], Act]:
    def bound(params: dict, eqn: Any) -> Act:
        (axis,), dtype = params["axes"], params["index_dtype"]
        return lambda x: np.asarray(find(x, axis=int(axis))).astype(dtype)

    return bound


def _cumulative(function: np.ufunc) -> Callable[[dict, Any], Act]:
    def bound(params: dict, eqn: Any) -> Act:
        axis, reverse = params["axis"], params["reverse"]

        def act(x: Any) -> Any:
            if not reverse:
                return function.accumulate(x, axis)
            return np.flip(function.accumulate(np.flip(x, axis), axis), axis)

        return act

    return bound


def _select(which: Any, *cases: Any) -> Any:
    if np.asarray(which).dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.select([which == i for i in range(len(cases))], cases)


def _broadcast(params: dict, eqn: Any) -> Act:
    shape, axes = params["shape"], params["broadcast_dimensions"]

    def act(x: Any, *_: Any) -> Any:
        spread = [1] * len(shape)
        for axis, size in zip(axes, np.shape(x), strict=True):
            spread[axis] = size
        return np.broadcast_to(np.reshape(x, spread), shape)

    return act


def _slice(params: dict, eqn: Any) -> Act:
    starts, limits = params["start_indices"], params["limit_indices"]
    steps = params["strides"] or (1,) * len(starts)
    where = tuple(slice(*ends) for ends in zip(starts, limits, steps, strict=True))
    return lambda x: x[where]


def _dynamic_slice(params: dict, eqn: Any) -> Act:
    sizes = params["slice_sizes"]
    return lambda x, *starts: x[_window(np.shape(x), starts, sizes)]


def _dynamic_update_slice(params: dict, eqn: Any) -> Act:
    def act(x: Any, update: Any, *starts: Any) -> Any:
        changed = np.array(x)
        changed[_window(changed.shape, starts, np.shape(update))] = update
        return changed

    return act


def _window(shape: tuple[int, ...], starts: Any, sizes: tuple[int, ...]) -> tuple[slice, ...]:
    # A window that would overrun the end is moved inside.
    first = [min(max(int(s), 0), n - size) for s, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(s, s + size) for s, size in zip(first, sizes, strict=True))


def _pad(params: dict, eqn: Any) -> Act | None:
    config = params["padding_config"]

    def act(x: Any, value: Any) -> Any:
        shape = [lo + hi + n + max(n - 1, 0) * inner for n, (lo, hi, inner) in zip(np.shape(x), config, strict=True)]
        whole = np.full([n + max(-lo, 0) + max(-hi, 0) for n, (lo, hi, _) in zip(shape, config, strict=True)], value)
        into = tuple(slice(max(lo, 0), max(lo, 0) + max((n - 1) * (inner + 1) + 1, 0), inner + 1)
                     for n, (lo, _, inner) in zip(np.shape(x), config, strict=True))  # fmt: skip
        whole[into] = x
        return whole[tuple(slice(max(-lo, 0), max(-lo, 0) + n) for n, (lo, _, _) in zip(shape, config, strict=True))]

    return act


def _sort(params: dict, eqn: Any) -> Act:
    axis, keys = params["dimension"], params["num_keys"]

    def act(*columns: Any) -> list:
        if len(columns) == 1:
            return [np.sort(columns[0], axis)]
        order = np.lexsort(columns[:keys][::-1], axis) if keys > 1 else np.argsort(columns[0], axis, kind="stable")
        return [np.take_along_axis(column, order, axis) for column in columns]

    return act


def _dot(params: dict, eqn: Any) -> Act:
    (over_a, over_b), (batch_a, batch_b) = params["dimension_numbers"]

    def act(a: Any, b: Any) -> Any:
        if not batch_a:
            return np.tensordot(a, b, (over_a, over_b))
        of_a, of_b = list(range(np.ndim(a))), [np.ndim(a) + i for i in range(np.ndim(b))]
        for i, j in zip((*batch_a, *over_a), (*batch_b, *over_b), strict=True):
            of_b[j] = of_a[i]
        free = [n for i, n in enumerate(of_a) if i not in (*batch_a, *over_a)]
        free += [n for j, n in enumerate(of_b) if j not in (*batch_b, *over_b)]
        return np.einsum(a, of_a, b, of_b, [of_a[i] for i in batch_a] + free, optimize=True)

    return act


def _gather(params: dict, eqn: Any) -> Act:
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    fills = "FILL" in str(params["mode"])
    gone = {*map(int, numbers.collapsed_slice_dims), *map(int, numbers.operand_batching_dims)}
    window = [axis for axis in range(len(sizes)) if axis not in gone]
    offsets = [int(axis) for axis in numbers.offset_dims]
    ndim = len(eqn.outvars[0].aval.shape)
    batch = [axis for axis in range(ndim) if axis not in offsets]

    def spread(values: Any, axes: list[int]) -> Any:
        """An array broadcast along some axes of the result."""
        shape = [1] * ndim
        for axis, size in zip(axes, np.shape(values), strict=True):
            shape[axis] = size
        return np.reshape(values, shape)

    def act(x: Any, indices: Any) -> Any:
        index, inside = [], np.asarray(True)
        for axis, size in enumerate(sizes):
            at: Any = np.zeros((1,) * ndim, np.intp)
            if axis in numbers.start_index_map:
                start = spread(indices[..., list(numbers.start_index_map).index(axis)].astype(np.intp), batch)
                last = np.shape(x)[axis] - size
                inside = inside & (start >= 0) & (start <= last)
                at = at + np.clip(start, 0, last)
            if axis in numbers.operand_batching_dims:
                place = numbers.start_indices_batching_dims[list(numbers.operand_batching_dims).index(axis)]
                at = at + spread(np.arange(np.shape(x)[axis]), [batch[place]])
            if axis in window:
                at = at + spread(np.arange(size), [offsets[window.index(axis)]])
            index.append(at)
        found = np.broadcast_to(x[tuple(index)], eqn.outvars[0].aval.shape)
        if not fills:
            return found
        nothing = params["fill_value"]
        if nothing is None:
            nothing = np.nan if np.issubdtype(found.dtype, np.floating) else np.iinfo(found.dtype).min
        return np.where(inside, found, nothing).astype(found.dtype)

    return act


def _callback(params: dict, eqn: Any) -> Act:
    # Called directly, so that no array is converted to JAX on the way.
    return params["callback"]


def _split(params: dict, eqn: Any) -> Act:
    ends = np.cumsum([int(size) for size in params["sizes"]])[:-1]
    return lambda x: np.split(x, ends, params["axis"])


def _always(act: Act) -> Callable[[dict, Any], Act | None]:
    return lambda params, eqn: act


OPERATIONS: dict[str, Callable[[dict, Any], Act | None]] = {
    **{name: _always(act) for name, act in _ELEMENTWISE.items()},
    "integer_pow": lambda params, eqn: partial(_power, params["y"]),
    "round": lambda params, eqn: partial(_round, to_even="EVEN" in str(params["rounding_method"])),
    "clamp": lambda params, eqn: lambda lo, x, hi: np.minimum(np.maximum(x, lo), hi),
    "select_n": lambda params, eqn: _select,
    "convert_element_type": lambda params, eqn: lambda x: np.asarray(x).astype(params["new_dtype"])[()],
    "broadcast_in_dim": _broadcast,
    "reshape": lambda params, eqn: lambda x: np.reshape(x, params["new_sizes"]),
    "squeeze": lambda params, eqn: lambda x: np.squeeze(x, tuple(map(int, params["dimensions"]))),
    "expand_dims": lambda params, eqn: lambda x: np.expand_dims(x, tuple(map(int, params["dimensions"]))),
    "transpose": lambda params, eqn: lambda x: np.transpose(x, params["permutation"]),
    "rev": lambda params, eqn: lambda x: np.flip(x, params["dimensions"]),
    "concatenate": lambda params, eqn: lambda *parts: np.concatenate(parts, params["dimension"]),
    "stack": lambda params, eqn: lambda *parts: np.stack(parts, params["axis"]),
    "split": _split,
    "iota": lambda params, eqn: partial(_iota, params),
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "pad": _pad,
    "sort": _sort,
    "dot_general": _dot,
    "reduce_sum": _reduction(np.sum),
    "reduce_prod": _reduction(np.prod),
    "reduce_max": _reduction(np.max),
    "reduce_min": _reduction(np.min),
    "reduce_and": _reduction(np.all),
    "reduce_or": _reduction(np.any),
    "argmax": _argument(np.argmax),
    "argmin": _argument(np.argmin),
    "cumsum": _cumulative(np.add),
    "cumprod": _cumulative(np.multiply),
    "cummax": _cumulative(np.maximum),
    "cummin": _cumulative(np.minimum),
    "pure_callback": _callback,
}
"""name of an operation: (its parameters, its equation) -> what is done to its operands"""


def _power(exponent: int, x: Any) -> Any:
    if exponent == 2:
        return x * x
    return np.power(x, exponent) if exponent >= 0 else 1 / np.power(x, -exponent)


def _iota(params: dict, *_: Any) -> Any:
    axis, shape = params["dimension"], params["shape"]
    along = [n if i == axis else 1 for i, n in enumerate(shape)]
    return np.broadcast_to(np.arange(shape[axis], dtype=params["dtype"]).reshape(along), shape)
