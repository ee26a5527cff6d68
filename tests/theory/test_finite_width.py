"""Corrections of order 1/width against closed forms, published constants and narrow networks.

`spread` is V, and index l follows l hidden layers: V = 0 at l = 0, where the first pre-activations are exactly
Gaussian. Numbers without another source were derived independently from the recursion of Roberts, Yaida & Hanin (2022).
"""

import math

import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.measurement import measure
from meanfield.theory.finite_width import length_corrections

SQRT2 = math.sqrt(2)


def of(phi, sigma_w_var, sigma_b_var=0.0, depth=20, q0=1.0):
    block = mf.MLP(phi, sigma_w=math.sqrt(sigma_w_var), sigma_b=math.sqrt(sigma_b_var))
    found = length_corrections(block, depth, q0)
    q = np.sqrt((found.variance - found.spread) / 2)  # variance = spread + 2 q^2
    return found, q


@pytest.mark.parametrize("q0", [1.0, 0.01, 300.0])
@pytest.mark.parametrize(("phi", "sigma_w_var", "slope"), [("relu", 2.0, 5), ("linear", 1.0, 2), ("abs", 1.0, 2)])
def test_scale_invariant_spread_grows_linearly(phi, sigma_w_var, slope, q0):
    # V/K^2 = l (3 A_4 / A_2^2 - 1): phi^4 averages 3/2 for ReLU and 3 for |x|, like the identity
    found, q = of(phi, sigma_w_var, q0=q0)
    layers = np.arange(21)
    np.testing.assert_allclose(q, q0, rtol=1e-12)
    np.testing.assert_allclose(found.spread / q**2, slope * layers, rtol=1e-11)
    np.testing.assert_allclose(found.variance / q**2, slope * layers + 2, rtol=1e-11)
    np.testing.assert_allclose(found.bias / q, 0.0, atol=1e-11)  # the length itself is unbiased


@pytest.mark.parametrize(("phi", "sigma_w_var", "ratio"), [("relu", 2.0, 5.0), ("linear", 1.0, 2.0)])
def test_linear_order_of_the_exact_law(phi, sigma_w_var, ratio):
    # Var[q-hat]/q^2 is exactly (1 + 2/n)(1 + ratio/n)^l - 1; at n = 1e7 its next order is 1e-5 of it
    n, layers = 1e7, np.arange(21)
    exact = np.expm1(np.log1p(2 / n) + layers * np.log1p(ratio / n))
    np.testing.assert_allclose(of(phi, sigma_w_var)[0].variance / n, exact, rtol=1e-4)


def test_tanh_at_vanishing_length():
    found, q = of("tanh", 1.0, depth=3000)
    for depth, spread, bias in [(100, 0.6547, -0.3132), (1000, 0.6648, -0.3309), (3000, 0.6659, -0.3325)]:
        # four printed decimals
        assert found.spread[depth] / q[depth] ** 2 / depth == pytest.approx(spread, abs=5.1e-5)
        assert found.bias[depth] / q[depth] / depth == pytest.approx(bias, abs=5.1e-5)


def test_sin_is_of_the_class_of_tanh():
    found, q = of("sin", 1.0, depth=3000)
    assert found.spread[-1] / q[-1] ** 2 / 3000 == pytest.approx(2 / 3, rel=0.003)  # corrections fall as (ln l)/l


@pytest.mark.parametrize(
    ("phi", "sigma_w_var", "sigma_b_var", "q", "slope"),
    [
        ("silu", 1.988004678, 0.555143171, 14.320173618, 4.9232),
        ("gelu", 1.983058257, 0.172922391, 3.561552813, 4.9042),
    ],
)
def test_half_stable_spread_grows_linearly(phi, sigma_w_var, sigma_b_var, q, slope):
    found, q = of(phi, sigma_w_var, sigma_b_var, q0=q)
    np.testing.assert_allclose(found.spread[1:] / q[1:] ** 2 / np.arange(1, 21), slope, atol=5.1e-5)


