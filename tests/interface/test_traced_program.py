"""What a traced program's operations depend on."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from meanfield.interface.traced_program import operations


def _names(fn, *args, chosen):
    return [op.name for op in operations(jax.make_jaxpr(fn)(*args), chosen) if any(op.operands)]


def test_wrapped_programs_are_walked_through():
    assert _names(lambda x: jax.jit(jnp.sin)(jax.nn.relu(x)), 1.0, chosen=[True]) == ["max", "sin"]


def test_dependence_is_not_followed_through_comparisons():
    found = _names(lambda x, a: jnp.where(x > 0, a, 2 * a), 1.0, 2.0, chosen=[True, False])
    assert found == ["gt"]
