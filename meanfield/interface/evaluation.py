"""Evaluate a JAX function without compiling it: trace it once, then let NumPy run its operations one by one.

XLA's CPU backend takes about 35 ms to compile a fused kernel, whatever its content, and a solver has a hundred: nine
tenths of a single answer in a fresh process are compilation. Tracing the same solver takes a tenth of a second, and
NumPy then runs it on a few scalars in milliseconds. So one program serves both: `jax.jit` compiles it for grids,
gradients and accelerators, and `evaluated` interprets it for a single call from the host.

`operations` has the NumPy version of each JAX operation; JAX itself runs any operation missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import numpy as np

from .operations import OPERATIONS
from .traced_program import wrapped_program

if TYPE_CHECKING:
    # Importing it takes as long as tracing a solver.
    from jax.extend.core import ClosedJaxpr  # pyright: ignore[reportPrivateImportUsage]

R = TypeVar("R")

Program = tuple[Callable[[Sequence[Any]], list], Any]

_MOST = 256
"""Programs that a function keeps, one for each shape of its arguments."""


def evaluated(compute: Callable[..., R], static: Sequence[str] = ()) -> Callable[..., R]:
    """A function of pytrees of NumPy arrays, run by NumPy; traced once per structure, shape and dtype.

    The keyword arguments named in `static` are static, as in `jax.jit`. Results are NumPy arrays that share memory
    with nothing. Derivatives taken inside `compute` are traced like everything else.

    >>> import jax.numpy as jnp
    >>> float(evaluated(lambda x: jax.grad(jnp.sin)(x))(np.float32(0.0)))
    1.0
    """
    programs: dict[Hashable, Program] = {}

    @wraps(compute)
    def call(*args: Any, **options: Any) -> Any:
        fixed = tuple((name, options.pop(name)) for name in sorted(set(static) & options.keys()))
        leaves, tree = jax.tree.flatten((args, options))
        leaves = [np.asarray(leaf) for leaf in leaves]
        key = tree, fixed, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        program = programs.get(key)
        if program is None:
            if len(programs) >= _MOST:
                programs.clear()
            program = programs[key] = _program(compute, tree, dict(fixed), leaves)
        run, out = program
        with np.errstate(all="ignore"):
            found = run(leaves)
        return jax.tree.unflatten(out, [np.array(value) for value in found])

    return call


def _program(compute: Callable, tree: Any, fixed: dict[str, Any], leaves: list[np.ndarray]) -> Program:
    """`compute` traced on leaves of these shapes, and the structure of its result."""

    def flat(*leaves: Any) -> Any:
        args, options = jax.tree.unflatten(tree, leaves)
        return compute(*args, **options, **fixed)

    traced, shapes = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    return _steps(traced), jax.tree.structure(shapes)


class _Step(NamedTuple):
    """One operation: the function, the memory slots of its operands, and those of its results."""

    act: Callable[..., Any]
    read: list[int]
    write: list[int | None]


class _Open(NamedTuple):
    """A program without constants, wrapped as a program with constants."""

    jaxpr: Any
    consts: tuple = ()


class _Memory:
    """Slots for the values of a program: constants are known, the others are filled in as it runs."""

    def __init__(self) -> None:
        self.initial: list[Any] = []
        self.steps: list[_Step] = []

    def place(self, value: Any = None) -> int:
        self.initial.append(value)
        return len(self.initial) - 1

    def constant(self, value: Any, dtype: Any) -> int:
        return self.place(np.asarray(value, dtype)[()])


def _steps(closed: ClosedJaxpr, wanted: Sequence[bool] | None = None) -> Callable[[Sequence[Any]], list]:
    """A traced program as a function of its flat inputs, pruned to the steps that its (wanted) outputs need."""
    memory = _Memory()
    inputs = [memory.place() for _ in closed.jaxpr.invars]
    outputs = _lay_out(memory, closed, inputs)
    steps = _needed(memory.steps, [o for i, o in enumerate(outputs) if wanted is None or wanted[i]])

    def run(values: Sequence[Any]) -> list:
        held = memory.initial.copy()
        for place, value in zip(inputs, values, strict=True):
            held[place] = value
        for act, read, write in steps:
            found = act(*[held[i] for i in read])
            if len(write) == 1 and not isinstance(found, (tuple, list)):
                held[write[0]] = found  # type: ignore[index]
            else:
                for place, value in zip(write, found, strict=True):
                    if place is not None:
                        held[place] = value
        return [held[i] for i in outputs]

    return run


def _needed(steps: list[_Step], outputs: list[int]) -> list[_Step]:
    """The steps that outputs depend on, in order."""
    live, kept = set(outputs), []
    for step in reversed(steps):
        if any(place in live for place in step.write):
            live.update(step.read)
            kept.append(step)
    return kept[::-1]


def _lay_out(memory: _Memory, closed: ClosedJaxpr, inputs: Sequence[int]) -> list[int]:
    """Append a program's operations to the memory's steps, inlining operations that only wrap others."""
    jaxpr = closed.jaxpr
    place: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
    place |= {v: memory.place(np.asarray(c)) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}

    def of(atom: Any) -> int:
        return memory.constant(atom.val, atom.aval.dtype) if hasattr(atom, "val") else place[atom]

    for eqn in jaxpr.eqns:
        read = [of(atom) for atom in eqn.invars]
        inner = wrapped_program(eqn)
        if inner is not None:
            place |= zip(eqn.outvars, _lay_out(memory, _closed(inner), read), strict=True)
        else:
            write = [memory.place() for _ in eqn.outvars]
            place |= zip(eqn.outvars, write, strict=True)
            memory.steps.append(_Step(_action(eqn), read, write))  # type: ignore[arg-type]
    return [of(atom) for atom in jaxpr.outvars]


def _closed(jaxpr: Any) -> ClosedJaxpr:
    return jaxpr if hasattr(jaxpr, "consts") else _Open(jaxpr)  # type: ignore[return-value]


def _action(eqn: Any) -> Callable[..., Any] | None:
    """The NumPy function for one operation."""
    name, params = eqn.primitive.name, eqn.params
    if name in _CONTROL:
        return _CONTROL[name](eqn)
    if name in OPERATIONS:
        return OPERATIONS[name](params, eqn)
    return _by_jax(eqn)


def _by_jax(eqn: Any) -> Callable[..., Any]:
    """An operation run by JAX itself: correct, but compiled on its own."""

    def act(*values: Any) -> Any:
        found = eqn.primitive.bind(*(jax.numpy.asarray(v) for v in values), **eqn.params)
        return [np.asarray(part) for part in found] if eqn.primitive.multiple_results else np.asarray(found)

    return act


def _while(eqn: Any) -> Callable[..., list]:
    going, body = (_steps(_closed(eqn.params[name])) for name in ("cond_jaxpr", "body_jaxpr"))
    of_going = eqn.params["cond_nconsts"]
    first = of_going + eqn.params["body_nconsts"]

    def act(*values: Any) -> list:
        known, fixed, state = values[:of_going], values[of_going:first], values[first:]
        wanted = going([*known, *state])[0]
        while np.any(wanted):
            following = body([*fixed, *state])
            # In a batch some lanes may have ended: they keep their values.
            state = following if np.ndim(wanted) == 0 else _chosen(wanted, following, state)
            wanted = going([*known, *state])[0]
        return list(state)

    return act


def _chosen(wanted: np.ndarray, following: Sequence[Any], state: Sequence[Any]) -> list:
    def one(new: Any, old: Any) -> np.ndarray:
        return np.where(np.reshape(wanted, wanted.shape + (1,) * (np.ndim(new) - wanted.ndim)), new, old)

    return [one(*pair) for pair in zip(following, state, strict=True)]


def _cond(eqn: Any) -> Callable[..., list]:
    branches = [_steps(_closed(branch)) for branch in eqn.params["branches"]]
    last = len(branches) - 1
    return lambda which, *values: branches[min(max(int(which), 0), last)](values)


def _axes(variable: Any) -> int:
    return len(variable.aval.shape)


def _scan(eqn: Any) -> Callable[..., list]:
    closed, length = _closed(eqn.params["jaxpr"]), eqn.params["length"]
    body = _steps(closed)
    # Scanned-over values have one more axis outside the loop than inside.
    stacked = [_axes(o) > _axes(i) for o, i in zip(eqn.outvars, closed.jaxpr.outvars, strict=True)]
    rows = [_axes(o) > _axes(i) for o, i in zip(eqn.invars, closed.jaxpr.invars, strict=True)]
    carried, columns = len(stacked) - sum(stacked), len(rows) - sum(rows)
    order = range(length - 1, -1, -1) if eqn.params["reverse"] else range(length)
    empty = [(o.aval.shape, o.aval.dtype) for o in eqn.outvars[carried:]]

    def act(*values: Any) -> list:
        fixed, state, over = values[: columns - carried], values[columns - carried : columns], values[columns:]
        found = [np.empty(*kind) for kind in empty]
        for i in order:
            out = body([*fixed, *state, *(a[i] for a in over)])
            state = out[:carried]
            for into, value in zip(found, out[carried:], strict=True):
                into[i] = value
        return [*state, *found]

    return act


_CONTROL: dict[str, Callable[[Any], Callable[..., list]]] = {"while": _while, "cond": _cond, "scan": _scan}