def test_spread_saturates_where_the_length_is_stable():
    found, q = of("tanh", 1.7609546396, 0.05, q0=0.5700478816)
    assert found.spread[-1] / q[-1] ** 2 == pytest.approx(0.930, abs=5.1e-4)
    # at q* every layer adds the same to chi_q^2 of what was there; chi_q is that of the table of critical points
    assert found.spread[-1] / found.spread[1] == pytest.approx(1 / (1 - 0.518186**2), rel=2e-6)


@pytest.mark.parametrize("phi", ["step", "hard_tanh"])
def test_lengths_are_those_of_the_theory(phi):
    # kinks and jumps are allowed: the corrections need no derivative of phi
    block = mf.MLP(phi, sigma_w=1.5, sigma_b=0.3)
    found = length_corrections(block, 20, 1.0)
    q = np.sqrt((found.variance - found.spread) / 2)
    np.testing.assert_allclose(q[1:], mf.variance_map(block, q[:-1]), rtol=1e-9)
    assert q[0] == pytest.approx(1.0) and np.isfinite(found.bias).all()


def test_sign_has_no_spread():
    found, _ = of("sign", 2.0, 0.1)
    np.testing.assert_allclose(found.spread, 0.0, atol=1e-13)  # phi^2 is 1 whatever the weights
    assert of("step", 2.0, 0.1)[0].spread[-1] > 0.1


def test_shapes_follow_q0():
    block = mf.MLP("relu", sigma_w=SQRT2)
    found = length_corrections(block, 20, np.array([[1.0, 3.0], [2.0, 5.0]]))
    for part in (found.variance, found.spread, found.bias):
        assert part.shape == (21, 2, 2) and part.dtype == np.float64
    one = of("relu", 2.0)[0].spread
    assert one.shape == (21,)
    np.testing.assert_allclose(found.spread, one[:, None, None] * np.array([[1.0, 9.0], [4.0, 25.0]]), rtol=1e-12)


def test_another_block_is_refused():
    with pytest.raises(InputError, match="^block="):
        length_corrections(mf.Dense(1.0, 0.0), 4, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "sigma_w", "sigma_b"), [("relu", SQRT2, 0.0), ("tanh", 1.5, 0.3), ("gelu", 1.6, 0.3)])
def test_narrow_networks(phi, sigma_w, sigma_b):
    """Variance and mean of the measured length of 1,500 networks of width 200, in their own standard errors."""
    width, depth, seeds = 200, 6, 1500
    block = mf.MLP(phi, sigma_w=sigma_w, sigma_b=sigma_b)
    x = np.stack([np.ones(4), np.array([1.0, -1.0, 1.0, -1.0])])  # q0 = sigma_w^2 + sigma_b^2
    found = measure(lambda rngs: mf.networks.MLP(block, depth=depth, width=width, d_in=4, rngs=rngs), x, seeds=seeds)
    theory = length_corrections(block, depth, sigma_w**2 + sigma_b**2)
    q, measured = np.sqrt((theory.variance - theory.spread) / 2), found.q1[:, :, 0]
    variance = measured.var(0, ddof=1)
    # standard error of a variance, from the fourth moment as measured
    error = np.sqrt((((measured - measured.mean(0)) ** 2 - variance) ** 2).mean(0) / seeds)
    # the next order in 1/n is the square of the relative variance, and of the same size relative to it
    relative = theory.variance / q**2 / width
    allowed = 5 * error + relative * theory.variance / width
    assert (abs(variance - theory.variance / width) < allowed).all()
    assert (abs(variance - 2 * q**2 / width) > allowed)[2:].all(), "without the spread it is not enough"
    mean = measured.mean(0) - q - theory.bias / width
    assert (abs(mean) < 5 * np.sqrt(variance / seeds) + q * relative**2).all()
