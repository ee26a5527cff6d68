"""Reads the operations of a traced program: which of them depend on which of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

_WRAPPERS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr",
             "custom_vjp_call": "call_jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr", "remat": "jaxpr"}  # fmt: skip
"""Operations that only wrap a program, and the parameter that holds it."""


class Operation(NamedTuple):
    """One operation: its equation, and for each operand and for the result whether it depends on the chosen inputs."""

    equation: Any
    operands: tuple[bool, ...]
    result: bool

    @property
    def name(self) -> str:
        """The name of the primitive."""
        return self.equation.primitive.name


def wrapped_program(equation: Any) -> Any:
    """The program (a jaxpr, closed or not) that an operation only wraps; None for any other operation."""
    return equation.params.get(_WRAPPERS.get(equation.primitive.name, ""))


def operations(program: Any, chosen: Sequence[bool]) -> Iterator[Operation]:
    """Every operation of a program, wrapped ones instead of their wrappers, in order.

    `chosen` says for each input whether dependence on it is followed. It is followed through numbers, not through the
    outcome of a comparison.

    >>> import jax
    >>> program = jax.make_jaxpr(lambda x, a: jnp.sin(x) * a)(1.0, 2.0)
    >>> [(found.name, found.result) for found in operations(program, [False, True])]
    [('sin', False), ('mul', True)]
    """
    yield from _walk(program, list(chosen), [])


def _walk(program: Any, chosen: list[bool], results: list[bool]) -> Iterator[Operation]:
    """`operations`; `results` receives whether each output depends on the chosen inputs."""
    jaxpr = getattr(program, "jaxpr", program)
    known: dict[Any, bool] = dict(zip(jaxpr.invars, chosen, strict=True))

    def depends(atom: Any) -> bool:
        return not hasattr(atom, "val") and known.get(atom, False)

    for equation in jaxpr.eqns:
        operands = tuple(depends(atom) for atom in equation.invars)
        inner, found = wrapped_program(equation), []
        if inner is not None:
            yield from _walk(inner, list(operands), found)
        else:
            numbers = [jnp.issubdtype(out.aval.dtype, jnp.inexact) for out in equation.outvars]
            found = [any(operands) and number for number in numbers]
            yield Operation(equation, operands, any(found))
        known.update(zip(equation.outvars, found, strict=True))
    results += [depends(atom) for atom in jaxpr.outvars]
