"""Activations as users type them, and the kinks found in them."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.gaussian.moments import moments
from meanfield.gaussian.named import NAMED

# jax.nn writes these alike; gelu there is the tanh form by default.
JAX = {
    **{name: getattr(jax.nn, name) for name in ("relu", "relu6", "elu", "celu", "selu", "silu", "softplus", "sigmoid")},
    **{name: getattr(jax.nn, name) for name in ("hard_tanh", "hard_swish", "hard_sigmoid", "mish", "leaky_relu")},
    **{"tanh": jnp.tanh, "softsign": jax.nn.soft_sign, "gelu_tanh": jax.nn.gelu},
}


@pytest.mark.parametrize("name", sorted(JAX))
def test_names_are_what_jax_says(name):
    x = jnp.linspace(-7.0, 7.0, 141)
    np.testing.assert_allclose(mf.activation(name)(x), JAX[name](x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_declared_kinks_are_where_the_function_bends(name):
    declared = mf.activation(name)
    with jax.enable_x64(True):
        found = mf.activation(lambda x: declared(x))
    assert set(found.kinks) <= {float(k) for k in declared.kinks}
    assert {float(k) for k, step in zip(declared.kinks, declared.steps, strict=True) if step} == {
        k for k, step in zip(found.kinks, found.steps, strict=True) if step
    }


@pytest.mark.parametrize(
    ("fn", "kinks", "steps"),
    [
        (lambda x: jnp.clip(x, -1, 1), (-1.0, 1.0), (False, False)),
        (lambda x: jnp.where(jnp.abs(x) > 0.5, x, 0.0), (-0.5, 0.5), (True, True)),
        (lambda x: jnp.maximum(x, 0) + jnp.maximum(x - 0.05, 0), (0.0, 0.05), (False, False)),
        (jnp.tanh, (), ()),
        (lambda x: jnp.exp(-50 * x**2), (), ()),
        (lambda x: jnp.clip(x, 0.3, 0.31), (0.3, 0.31), (False, False)),
        (lambda x: jnp.clip(x, -1e-6, 1e5), (-1e-6, 1e5), (False, False)),
        (lambda x: jnp.where(x > 100, x - 100, 0.0), (100.0,), (False,)),
        (lambda x: jnp.sin(3 * x), (), ()),
        (lambda x: jnp.sqrt(jnp.abs(x)), (0.0,), (True,)),
        (lambda x: jnp.abs(x) ** 0.75, (0.0,), (False,)),
    ],
    ids=[
        "hard_tanh",
        "hard_shrink",
        "two near each other",
        "tanh",
        "a narrow bump",
        "two nearer",
        "tiny and large",
        "far",
        "waves",
        "an infinite slope",
        "a slope whose square has a mean",
    ],
)
def test_kinks_are_found(fn, kinks, steps):
    found = mf.activation(fn)
    assert found.kinks == pytest.approx(kinks, rel=1e-6, abs=1e-8) and found.steps == steps


@pytest.mark.parametrize(("text", "slope"), [("tanh(20*(x-1))", None), ("sin(10*x)", 50.0), ("sin(50*x)", 1250.0)])
def test_what_varies_fast_is_followed(text, slope):
    if slope is None:
        z, step = np.linspace(-9, 9, 200_001, retstep=True)
        with np.errstate(over="ignore"):
            slopes = (20 / np.cosh(20 * (np.sqrt(1.7) * z - 1)) ** 2) ** 2
        slope = np.sum(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * slopes) * step
    with jax.enable_x64(True):
        found = float(moments(mf.activation(text), jnp.float64(1.7)).slope)
    assert found == pytest.approx(slope, rel=1e-11)


def test_an_expression_is_its_function():
    phi = mf.activation("where(x > 0, x, a * (exp(x) - 1))", a=0.5)
    x = jnp.linspace(-3, 3, 31)
    np.testing.assert_allclose(phi(x), mf.activation("elu", alpha=0.5)(x), rtol=1e-5, atol=1e-6)
    assert phi.kinks == (0.0,) and mf.activation("tanh(2 * x) + 0.1 * x ** 2").kinks == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("tanhh", "did you mean 'tanh'"),
        ("x.__class__", "not allowed"),
        ("open(x)", "not a known function"),
        ("(lambda y: y)(x)", "not a known function"),
        ("x if x > 0 else 0", "not allowed"),
        ("[x][0]", "not allowed"),
        ("x + 'a'", "not allowed"),
        ("a * x", "needs a value for a"),
        ("2 + 3", "does not contain x"),
        ("x +", "not an expression"),
        ("min(x)", "two or more"),
        ("x" + "+x" * 400, "characters"),
        (3.0, "activation=3.0"),
        (lambda x: x.sum(), "not elementwise"),
        (lambda x: x - x.mean(), "depends on its neighbours"),
        (lambda x: jnp.log(x), "NaN"),
        (lambda x: x.no_such, "fails"),
    ],
)
def test_what_is_no_activation(given, says):
    with pytest.raises(InputError) as caught:
        mf.activation(given)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_parameters():
    assert float(mf.Activation.leaky_relu(0.2)(jnp.array(-1.0))) == pytest.approx(-0.2)
    with pytest.raises(InputError, match="no parameter"):
        mf.activation("tanh", slope=1.0)
    with pytest.raises(InputError, match="no parameter b"):
        mf.activation("a * x", a=1.0, b=2.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x+10**10**10", "not a finite real number"),
        ("(-1)**0.5*x", "not a finite real number"),
        ("x*(1/(1-1))", "not a finite real number"),
        ("x*" + "9" * 400, "not a finite real number"),
        ("-" * 100 + "x", "nested more than"),
    ],
)
def test_constants_of_an_expression_are_finite_floats(text: str, says: str) -> None:
    with pytest.raises(mf.InputError, match=says):
        mf.activation(text)


def test_an_expression_is_equal_by_its_text_and_can_be_pickled() -> None:
    block = mf.MLP("where(x > 0, x, .2*x)", 1.0, 0.1)
    assert pickle.loads(pickle.dumps(block)) == block == copy.deepcopy(block)


@pytest.mark.parametrize("fn", [lambda x: jnp.where(x > 5, jnp.nan, jnp.tanh(x)), lambda x: x * jnp.log(jnp.abs(x))])
def test_nan_where_a_gaussian_reaches_is_an_error_that_says_where(fn) -> None:
    with pytest.raises(mf.InputError, match="NaN"):
        mf.activation(fn)
