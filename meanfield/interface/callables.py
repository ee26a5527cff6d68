"""A user's callable, made into a function of x and named numbers, and refused in one line where it is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, shown
from .arguments import finite_number
from .precision import is_traced
from .traced_program import operations

_STAND_IN = 0.377
"""Parameters that are traced have no value while kinks are looked for; any number serves that is not a round one."""
_SMOOTH = frozenset(
    [
        "add",
        "add_any",
        "sub",
        "mul",
        "div",
        "neg",
        "integer_pow",
        "square",
        "sqrt",
        "rsqrt",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "logistic",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "atan",
        "erf",
        "erfc",
        "convert_element_type",
        "broadcast_in_dim",
        "reshape",
        "squeeze",
        "expand_dims",
        "transpose",
        "copy",
        "copy_p",
        "dot_general",
        "reduce_sum",
        "concatenate",
        "stack",
        "slice",
        "gather",
        "dynamic_slice",
        "stop_gradient",
    ]
)
"""Operations that add no kink."""


class Rebuilt:
    """The function of (x, **numbers) that a callable pytree defines, whose leaves are the numbers."""

    def __init__(self, example: Any) -> None:
        self._example = example
        found, self._tree = jax.tree_util.tree_flatten_with_path(example)
        self._names = tuple(jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found)
        self._fixed = tuple(None if _is_number(leaf) else leaf for _, leaf in found)
        self.numbers = {name: leaf for name, (_, leaf) in zip(self._names, found, strict=True) if _is_number(leaf)}
        self._key = self._tree, self._fixed

    def __call__(self, x: Any, **numbers: Any) -> Any:
        leaves = [numbers.get(name, fixed) for name, fixed in zip(self._names, self._fixed, strict=True)]
        return jax.tree.unflatten(self._tree, leaves)(x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rebuilt) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple:
        return Rebuilt, (self._example,)


class WithFlags:
    """A function with some of its keywords fixed to truth values: equal where function and values are."""

    def __init__(self, fn: Callable, flags: tuple[tuple[str, bool], ...]) -> None:
        self._fn, self._flags = fn, flags

    def __call__(self, x: Any, **numbers: Any) -> Any:
        return self._fn(x, **dict(self._flags), **numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithFlags) and (self._fn, self._flags) == (other._fn, other._flags)

    def __hash__(self) -> int:
        return hash((self._fn, self._flags))


def opened(fn: Callable, label: str, given: dict[str, Any]) -> tuple[Callable, dict[str, Any]]:
    """A hashable function of (x, **numbers), and the numbers: the keywords given, and the leaves of a callable pytree.

    InputError for a keyword that the callable does not take or that is no number, and for one that is missing.

    >>> opened(lambda x, a: a * x, "activation=f", {"a": 2.0})[1]
    {'a': 2.0}
    """
    if isinstance(fn, type):
        raise InputError(f"{label} is a class; give an instance of it")
    own: dict[str, Any] = {}
    if not jax.tree_util.all_leaves([fn]):
        fn = _as_pytree(fn, label)
        own = fn.numbers
        _demand_names(label, given, [], list(own))
    else:
        _demand_names(label, given, *_signature(fn))
    flags = tuple(sorted((name, value) for name, value in given.items() if _is_flag(fn, name, value)))
    fn = WithFlags(fn, flags) if flags else fn
    numbers = own | {name: value for name, value in given.items() if name not in dict(flags)}
    for name, value in given.items():
        if name in numbers:
            number(name, value)
    return hashable(fn, label), numbers


def number(name: str, value: Any) -> Any:
    """A parameter of an activation: finite, a number or an array of them, or traced.

    >>> number("slope", 0.2)
    0.2
    """
    return finite_number(name, value, single=False)


def hashable(fn: Callable, label: str) -> Callable:
    """fn itself; InputError if it has no hash, by which functions that are compiled once are told apart."""
    try:
        hash(fn)
    except TypeError:
        raise InputError(f"{label} is not hashable; give a function, or an instance of a frozen dataclass") from None
    return fn


def _as_pytree(fn: Callable, label: str) -> Rebuilt:
    try:
        return Rebuilt(fn)
    except Exception as error:  # a stranger's flattening may raise anything
        raise InputError(f"{label} cannot be taken apart as a pytree: {first_line(error)}; give a function") from None


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, (bool, np.bool_)):
        return False
    if isinstance(leaf, (int, float)) or is_traced(leaf):
        return True
    return isinstance(leaf, (np.ndarray, np.generic, jax.Array)) and jnp.issubdtype(leaf.dtype, jnp.number)


def _signature(fn: Callable) -> tuple[list[str], list[str] | None]:
    """The keywords that a function needs beside x, and all that it takes; None where it takes any or does not say."""
    try:
        taken = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return [], None
    beside = [p for p in taken[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if taken and taken[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY):
        beside = [p for p in taken if p.kind is p.KEYWORD_ONLY]
    needed = [p.name for p in beside if p.default is p.empty]
    return needed, None if any(p.kind is p.VAR_KEYWORD for p in taken) else [p.name for p in beside]


def _demand_names(label: str, given: dict[str, Any], needed: list[str], known: list[str] | None) -> None:
    missing = [name for name in needed if name not in given]
    if missing:
        raise InputError(f"{label} needs a value for {', '.join(missing)}; pass it as a keyword, {missing[0]}=")
    extra = [name for name in given if known is not None and name not in known]
    if extra:
        raise InputError(
            f"{label} has no parameter {', '.join(extra)}; its parameters: {', '.join(known or []) or 'none'}"
        )


def _is_flag(fn: Callable, name: str, value: Any) -> bool:
    """Whether a keyword is a switch of the function, like `approximate` of jax.nn.gelu."""
    if not isinstance(value, bool):
        return False
    try:
        return isinstance(inspect.signature(fn).parameters[name].default, bool)
    except (TypeError, ValueError, KeyError):
        return False


def check_traceable(fn: Callable, label: str, params: dict[str, Any]) -> None:
    """InputError unless fn(x, **params) can be traced to one real array in the precision of x; takes milliseconds."""
    example = jax.ShapeDtypeStruct((7,), np.float64)
    try:
        program, shape = jax.make_jaxpr(partial(_called, fn), return_shape=True)(params, example)
    except InputError:
        raise
    except Exception as error:  # whatever a user's function raises becomes one line
        raise InputError(f"{label} {_reason(fn, error, params)}") from None
    found = jax.tree.leaves(shape)
    if len(found) != 1 or not isinstance(shape, jax.ShapeDtypeStruct):
        raise InputError(f"{label} returns {len(found)} arrays in a {type(shape).__name__}; it must return one array")
    dtype = found[0].dtype
    if jnp.issubdtype(dtype, jnp.bool_) or jnp.issubdtype(dtype, jnp.integer):
        raise InputError(f"{label} returns {dtype}; return floats: jnp.where(x > 0, 1., 0.), or .astype(x.dtype)")
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise InputError(f"{label} returns complex numbers; it must be real")
    chosen = [False] * len(jax.tree.leaves(params)) + [True]
    coarse = [op.equation.outvars[0].aval.dtype for op in operations(program, chosen) if op.result and _is_coarse(op)]
    if coarse or _bits(dtype) < 64:
        narrow = coarse[0] if coarse else dtype
        raise InputError(
            f"{label} computes in {narrow}, too coarse for derivatives and kinks to be found; leave out the cast, or "
            "cast to x.dtype"
        )


def _called(fn: Callable, params: dict[str, Any], x: Any) -> Any:
    return fn(x, **params)


def _is_coarse(operation: Any) -> bool:
    return any(_bits(out.aval.dtype) < 64 for out in operation.equation.outvars)


def _bits(dtype: Any) -> int:
    """The width of a floating-point number; integers and truth values count as exact."""
    return jnp.finfo(dtype).bits if jnp.issubdtype(dtype, jnp.floating) else 64


def _reason(fn: Callable, error: Exception, params: dict[str, Any]) -> str:
    """Why a function could not be traced, and what to write instead."""
    if isinstance(fn, np.ufunc):
        return f"is a function of NumPy, which JAX cannot trace; give jnp.{fn.__name__}"
    # On a single number JAX says more clearly what went wrong.
    for cause in (error, _error_at_a_number(fn, params)):
        if isinstance(cause, jax.errors.TracerArrayConversionError):
            return "calls NumPy (or SciPy), which JAX cannot trace; write jnp for np in it"
        if isinstance(cause, jax.errors.TracerBoolConversionError):
            return "decides by the value of x (if, and, or, max, min); write jnp.where(condition, this, that)"
        if isinstance(cause, (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError)):
            return "turns x into a number of Python, as math.tanh and float do; use functions of jax.numpy"
    return f"fails on an array of shape (7,): {first_line(error)}; it must map arrays elementwise"


def _error_at_a_number(fn: Callable, params: dict[str, Any]) -> Exception | None:
    try:
        jax.make_jaxpr(partial(_called, fn))(params, jax.ShapeDtypeStruct((), np.float64))
    except Exception as error:
        return error
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 100 else f"{text[:97]}..."


def stand_ins(fn: Callable, label: str, params: dict[str, Any]) -> dict[str, Any]:
    """Numbers in place of traced parameters, with which fn has the same kinks.

    InputError where kinks move with a parameter, since they are found numerically.
    """
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), np.float32), params)
    try:
        program = jax.make_jaxpr(partial(_called, fn))(shapes, jax.ShapeDtypeStruct((7,), np.float32))
    except Exception as error:  # whatever a user's function raises becomes one line
        raise InputError(f"{label} {_reason(fn, error, shapes)}") from None
    chosen = [True] * len(jax.tree.leaves(params)) + [False]
    for op in operations(program, chosen):
        smooth = op.name in _SMOOTH or (op.name == "select_n" and not op.operands[0])
        if any(op.operands) and not smooth:
            raise InputError(
                f"{label} has traced parameters that may move its kinks ({op.name}), which are found numerically; make "
                "it outside jit, grad and vmap and replace its leaves, or declare mf.Activation(fn, params, kinks)"
            )
    return jax.tree.map(lambda leaf: np.full(np.shape(leaf), _STAND_IN), params)


def check_declared(phi: Any) -> None:
    """InputError unless the fields of an `Activation` made by hand fit each other and its function can be traced."""
    label = f"activation={phi.name}"
    for field, kind in (("params", dict), ("kinks", (tuple, list)), ("steps", (tuple, list)), ("name", str)):
        if not isinstance(getattr(phi, field), kind):
            wanted = {"params": "dictionary {name: number}", "name": "string"}.get(field, "tuple, like (0.0,)")
            raise InputError(f"{shown(field, getattr(phi, field))} of {label} must be a {wanted}")
    if is_traced((phi.params, phi.kinks)):
        return
    kinks = [float(number("kinks", kink)) for kink in phi.kinks if np.ndim(kink) == 0]
    if kinks != sorted(kinks):
        raise InputError(f"{shown('kinks', tuple(phi.kinks))} of {label} must ascend; sort them")
    if len(phi.steps) != len(phi.kinks) or not all(isinstance(step, (bool, np.bool_)) for step in phi.steps):
        raise InputError(f"{shown('steps', phi.steps)} of {label} must be a truth value for each of its kinks")
    if not (isinstance(phi.scale, (int, float)) and 0 < phi.scale < np.inf):
        raise InputError(f"{shown('scale', phi.scale)} of {label} must be a positive number")
    for name, value in phi.params.items():
        for leaf in jax.tree.leaves(value):
            number(str(name), leaf)
    if phi.closed is None:
        leaves, tree = jax.tree.flatten(phi.params)
        _traced_once(hashable(phi.fn, label), label, tree, tuple(np.shape(leaf) for leaf in leaves))


@lru_cache(maxsize=256)
def _traced_once(fn: Callable, label: str, tree: Any, shapes: tuple) -> None:
    params = jax.tree.unflatten(tree, [np.zeros(shape) for shape in shapes])
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        check_traceable(fn, label, params)
