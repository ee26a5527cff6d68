"""The two maps and the trajectories that repeat them."""

import numpy as np
import pytest

import meanfield as mf


def test_relu_in_closed_form():
    block = mf.MLP("relu", sigma_w=2**0.5)
    c = np.array([-1.0, -0.5, 0.0, 0.3, 0.999, 1.0])
    expected = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi  # Cho & Saul 2009
    np.testing.assert_allclose(mf.correlation_map(block, c, q=2.0), expected, atol=1e-14)
    np.testing.assert_allclose(mf.variance_map(block, [0.0, 1.0, 7.0]), [0.0, 1.0, 7.0], rtol=1e-14)


@pytest.mark.parametrize("phi", ["tanh", "elu"])
def test_the_correlation_map_by_monte_carlo(phi):
    rng = np.random.default_rng(0)
    q1, q2, c = 1.3, 0.7, -0.4
    u = rng.standard_normal(2_000_000)
    v = c * u + np.sqrt(1 - c**2) * rng.standard_normal(u.size)
    f = mf.activation(phi)
    a, b = np.asarray(f(np.sqrt(q1) * u)), np.asarray(f(np.sqrt(q2) * v))
    path = mf.trajectory(mf.MLP(phi, sigma_w=1.5, sigma_b=0.2), 1, q0=(q1, q2), c0=c)
    q12 = path.c[1] * np.sqrt(path.q1[1] * path.q2[1])
    samples = 2.25 * a.astype(float) * b + 0.04
    assert abs(samples.mean() - q12) < 4.5 * samples.std() / np.sqrt(u.size)
    # The converse: a correlation 1% off is seen.
    assert abs(samples.mean() - q12 * 1.02) > 4.5 * samples.std() / np.sqrt(u.size)


def test_a_path_is_the_map_repeated():
    block = mf.MLP("erf", sigma_w=1.8, sigma_b=0.3)
    point = mf.fixed_point(block)
    path = mf.trajectory(block, 70, q0=(float(point.q_star),) * 2, c0=0.9)
    c = 0.9
    for layer in range(5):
        assert path.c[layer] == pytest.approx(c, abs=1e-13)
        c = float(mf.correlation_map(block, c))
    assert path.c[-1] == pytest.approx(float(point.c_star), abs=1e-3)
    assert path.chi == pytest.approx(float(point.chi_1), rel=1e-10)
    assert path.chi_c[-1] == pytest.approx(float(point.chi_c), rel=1e-2)
    # The decay per layer at the end is chi_c.
    gaps = np.abs(path.c - float(point.c_star))
    assert gaps[60] / gaps[59] == pytest.approx(float(point.chi_c), rel=1e-2)


def test_many_pairs_at_once_are_each_pair():
    block = mf.MLP("erf", sigma_w=1.4, sigma_b=0.5)
    q1, q2, c = np.array([0.5, 2.0]), np.array([0.5, 1.0]), np.array([0.1, -0.3])
    both = mf.trajectory(block, 9, q0=(q1, q2), c0=c)
    assert both.q1.shape == (10, 2)
    for i in range(2):
        alone = mf.trajectory(block, 9, q0=(q1[i], q2[i]), c0=c[i])
        np.testing.assert_allclose(both.c[:, i], alone.c, rtol=1e-12)
        np.testing.assert_allclose(both.one_minus_c[:, i], alone.one_minus_c, rtol=1e-10)


def test_relu_to_a_hundred_thousand_layers():
    path = mf.trajectory(mf.MLP("relu", sigma_w=2**0.5), 100_000, c0=0.0)
    layer = np.array([1_000, 10_000, 100_000])
    # The limit is 9 pi^2 / 2 = 44.4132, with corrections of order ln(l) / l.
    np.testing.assert_allclose(path.one_minus_c[layer] * layer**2.0, [43.1297, 44.2519, 44.3940], rtol=1e-5)


@pytest.mark.slow
def test_a_critical_smooth_network_decays_as_one_over_l():
    point = mf.critical("erf", sigma_b=0.05**0.5)
    path = mf.trajectory(mf.MLP("erf", point.sigma_w, 0.05**0.5), 100_000, q0=(float(point.q_star),) * 2, c0=0.3)
    kappa = path.one_minus_c[-1] * 100_000
    # kappa = 2 / (q sigma_w^2 E[phi''^2]), Hayou et al. 2019; E[phi''^2] of erf by a trapezoid rule.
    z = np.linspace(-12, 12, 20001)
    x = np.sqrt(float(point.q_star)) * z
    second = np.sum(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (4 * x / np.sqrt(np.pi) * np.exp(-(x**2))) ** 2) * (
        z[1] - z[0]
    )
    assert kappa == pytest.approx(2 / (float(point.q_star) * float(point.sigma_w) ** 2 * second), rel=1e-3)


@pytest.fixture(scope="module")
def deep_tanh():
    """tanh at criticality, its variance, and 100,000 layers of it."""
    sigma_b = 0.05**0.5
    point = mf.critical("tanh", sigma_b=sigma_b)
    q, block = float(point.q_star), mf.MLP("tanh", point.sigma_w, sigma_b)
    return block, q, mf.trajectory(block, 100_000, q0=(q, q), c0=0.3)


@pytest.mark.slow
def test_tanh_to_a_hundred_thousand_layers(deep_tanh):
    # Deep down by the table. Reference: binary128 iteration, Gauss-Legendre tables.
    layer = np.array([1_000, 10_000, 100_000])
    np.testing.assert_allclose(deep_tanh[2].one_minus_c[layer] * layer, [6.2258, 6.1818, 6.1727], atol=5e-5)


@pytest.mark.slow
def test_unequal_lengths_forget_their_difference(deep_tanh):
    block, q, path = deep_tanh
    unequal = mf.trajectory(block, 100_000, q0=(q, 2 * q), c0=0.3)
    assert unequal.one_minus_c[-1] == pytest.approx(path.one_minus_c[-1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phi", "sigma_w", "sigma_b"),
    [
        ("tanh", 1.5, 0.2),
        # gelu close to its critical line: in the ordered phase c is 1 to the last digit before layer 256.
        *(pytest.param(*row, marks=pytest.mark.slow) for row in [("hard_tanh", 1.3, 0.3), ("gelu", 1.3998, 0.5)]),
    ],
)
def test_the_table_is_quadrature(phi, sigma_w, sigma_b):
    block = mf.MLP(phi, sigma_w=sigma_w, sigma_b=sigma_b)
    path = mf.trajectory(block, 320, c0=0.9)
    again = mf.trajectory(block, 64, q0=(path.q1[256], path.q2[256]), c0=path.c[256])
    for name in ("q1", "one_minus_c", "chi", "chi_c"):
        np.testing.assert_allclose(getattr(path, name)[256:], getattr(again, name), rtol=1e-9)


def test_variances_that_vanish_go_on_vanishing():
    path = mf.trajectory(mf.MLP("tanh", sigma_w=0.3), 100, q0=(1.0, 1.0))
    factors = path.q1[40:] / path.q1[39:-1]
    np.testing.assert_allclose(factors, 0.09, rtol=1e-12)
    assert float(mf.variance_map(mf.MLP("gelu", sigma_w=1.0), 1e-40)) == pytest.approx(0.25e-40, rel=1e-12)


def test_a_state_at_rest_ends_the_work():
    path = mf.trajectory(mf.MLP("linear", sigma_w=0.0, sigma_b=0.5), 100_000, q0=(1.0, 2.0), c0=0.2)
    assert path.q1.shape == (100_001,) and (path.q1[1:] == 0.25).all() and (path.one_minus_c[1:] == 0).all()
