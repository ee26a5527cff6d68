"""Callables as activations: their parameters, and what is refused, in one line and at once."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Swish:
    """x times the sigmoid of beta x."""

    beta: float

    def __call__(self, x):
        return x * jax.nn.sigmoid(self.beta * x)


class NoHash:
    """Compared by value, without a hash."""

    def __eq__(self, other):
        return True

    def __call__(self, x):
        return jnp.tanh(x)


REFUSED = [
    (np.tanh, "give jnp.tanh"),
    (lambda x: np.where(x > 0, x, 0.0), "write jnp for np"),
    (lambda x: math.tanh(x), "use functions of jax.numpy"),
    (lambda x: x if x > 0 else 0 * x, "write jnp.where"),
    (lambda x: max(x, 0.0), "write jnp.where"),
    (lambda x: x > 0, "returns bool; return floats"),
    (lambda x: jnp.where(x > 0, 1, 0), "returns int64; return floats"),
    (lambda x: jnp.tanh(x.astype(jnp.float32)), "computes in float32"),
    (lambda x: jnp.tanh(x.astype(jnp.float16)).astype(x.dtype), "computes in float16"),
    (lambda x: jax.nn.relu(x.astype(jnp.bfloat16)).astype(x.dtype), "computes in bfloat16"),
    (lambda x: jnp.where(x > 0, jnp.float32(1), jnp.float32(0)), "computes in float32"),
    (lambda x: None, "must return one array"),
    (lambda x: (x, x), "must return one array"),
    (lambda x: {"a": x}, "must return one array"),
    (lambda x: "tanh", "fails on an array"),
    (lambda x: 1.0, "not elementwise"),
    (lambda x: 1 / 0, "division by zero"),
    (lambda x: x + 0j, "returns complex numbers"),
    (lambda x, a: a * x, "needs a value for a"),
    (NoHash(), "not hashable"),
    (Swish, "is a class; give an instance"),
    (mf.Activation(np.tanh, name="mine"), "give jnp.tanh"),
    (mf.Activation(jnp.tanh, kinks=(1.0, -1.0)), "must ascend"),
    (mf.Activation(jnp.tanh, kinks=0.0), "must be a tuple"),
    (mf.Activation(jnp.tanh, params=3), "must be a dictionary"),
    (mf.Activation(jnp.tanh, params={"a": 3.0}), "unexpected keyword argument"),
    (mf.Activation(jnp.tanh, kinks=(0.0,), steps=(True, False)), "a truth value for each"),
]


@pytest.mark.parametrize(("phi", "says"), REFUSED, ids=[says[:24] for _, says in REFUSED])
def test_refused_in_one_line_at_once(phi, says):
    start = time.perf_counter()
    with pytest.raises(InputError, match="^[^\n]*$") as error:
        mf.activation(phi)
    assert says in str(error.value)
    # It took up to 200 s, for float16.
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("phi", "params", "says"),
    [
        (jnp.tanh, {"slope": 3}, "tanh has no parameter slope"),
        (lambda x, a: a * x, {"b": 3}, "needs a value for a"),
        (lambda x, a: a * x, {"a": 1.0, "b": 3}, "no parameter b"),
        (lambda x, a: a * x, {"a": "3"}, "a='3' must be a number"),
        (lambda x, a: a * x, {"a": True}, "a=True must be a number"),
        (lambda x, a: a * x, {"a": np.nan}, "a=nan must be finite"),
        (Swish(1.0), {"beta": 2.0, "gamma": 1.0}, "no parameter gamma"),
        (mf.activation("tanh"), {"a": 3}, "made already"),
        ("leaky_relu", {"slope": np.nan}, "slope=nan must be finite"),
        ("leaky_relu", {"slope": [0.1]}, "must be a number"),
        ("a * x", {"a": "0.1"}, "a='0.1' must be a number"),
        ("a * x", {"a": 10**400}, "must be a number"),
        ("a * x", {"a": np.ones(1)}, "has shape"),
    ],
)
def test_keywords_that_are_refused(phi, params, says):
    with pytest.raises(InputError, match="^[^\n]*$") as error:
        mf.activation(phi, **params)
    assert says in str(error.value)


def test_keywords_of_a_callable_are_leaves():
    phi = mf.activation(lambda x, a: jnp.where(x > 0, x, a * x), a=0.3)
    block = mf.MLP(phi, 1.2, 0.2)
    assert mf.leaf(block, "a") == 0.3
    right = mf.fixed_point(mf.MLP(mf.activation("leaky_relu", slope=0.3), 1.2, 0.2))
    np.testing.assert_allclose(mf.fixed_point(block).chi_1, right.chi_1, rtol=1e-12)


def test_a_switch_of_a_function_is_no_leaf():
    phi = mf.activation(jax.nn.gelu, approximate=False)
    assert phi.params == {} and phi.fn == mf.activation(jax.nn.gelu, approximate=False).fn
    x = jnp.linspace(-2, 2, 5)
    np.testing.assert_allclose(phi(x), jax.nn.gelu(x, approximate=False))


def _chi_1(beta):
    return mf.fixed_point(mf.MLP(Swish(beta), 1.2, 0.2)).chi_1


def test_a_registered_dataclass_keeps_its_leaf():
    block = mf.MLP(Swish(1.7), 1.2, 0.2)
    assert mf.leaf(block, "beta") == 1.7
    right = mf.fixed_point(mf.MLP("x / (1 + exp(-1.7 * x))", 1.2, 0.2)).chi_1
    np.testing.assert_allclose(mf.fixed_point(block).chi_1, right, rtol=1e-9)
    slope = (_chi_1(1.7001) - _chi_1(1.6999)) / 2e-4
    found = jax.grad(lambda block: mf.fixed_point(block).chi_1)(jax.tree.map(jnp.float32, block))
    np.testing.assert_allclose(found.blocks[0].phi.params["beta"], slope, rtol=1e-3)
    np.testing.assert_allclose(jax.grad(_chi_1)(1.7), slope, rtol=1e-3)
    assert pickle.loads(pickle.dumps(block)) == block == copy.deepcopy(block)


@pytest.mark.slow
def test_a_registered_dataclass_is_mapped_over():
    found = jax.vmap(_chi_1)(jnp.array([1.0, 1.7]))
    np.testing.assert_allclose(found, [_chi_1(1.0), _chi_1(1.7)], rtol=1e-4)


def test_traced_parameters_that_move_kinks_are_refused():
    with pytest.raises(InputError, match="may move its kinks"):
        jax.vmap(lambda a: mf.activation(lambda x, a: jnp.clip(x, -a, a), a=a)(0.5))(jnp.ones(2))
    with pytest.raises(InputError, match="jumps by what may depend"):
        jax.vmap(lambda a: mf.activation(lambda x, a: jnp.where(x > 0, a, x), a=a)(0.5))(jnp.ones(2))
    # Here the kink stays at 0.
    jax.vmap(lambda a: mf.activation(lambda x, a: jnp.where(x > 0, x, a * x), a=a)(0.5))(jnp.ones(2))
