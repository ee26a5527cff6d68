"""NumPy's moments of one activation against the traced quadrature, the reference, and against differences."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.blocks.hosted import hosted
from meanfield.gaussian.host_activation import host_activation
from meanfield.gaussian.moments import moments
from meanfield.gaussian.pairs import covariance, pair_moments

NAMES = ("tanh", "gelu", "hard_tanh", "selu", "softsign", "relu6", "mish", "squared_relu", "gaussian")
PAIRS = ((1.0, 0.5), (1.0, 1e-3), (1.0, 1e-9), (10.0, 0.3), (0.05, 0.9), (1.0, 1.0), (3e-9, 1.0), (900.0, 0.02))
_pair = jax.jit(pair_moments, static_argnums=4)


@pytest.mark.parametrize("name", (*NAMES, "hard_shrink", "sigmoid"))
def test_moments_are_the_traced_ones(name):
    phi, q = mf.activation(name), np.array([0.0, 1e-40, 1e-20, 1e-6, 0.3, 1.0, 30.0, 1e8])
    with jax.enable_x64(True):
        expected = jax.jit(jax.vmap(lambda q: moments(phi, q)))(q)
    found = host_activation(phi).moments(q)
    size = 1e-14 * np.sqrt(expected.second)  # the mean of an odd function is a sum that cancels
    assert np.all(np.abs(found.mean - expected.mean) <= size + 1e-14 * np.abs(expected.mean))
    for a, b in zip(found[1:3], expected[1:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(found.error, expected.error, rtol=1e-2)
    for a, b in zip(host_activation(phi).sums(q), found, strict=False):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-16)


# Each compiles both rules.
QUICK = ("tanh", "hard_shrink")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in (*NAMES, "hard_shrink")]
)
def test_pairs_are_the_traced_ones(name):
    phi = mf.activation(name)
    own = host_activation(phi)
    for q, e in PAIRS:
        with jax.enable_x64(True):
            expected = _pair(phi, *map(jnp.float64, (q, q, e)), True)
        tolerance = 1e-12 if phi.has_steps else 1e-13
        np.testing.assert_allclose(own.pair(q, q, e), expected, rtol=tolerance, atol=1e-20)
        rough = own.pair(q, q, e, rough=True)
        assert np.allclose(rough, expected, rtol=0.5, atol=1e-20)
    with jax.enable_x64(True):
        expected = _pair(phi, *map(jnp.float64, (0.7, 1.9, 1.3)), False)
    np.testing.assert_allclose(own.pair(0.7, 1.9, 1.3), expected, rtol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_differences(name):
    own, step = host_activation(mf.activation(name)), 1e-3

    def slope(f, x):
        """The central difference of fourth order."""
        h = step * x
        return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)

    for order in (1, 2):
        lower = (lambda q: np.array(own.sums(q))) if order == 1 else (lambda q: np.array(own.derivatives(q, 1)))
        q = np.array([0.2, 1.3, 20.0])
        np.testing.assert_allclose(own.derivatives(q, order), slope(lower, q), rtol=1e-8, atol=1e-11)
    for q, e in ((1.0, 0.5), (1.0, 1e-3), (10.0, 0.3), (0.05, 0.9), (0.4, 1e-5)):
        moved = slope(lambda q, e=e: np.array(own.pair(float(q), float(q), e)), q)
        np.testing.assert_allclose(own.pair_derivatives(q, e), moved, rtol=1e-7, atol=1e-11)
        apart = slope(lambda e, q=q: np.array(own.pair(q, q, float(e))), e)
        second = own.sums(np.array([q]))[1][0]
        assert apart[0] == pytest.approx(q * own.pair(q, q, e).covariance / second, rel=1e-8)
        assert apart[1] == pytest.approx(-q * own.covariance(q, q, e, 2), rel=1e-7, abs=1e-10)


@pytest.mark.slow
def test_derivatives_are_the_traced_ones():
    phi = mf.activation("gelu")
    for q, e in ((1.0, 0.5), (1.0, 1e-4)):
        with jax.enable_x64(True):
            at = [jnp.float64(v) for v in (q, e)]
            traced = jax.jit(jax.jacfwd(lambda q, e: pair_moments(phi, q, q, e, True)))(*at)
            curved = jax.jit(lambda q, e: covariance(phi, q, q, e, 2, True))(*at)
        np.testing.assert_allclose(host_activation(phi).pair_derivatives(q, e), traced, rtol=1e-11)
        np.testing.assert_allclose(host_activation(phi).covariance(q, q, e, 2), curved, rtol=1e-11)


def test_one_for_each_activation_and_parameter():
    first, again = (host_activation(mf.activation("elu", alpha=0.5)) for _ in range(2))
    assert first is again is not host_activation(mf.activation("elu", alpha=0.6))
    assert hosted(mf.activation("relu")).name == "relu"  # closed forms need no help
    assert hosted(mf.activation("tanh")).closed.key != hosted(mf.activation("tanh"), rough=True).closed.key


def test_parameters_may_be_arrays():
    def fn(x, c, d):
        return c[0] * jnp.tanh(x) + c[1] * x + 0 * d["more"]

    phi = mf.Activation(fn, {"c": np.array([1.0, 0.1]), "d": {"more": 2.0}})
    own = host_activation(phi)
    x = np.array([[0.3, -1.0]])
    np.testing.assert_allclose(own(x), np.tanh(x) + 0.1 * x, rtol=1e-14)
    assert own is host_activation(phi)
    assert own is not host_activation(mf.Activation(fn, {"c": np.array([1.0, 0.2]), "d": {"more": 2.0}}))
    assert mf.fixed_point(mf.MLP(phi, 1.2, 0.2)).status == "converged"


def test_no_variances_no_moments():
    assert mf.variance_map(mf.MLP("tanh", 1.7, 0.2), np.zeros((0, 3))).shape == (0, 3)


def test_what_is_returned_is_the_callers_own():
    block, q = mf.Activate("tanh"), np.array([0.5, 1.0])
    for at in (1.0, q):
        first = mf.variance_map(block, at)
        kept = first.copy()
        first[...] = 5.0
        np.testing.assert_array_equal(mf.variance_map(block, at), kept)
    line = mf.edge_of_chaos("tanh", q=q)
    q *= 10
    assert line.q.tolist() == [0.5, 1.0]


@pytest.mark.slow
def test_threads_that_ask_for_one_activation_at_once():
    names = ("tanh", "elu")
    expected = [mf.fixed_point(mf.MLP(name, 1.3, 0.2)).q_star for name in names]

    def ask(i):
        # A new activation object of its own each time: nobody has been asked for it yet.
        phi = mf.activation(names[i % 2])
        fn = lambda x, turn: phi(x) + 0.0 * turn  # noqa: E731
        made = [mf.Activation(fn, {"turn": float(turn)}) for turn in range(3)]
        return [float(mf.fixed_point(mf.MLP(each, 1.3, 0.2)).q_star) for each in made]

    with ThreadPoolExecutor(8) as pool:
        for i, found in enumerate(pool.map(ask, range(16))):
            np.testing.assert_allclose(found, expected[i % 2], rtol=1e-12)


def test_a_singular_slope_gets_every_node():
    def entropy(x):
        return jnp.where(x > 0, x * jnp.log(jnp.where(x > 0, x, 1.0)), 0.0)

    point = mf.fixed_point(mf.MLP(entropy, 1.4, 0.2))
    assert float(point.chi_c) == pytest.approx(0.8316261137926487, rel=1e-9)  # by Hermite coefficients
