"""Second-order quantities against closed forms, high precision, the maps themselves and the published recursions."""

import jax
import mpmath
import numpy as np
import pytest

import meanfield as mf

# Critical tanh networks: sigma_b^2 and kappa, by a kink-split Gauss-Legendre rule in binary128.
TANH_KAPPA = {2e-5: 860.45, 1e-4: 302.80, 0.01: 16.639, 0.05: 6.1711, 0.3: 1.9927, 1.0: 0.8897}


def critical(phi, **given):
    point = mf.critical(phi, **given)
    return mf.MLP(phi, point.sigma_w, point.sigma_b)


def test_kappa_of_the_critical_tanh_line():
    for b_var, kappa in TANH_KAPPA.items():
        found = mf.curvature(critical("tanh", sigma_b=b_var**0.5))
        assert found.critical and found.kappa == pytest.approx(kappa, rel=1e-4)
        assert found.three_halves == 0 and np.isinf(found.coefficient)


def test_the_curvature_of_erf_is_that_of_its_closed_map():
    mpmath.mp.dps = 40
    for q in (0.01, 1.0, 30.0):
        top = mpmath.mpf(2) * q / (1 + 2 * mpmath.mpf(q))
        c_map = lambda c, top=top: mpmath.asin(top * c) / mpmath.asin(top)  # noqa: E731
        found = mf.curvature(mf.MLP("erf", sigma_w=1.7), q=q)
        assert found.curvature == pytest.approx(float(mpmath.diff(c_map, 1, 2)), rel=1e-13)
        assert found.slope == pytest.approx(float(mpmath.diff(c_map, 1)), rel=1e-13)
        assert not found.critical and np.isnan(found.kappa) and np.isnan(found.coefficient)


def test_the_curvature_of_tanh_against_mpmath():
    mpmath.mp.dps = 30
    q, w, b = 10.0, 2.5, 0.3

    def mean(f):
        density = lambda z: mpmath.exp(-(z**2) / 2) / mpmath.sqrt(2 * mpmath.pi)  # noqa: E731
        return 2 * mpmath.quad(lambda z: density(z) * f(mpmath.sqrt(q) * z), [0, 0.25, 0.5, 1, 2, 4, 12])

    bent = mean(lambda x: (2 * mpmath.tanh(x) * mpmath.sech(x) ** 2) ** 2)
    after = w**2 * mean(lambda x: mpmath.tanh(x) ** 2) + b**2
    found = mf.curvature(mf.MLP("tanh", sigma_w=w, sigma_b=b), q=q)
    assert found.curvature == pytest.approx(float(q**2 / after * w**2 * bent), rel=1e-12)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("name", ["relu", pytest.param("leaky_relu", marks=SLOW), pytest.param("prelu", marks=SLOW)])
def test_the_relu_family(name):
    left = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25}[name]
    found = mf.curvature(critical(name, sigma_b=0.0))
    ratio = (1 + left**2) / (1 - left) ** 2
    # Hayou et al. (2019): 1 - c -> 9 pi^2 / (2 l^2) for ReLU, times ((1 + a^2) / (1 - a)^2)^2 for a slope a.
    assert found.coefficient == pytest.approx(9 * np.pi**2 / 2 * ratio**2, rel=1e-13)
    assert found.three_halves == pytest.approx(2 * 2**0.5 / (3 * np.pi) / ratio, rel=1e-13)
    assert np.isinf(found.curvature) and found.kappa == 0


def three_halves_of(block, q):
    """k from the correlation map itself at two small e; the term in e^2 is eliminated by extrapolation."""
    slope = float(mf.curvature(block, q=q).slope)
    e = np.array([4e-4, 1e-4])
    k = (np.asarray(mf.correlation_map(block, 1 - e, q=q)) - 1 + slope * e) / e**1.5
    return 2 * k[1] - k[0]


@pytest.mark.parametrize("name, q", [("hard_tanh", 1.3), pytest.param("selu", 0.7, marks=SLOW)])
def test_the_power_three_halves_is_in_the_map(name, q):
    block = mf.MLP(name, sigma_w=1.3, sigma_b=0.4)
    found = mf.curvature(block, q=q)
    assert found.three_halves == pytest.approx(three_halves_of(block, q), rel=2e-3)
    assert np.isinf(found.curvature) and not found.critical


def test_the_law_of_a_kinked_critical_network_is_followed():
    block = mf.MLP("relu", sigma_w=2**0.5)
    k, path = float(mf.curvature(block).three_halves), mf.trajectory(block, 1000, c0=0.0)
    assert path.one_minus_c[1000] * 1e6 == pytest.approx(43.1297, rel=1e-5)
    # e' = e - k e^(3/2) from layer 500 on, whose neglected terms are of relative order e.
    e = float(path.one_minus_c[500])
    for _ in range(500):
        e -= k * e**1.5
    assert path.one_minus_c[1000] == pytest.approx(e, rel=1e-3)


@SLOW
def test_the_law_of_a_smooth_critical_network_is_followed():
    block = critical("erf", sigma_b=0.05**0.5)
    found = mf.curvature(block)
    path = mf.trajectory(block, 10_000, q0=(float(found.q),) * 2, c0=0.3)
    e = float(path.one_minus_c[5000])
    for _ in range(5000):
        e -= e**2 / float(found.kappa)
    # The neglected e^3 adds up to a relative order e.
    assert path.one_minus_c[10_000] == pytest.approx(e, rel=1e-3)


