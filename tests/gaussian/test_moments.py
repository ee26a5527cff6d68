"""Gaussian moments against closed forms, high precision and each other."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import meanfield as mf
from meanfield.gaussian.moments import moments
from meanfield.gaussian.pairs import pair_moments
from meanfield.gaussian.quadrature import expectation


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def without_closed_forms(name):
    known = mf.activation(name)
    return mf.Activation(known.fn, known.params, known.kinks, steps=known.steps, name=name)


Q = np.array([1e-10, 1e-3, 0.3, 4.0, 250.0, 1e6])


@pytest.mark.parametrize("name", ["linear", "relu", "leaky_relu", "abs", "erf", "step", "sign"])
def test_quadrature_is_the_closed_form(name):
    exact = jax.vmap(partial(moments, mf.activation(name)))(Q)
    summed = jax.jit(jax.vmap(partial(moments, without_closed_forms(name))))(Q)
    tolerance = 1e-7 if name == "erf" else 1e-12  # XLA's own erf is accurate only to 3e-8 relative near 0
    # The mean of an odd function is 0 to the rounding of its own size.
    np.testing.assert_array_less(
        abs(summed.mean - exact.mean), 1e-12 * abs(exact.mean) + 1e-15 * exact.second**0.5 + 1e-300
    )
    np.testing.assert_allclose(summed.second, exact.second, rtol=tolerance)
    np.testing.assert_allclose(summed.slope, exact.slope, rtol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["leaky_relu", "step"])
def test_pairs_are_the_closed_form(name):
    numeric, known = without_closed_forms(name), mf.activation(name)
    for q1, q2, e in ((1.0, 1.0, 0.3), (2.0, 2.0, 1e-9), (0.5, 3.0, 1.4)):
        equal = q1 == q2 and e <= 1
        found = jax.jit(partial(pair_moments, equal=equal))(numeric, *map(jnp.float64, (q1, q2, e)))
        exact = pair_moments(known, *map(jnp.float64, (q1, q2, e)), equal)
        np.testing.assert_allclose(np.array(found), np.array(exact), rtol=1e-11)


@pytest.mark.parametrize("q", [0.0025, 0.003, 0.004, 0.01])
def test_a_function_that_only_the_ends_of_the_reach_see(q):
    # soft_shrink is 0 within 1/2: E[phi^2] = 2 ((q + k^2) P(x > k) - k sqrt(q) N(k / sqrt(q))).
    mpmath.mp.dps = 60
    k, std = mpmath.mpf("0.5"), mpmath.sqrt(mpmath.mpf(q))
    exact = 2 * ((std**2 + k**2) * mpmath.ncdf(-k / std) - k * std * mpmath.npdf(k / std))
    found = moments(mf.activation("soft_shrink"), jnp.float64(q))
    assert abs(found.second - float(exact)) <= min(found.error, 1e-20) + 1e-9 * float(exact)


def test_the_pair_of_erf_against_mpmath():
    mpmath.mp.dps = 40
    phi = mf.activation("erf")
    for q1, q2, e in ((1.0, 1.0, 1e-12), (0.3, 0.3, 1.7), (0.2, 5.0, 0.4), (1.0, 1.1, 1e-3), (900.0, 900.0, 1e-5)):
        a, b, c = mpmath.mpf(q1), mpmath.mpf(q2), 1 - mpmath.mpf(e)
        kernel = [mpmath.asin(2 * x / mpmath.sqrt((1 + 2 * y) * (1 + 2 * z)))
                  for x, y, z in ((mpmath.sqrt(a * b) * c, a, b), (a, a, a), (b, b, b))]  # fmt: skip
        expected = float(1 - kernel[0] / mpmath.sqrt(kernel[1] * kernel[2]))
        found = pair_moments(phi, *map(jnp.float64, (q1, q2, e)), q1 == q2 and e <= 1).distance
        assert float(found) == pytest.approx(expected, rel=1e-12)


def test_wild_tanh_against_mpmath():
    # Where 64 Gauss-Hermite nodes are wrong by 9%.
    mpmath.mp.dps = 30
    q = 10.0

    def integrand(z):
        return mpmath.sech(mpmath.sqrt(q) * z) ** 4 * mpmath.exp(-(z**2) / 2) / mpmath.sqrt(2 * mpmath.pi)

    expected = float(2 * mpmath.quad(integrand, [0, 0.25, 0.5, 1, 2, 4, 12]))
    assert float(moments(mf.activation("tanh"), jnp.float64(q)).slope) == pytest.approx(expected, rel=1e-14)
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    hermite = np.sum(weights / np.cosh(np.sqrt(q) * nodes) ** 4) / np.sqrt(2 * np.pi)
    assert abs(hermite / expected - 1) > 0.05


def test_the_error_is_honest_and_growth_is_told():
    value, error = expectation(lambda x: jnp.cos(3 * x), jnp.float64(1.0))
    assert abs(value - np.exp(-4.5)) <= error < 1e-9
    rough = expectation(lambda x: jnp.cos(200 * x), jnp.float64(1.0))
    assert abs(rough.value) <= rough.error  # the rule does not resolve it, and says so
    assert jnp.isinf(expectation(lambda x: jnp.exp(x**2), jnp.float64(1.0)).value)
    grows = moments(mf.Activation(lambda x: jnp.exp(x**2), name="grows"), jnp.float64(1.0))
    assert jnp.isinf(grows.second)
    point = mf.fixed_point(mf.MLP(mf.Activation(lambda x: jnp.exp(x**2), name="grows"), 1.0, 0.1))
    assert str(point.status) == "diverges" and np.isnan(point.chi_1)


def test_moments_at_the_ends_of_the_range():
    at = moments(mf.activation("selu"), jnp.float64(0.0))
    sides = np.array([1.0507009873554805, 1.0507009873554805 * 1.6732632423543772])
    assert float(at.slope) == pytest.approx(np.mean(sides**2), rel=1e-15) and at.second == 0
    # Below the smallest variance that the nodes resolve the first order in q takes over: tanh(x) = x there.
    tiny = jax.vmap(partial(moments, mf.activation("tanh")))(np.array([1e-29, 1e-31, 1e-60, 1e-300]))
    np.testing.assert_allclose(tiny.second, [1e-29, 1e-31, 1e-60, 1e-300], rtol=1e-13)
    elu = jax.vmap(partial(moments, mf.activation("selu")))(np.array([1.0001e-30, 0.9999e-30]))
    assert float(elu.mean[1] / elu.mean[0]) == pytest.approx(1, abs=2e-4)
    step = moments(without_closed_forms("step"), jnp.float64(1e-40))
    assert float(step.second) == pytest.approx(0.5)
    # Beyond the nodes the result is NaN.
    assert jnp.isnan(moments(mf.activation("gelu"), jnp.float64(1e20)).second)


@pytest.mark.slow
def test_price():
    # d E[phi phi] / d q12 = E[phi' phi'], by finite differences in e.
    phi, q, e, h = mf.activation("gelu"), jnp.float64(1.3), 0.4, 1e-5
    pair = jax.jit(partial(pair_moments, phi, q, q, equal=True))
    slope = (pair(e + h).distance - pair(e - h).distance) / (2 * h)
    second = moments(phi, q).second
    assert float(slope * second / q) == pytest.approx(float(pair(e).covariance), rel=1e-8)
    automatic = jax.jvp(lambda e: pair(e).distance, (e,), (1.0,))[1]
    assert float(automatic) == pytest.approx(float(slope), rel=1e-8)


def test_the_slope_of_the_second_moment_of_sin_keeps_its_digits():
    # d/dq (1 - exp(-2 q)) / 2 = exp(-2 q), however small.
    for q in (1e-6, 0.3, 0.7, 20.0):
        slope = jax.grad(lambda q: moments(mf.activation("sin"), q).second)(jnp.float64(q))
        assert float(slope) == pytest.approx(np.exp(-2 * q), rel=1e-14)
