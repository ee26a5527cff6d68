"""Control flow that runs in Python on concrete values and in XLA under a trace.

A call from the host strings together small compiled kernels that do not depend on the activation (geometry of rules,
reductions) and the activation itself, which is all that a new activation has to compile. Under the caller's own jit or
vmap the same code is traced as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def is_traced(tree: Any) -> bool:
    """Whether any leaf of a pytree is being traced by a JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def branch(condition: Array, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """yes() or no(), whichever a scalar condition says; under a trace lax.cond."""
    if is_traced(condition):
        return lax.cond(condition, yes, no)
    return yes() if bool(condition) else no()


def repeat_while(unfinished: Callable[[Any], Array], step: Callable[[Any], Any], state: Any) -> Any:
    """step applied while unfinished(state), a scalar; under a trace lax.while_loop."""
    if is_traced(state) or is_traced(unfinished(state)):
        return lax.while_loop(unfinished, step, state)
    while bool(unfinished(state)):
        state = step(state)
        if is_traced(state):
            # step closes over traced values: start again inside XLA, from what was reached.
            return lax.while_loop(unfinished, step, state)
    return state


def map_rows(f: Callable, rows: Any) -> Any:
    """f on every row in turn, stacked, one row's memory at a time; under a trace lax.map."""
    probe = f(jax.tree.map(lambda a: a[0], rows)) if not is_traced(rows) else None
    if probe is None or is_traced(probe):
        return lax.map(f, rows)
    count = len(jax.tree.leaves(rows)[0])
    rest = [f(jax.tree.map(lambda a, i=i: a[i], rows)) for i in range(1, count)]
    return jax.tree.map(lambda *parts: jnp.stack(parts), probe, *rest)


def scan_steps(step: Callable[[Any], tuple[Any, Any]], state: Any, count: int) -> Any:
    """The outputs of `count` steps state -> (state, output), stacked; under a trace lax.scan.

    A state that has stopped changing ends the work: the rest repeats its output.
    """
    if not is_traced(state):
        after, output = step(state)
        if not is_traced((after, output)):
            return _scan_concrete(step, state, after, output, count)
    return lax.scan(lambda carry, _: step(carry), state, length=count)[1]


def _scan_concrete(step: Callable, state: Any, after: Any, output: Any, count: int) -> Any:
    outputs = [output]
    while len(outputs) < count:
        if _same(state, after):
            outputs += [outputs[-1]] * (count - len(outputs))
            break
        state = after
        after, output = step(state)
        outputs.append(output)
    return jax.tree.map(lambda *parts: jnp.stack(parts), *outputs)


def _same(before: Any, after: Any) -> bool:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return all(bool((a == b) | (jnp.isnan(a) & jnp.isnan(b))) for a, b in pairs)
