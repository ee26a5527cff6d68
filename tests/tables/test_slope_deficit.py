"""The deficit of a pair's slopes against closed forms, Price's theorem and differences of moments."""

import jax
import numpy as np
import pytest
from scipy.integrate import quad

import meanfield as mf
from meanfield.gaussian.moments import moments
from meanfield.gaussian.pairs import covariance
from meanfield.tables.slope_deficit import deficit

Q = np.array([0.01, 1.0, 30.0])
E = np.array([1e-10, 1e-4, 0.03, 0.5, 1.0])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def at_all(phi, q=Q, e=E):
    return deficit(phi, q, np.broadcast_to(e, (q.size, e.size)))


def without_closed_forms(name):
    known = mf.activation(name)
    return mf.Activation(known.fn, known.params, known.kinks, steps=known.steps, scale=known.scale, name=name)


def test_of_erf_is_the_closed_form():
    def closed(q, e):
        # E[phi'^2] - E[phi'(u) phi'(v)] = (4 / pi) (1 / sqrt(1 + 4 q) - 1 / sqrt((1 + 2 q)^2 - (2 q c)^2))
        apart = 4 * q**2 * e * (2 - e)
        a, b = 1 + 4 * q, 1 + 4 * q + apart
        return 4 / np.pi * apart / (np.sqrt(a * b) * (np.sqrt(a) + np.sqrt(b)))

    found = at_all(without_closed_forms("erf"))
    np.testing.assert_allclose(found, closed(Q[:, None], E), rtol=1e-10)


def test_of_leaky_relu_is_an_angle():
    angle = 2 * np.arcsin(np.sqrt(E / 2))
    expected = (1 - 0.01) ** 2 * angle / (2 * np.pi) * np.ones((3, 1))
    np.testing.assert_allclose(at_all(without_closed_forms("leaky_relu")), expected, rtol=1e-10)


@pytest.mark.parametrize("q", [0.3, 1.0, 1e4])
def test_of_hard_tanh_by_price(q):
    # phi'' is delta(x + 1) - delta(x - 1): d deficit / d angle is a sum of bivariate normal densities.
    def density(t):
        near = np.exp(-1 / (q * (1 + np.cos(t)))) / (2 * np.pi)
        far = np.exp(-1 / (q * (1 - np.cos(t)))) / (2 * np.pi) if t > 0 else 0.0
        return 2 * near - 2 * far

    def expected(e):
        angle, layer = 2 * np.arcsin(np.sqrt(e / 2)), 1 / np.sqrt(q)
        edges = [0.0, *(b for b in (layer / 3, layer, 4 * layer, 20 * layer) if b < angle), angle]
        return sum(quad(density, *ends, epsabs=0, epsrel=1e-12)[0] for ends in zip(edges, edges[1:], strict=False))

    found = at_all(mf.activation("hard_tanh"), np.array([q]))[0]
    np.testing.assert_allclose(found, [expected(e) for e in E], rtol=1e-9)


def test_of_a_square_is_the_gap():
    # phi' = 2 x: E[(2 u - 2 v)^2] / 2 = 4 q e.
    found = at_all(mf.Activation(lambda x: x**2, name="square"))
    np.testing.assert_allclose(found, 4 * Q[:, None] * E, rtol=1e-11)


@pytest.mark.parametrize(
    "name", ["tanh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hard_swish", "elu", "softsign"))]
)
def test_is_the_difference_of_moments(name):
    phi, e = mf.activation(name), np.array([0.2, 0.9])
    exact = jax.jit(lambda q, e: moments(phi, q).slope - covariance(phi, q, q, e))
    expected = [[float(exact(q, g)) for g in e] for q in Q]
    slope = np.array([float(jax.jit(lambda q: moments(phi, q).slope)(q)) for q in Q])
    found = at_all(phi, e=e)
    assert np.all(abs(found - expected) < 1e-11 * slope[:, None])
