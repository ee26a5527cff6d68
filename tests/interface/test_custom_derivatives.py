"""Functions whose derivative in JAX is not that of their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meanfield.interface.custom_derivatives import Gradient, Values, has_own_derivative


@jax.custom_jvp
def sign(x):
    return jnp.where(x > 0, 1.0, -1.0)


sign.defjvp(lambda p, t: (sign(*p), t[0] * (jnp.abs(p[0]) < 1)))


@jax.custom_vjp
def rounded(x):
    return jnp.round(x)


rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))


def through(x, a=1.0):
    return x + jax.lax.stop_gradient(a * jnp.sign(x) - x)


@pytest.mark.parametrize("fn", [sign, rounded, through, lambda x: 1e-4 * sign(x), jax.jit(lambda x: jnp.sin(sign(x)))])
def test_a_surrogate_is_found(fn):
    assert has_own_derivative(fn, {})


@pytest.mark.parametrize(
    "fn",
    [jax.nn.relu, jax.nn.softplus, jax.nn.relu6, jax.nn.mish, jax.nn.log_sigmoid, jnp.sinc, jnp.sign, jnp.round,
     jnp.tanh, lambda x: jnp.exp(3 * x), lambda x: jnp.tanh(x) + 3 * jnp.exp(-(((x - 0.777) / 0.003) ** 2))],
)  # fmt: skip
def test_an_exact_rule_is_no_surrogate(fn):
    assert not has_own_derivative(fn, {})


def test_values_have_the_derivative_of_values_and_gradients_that_of_the_rule():
    x = np.array([-2.0, -0.5, 0.25, 3.0])
    for fn, seen in ((sign, [0, 1, 1, 0]), (through, [1, 1, 1, 1]), (rounded, [1, 1, 1, 1])):
        np.testing.assert_allclose(Values(fn)(x), fn(x), atol=1e-7)
        moved = jax.jvp(Values(fn), (jnp.asarray(x),), (jnp.ones(4),))[1]
        np.testing.assert_array_equal(moved, np.zeros(4))
        np.testing.assert_array_equal(Values(Gradient(fn))(x), seen)
    assert Values(sign) == Values(sign) and Values(sign) != Values(through)
    np.testing.assert_allclose(Values(through)(x, a=2.0), through(x, a=2.0), atol=1e-7)