@pytest.mark.slow
def test_a_kink_whose_slope_does_not_jump_is_none():
    elu = mf.curvature(mf.MLP(mf.Activation.elu(1.0), 1.2, 0.3))
    assert elu.three_halves == 0 and 0 < elu.curvature < 1
    almost = mf.curvature(mf.MLP(mf.Activation.elu(1.001), 1.2, 0.3), q=1.0)
    # 1e-3 is the jump: k = sqrt(q) sigma_w^2 q / V (2 / (3 sqrt pi)) s^2 / sqrt(2 pi q).
    after = float(mf.variance_map(mf.MLP(mf.Activation.elu(1.001), 1.2, 0.3), 1.0))
    assert almost.three_halves == pytest.approx(
        1.44 / after * 2 / (3 * np.pi**0.5) * 1e-6 / (2 * np.pi) ** 0.5, rel=1e-6
    )
    assert np.isinf(almost.curvature)
    typed = mf.activation("where(x > 0, x, a * (exp(x) - 1))", a=1.0)
    assert mf.curvature(mf.MLP(typed, 1.2, 0.3)).curvature == pytest.approx(float(elu.curvature), rel=1e-9)


def test_a_kink_that_is_no_round_number():
    found = mf.curvature(mf.MLP(_shifted(), 1.0), q=1.0)
    after = float(mf.variance_map(mf.MLP(_shifted(), 1.0), 1.0))
    density = np.exp(-1 / 18) / (2 * np.pi) ** 0.5
    assert found.three_halves == pytest.approx(2 / (3 * np.pi**0.5) * density / after, rel=1e-9)


def _shifted():
    return mf.activation("where(x > a, x, a)", a=1 / 3)


def test_where_the_theory_defines_no_number():
    jumps = mf.curvature(mf.MLP("sign", 1.5, 0.3))
    assert np.isinf(jumps.slope) and np.isinf(jumps.curvature) and np.isnan(jumps.three_halves)
    assert np.isnan(jumps.kappa) and not jumps.critical
    for block in (mf.MLP("tanh", 0.5), mf.MLP("relu", 2.0, 0.1)):  # q* = 0, and none
        nowhere = mf.curvature(block)
        assert np.isnan(nowhere.curvature) and np.isnan(nowhere.kappa) and not nowhere.critical
        assert np.isnan(mf.extrinsic_curvature(block, 3).curvature_squared).all()
    with pytest.raises(mf.InputError, match="q=-1"):
        mf.curvature(mf.MLP("tanh", 1.5), q=-1.0)
    with pytest.raises(mf.InputError, match="depth=0"):
        mf.extrinsic_curvature(mf.MLP("tanh", 1.5), 0)


@pytest.mark.slow
def test_the_derivative_in_sigma_w():
    def of(w):
        return mf.curvature(mf.MLP("tanh", w, 0.3)).curvature

    with jax.enable_x64(True):
        slope = float(jax.jit(jax.grad(of))(2.5))
    h = 1e-4
    assert slope == pytest.approx((float(of(2.5 + h)) - float(of(2.5 - h))) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("sigma_w, chi_2, end", [(2.5, 1.196041, 3.8677), (4.0, 1.857176, 1.7214)])
def test_extrinsic_curvature_of_chaotic_tanh(sigma_w, chi_2, end):
    block = mf.MLP("tanh", sigma_w, 0.3)
    bent = mf.extrinsic_curvature(block, 60)
    assert bent.fixed_point == pytest.approx(end, rel=2e-5)
    assert bent.curvature_squared[-1] == pytest.approx(float(bent.fixed_point), rel=1e-9)
    here = mf.curvature(block)
    assert here.curvature / here.q == pytest.approx(chi_2, rel=1e-6)
    assert bent.metric[7] == pytest.approx(float(here.q * here.slope**7), rel=1e-12)
    assert bent.gauss_metric[0] == pytest.approx(1.0)  # a great circle turns once as it goes round once


def test_extrinsic_curvature_is_in_the_covariance_along_the_circle():
    mpmath.mp.dps = 40
    block = mf.MLP("erf", sigma_w=1.8, sigma_b=0.3)
    bent = mf.extrinsic_curvature(block, 2)
    q = mpmath.mpf(float(mf.fixed_point(block).q_star))
    w, b = mpmath.mpf(1.8), mpmath.mpf(0.3)

    def after(k, top):
        return w**2 * 2 / mpmath.pi * mpmath.asin(2 * k / (1 + 2 * top)) + b**2

    def along(angle):
        return after(after(q * mpmath.cos(angle), q), q)

    # For a stationary curve -K'' = |h'|^2 / N, K'''' = |h''|^2 / N, and h' is perpendicular to h''.
    _, _, second, _, fourth = mpmath.taylor(along, 0, 4)
    metric, turning = -2 * second, 24 * fourth
    assert bent.metric[2] == pytest.approx(float(metric), rel=1e-10)
    assert bent.curvature_squared[2] == pytest.approx(float(turning / metric**2), rel=1e-10)


def test_extrinsic_curvature_elsewhere():
    bent = mf.extrinsic_curvature(mf.MLP("relu", sigma_w=2**0.5), 3)
    assert np.isinf(bent.curvature_squared[1:]).all() and bent.curvature_squared[0] == 1
    np.testing.assert_allclose(bent.metric, 1.0, rtol=1e-12)
    ordered = mf.extrinsic_curvature(mf.MLP("tanh", 1.0, 0.3), 30, start=0.0)
    assert np.isnan(ordered.fixed_point) and ordered.curvature_squared[0] == 0
    assert ordered.curvature_squared[30] > 100 * ordered.curvature_squared[1]
