"""Features that the standard panels miss, against closed forms and Hermite expansions."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gamma

import meanfield as mf
from meanfield.gaussian.features import features_of
from meanfield.gaussian.host_activation import host_activation


def of_power(p, q):
    """E|x|^p, x ~ N(0, q)."""
    return q ** (p / 2) * 2 ** (p / 2) * gamma((p + 1) / 2) / np.pi**0.5


@pytest.mark.parametrize("text", ["abs(x)**p", "sign(x)*abs(x)**p", "where(x > 0, 2**.5*abs(x)**p, 0)"])
@pytest.mark.parametrize("p", [0.51, 0.6, 0.75, 0.9, 1.2, 1.5, 3.0])
def test_powers(text, p):
    q = np.array([1e-6, 0.3, 40.0])
    found = host_activation(mf.activation(text.replace("p", str(p)))).moments(q)
    np.testing.assert_allclose(found.second, of_power(2 * p, q), rtol=1e-12)
    np.testing.assert_allclose(found.slope, p**2 * of_power(2 * p - 2, q), rtol=1e-11)


def test_the_susceptibilities_of_powers():
    point = mf.fixed_point(mf.MLP("abs(x)**.51", 0.9, 0.2))
    assert float(point.chi_1) == pytest.approx(11.94231798, rel=1e-9)
    for text in ("abs(x)**.5", "sqrt(abs(x-.5))", "sign(x)*abs(x)**.3"):
        point = mf.fixed_point(mf.MLP(text, 0.9, 0.2))
        assert np.isinf(point.chi_1) and str(point.phase) == "chaotic" and 0 < point.chi_c < 1
    point = mf.fixed_point(mf.MLP("sign(x)*abs(x)**.8", 0.9, 0.2))
    assert str(point.phase) == "ordered" and point.one_minus_c_star == 0


def test_the_critical_line_of_exp():
    # E[exp(2x)] = exp(2q): sigma_w = exp(-q), sigma_b^2 = q - 1.
    for q in (1.5, 12.0, 16.0, 50.0, 150.0):
        found = mf.critical("exp(x)", q=q)
        assert float(found.sigma_w) * np.exp(q) == pytest.approx(1, rel=1e-12)
        assert float(found.sigma_b) ** 2 == pytest.approx(q - 1, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("exp(2*x)", lambda q: np.exp(8 * q)),
        ("sinh(x)", lambda q: (np.exp(2 * q) - 1) / 2),
        ("x**10", lambda q: 654729075.0 * q**10),
    ],
)
def test_growth(text, second):
    q = np.array([0.1, 3.0, 30.0])
    found = host_activation(mf.activation(text)).moments(q)
    np.testing.assert_allclose(found.second, second(q), rtol=1e-11)


def test_what_has_no_mean_is_infinite():
    found = host_activation(mf.activation("exp(x**2/8)")).moments(np.array([0.5, 1.9, 2.1, 100.0]))
    np.testing.assert_allclose(found.second[:2], (1 - np.array([0.5, 1.9]) / 2) ** -0.5, rtol=1e-6)
    assert np.all(np.isinf(found.second[2:]))
    assert str(mf.fixed_point(mf.MLP("exp(x**2/2)", 1.0, 1.0)).status) == "diverges"


def test_the_named_ones_need_nothing():
    for name in ("tanh", "gelu", "mish", "selu"):
        phi = host_activation(mf.activation(name))
        assert features_of(phi._both, phi.kinks, phi.scale).standard, name


def test_narrow_bumps_and_steep_places_in_fixed_points():
    # 1 - c* by the Hermite expansion of the correlation map, to 3000 terms.
    point = mf.fixed_point(mf.MLP("tanh(x)+3*exp(-((x-.777)/.003)**2)", 0.9, 0.2))
    assert str(point.phase) == "chaotic" and float(point.q_star) == pytest.approx(0.12926999966, rel=1e-10)
    assert float(point.chi_1) == pytest.approx(327.8090807834, rel=1e-10)
    assert float(point.one_minus_c_star) == pytest.approx(0.06821516270456, rel=1e-10)
    point = mf.fixed_point(mf.MLP("tanh(x)+10*exp(-((x-6)*40)**2)", 1.6, 0.05))
    z, step = np.linspace(-10.0, 10.0, 400_001, retstep=True)
    density = np.exp(-(z**2) / 2 / float(point.q_star)) / np.sqrt(2 * np.pi * float(point.q_star))
    image = 2.56 * np.sum((np.tanh(z) + 10 * np.exp(-(((z - 6) * 40) ** 2))) ** 2 * density) * step + 0.05**2
    assert abs(image - float(point.q_star)) <= abs(1 - float(point.chi_q)) * float(point.q_error) + 1e-13


@pytest.mark.parametrize("k", [10.0, 50.0])
def test_waves_in_fixed_points(k):
    # E[sin(kx)^2] = (1 - exp(-2 k^2 q)) / 2; E[sin(ku) sin(kv)] = exp(-k^2 q) sinh(k^2 q c).
    point = mf.fixed_point(mf.MLP(f"sin({k}*x)", 0.9, 0.2))
    q = 0.405 + 0.04
    assert abs(float(point.q_star) - q) <= max(float(point.q_error), 1e-15) and point.q_error < 1e-9
    assert float(point.chi_1) == pytest.approx(0.405 * k**2, rel=1e-11)
    assert float(point.one_minus_c_star) == pytest.approx(1 - 0.04 / q, rel=1e-9)


def test_an_error_larger_than_the_distance_to_one_is_no_phase():
    # Beyond |x| = 512 waves are not followed: 20 deviations of them.
    rough = mf.fixed_point(mf.MLP("sin(10*x)", 300.0, 1.0))
    assert rough.q_error > abs(float(rough.q_star) - 45001) and np.isnan(rough.one_minus_c_star)
    unknown = mf.fixed_point(mf.MLP("sin(10*x)", 0.02**0.5, 300.0))  # chi_1 is 1
    assert str(unknown.status) == "converged" and str(unknown.phase) == "undefined"
    assert np.isnan(unknown.c_star) and np.isnan(unknown.xi_c)


# Independent values of `reference/strange.py`.
ROWS = json.loads((Path(__file__).parents[1] / "reference" / "strange.json").read_text())


def test_they_are_forty():
    assert len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS, ids=[row["phi"] for row in ROWS])
def test_strange_activations(row):
    point = mf.fixed_point(mf.MLP(row["phi"], row["sigma_w"], row["sigma_b"]))
    q, chi_1, chi_q = (float(row[name]) for name in ("q_star", "chi_1", "chi_q"))
    assert str(point.status) == "converged"
    # The reference is printed in binary64.
    assert abs(float(point.q_star) - q) <= float(point.q_error) + 4 * np.spacing(q) and point.q_error < 1e-9 * q
    assert float(point.chi_1) == pytest.approx(chi_1, rel=1e-9) and float(point.chi_q) == pytest.approx(chi_q, rel=1e-9)
    assert str(point.phase) == ("chaotic" if chi_1 > 1 else "ordered")
    if row["one_minus_c_star"] is not None:
        assert float(point.one_minus_c_star) == pytest.approx(row["one_minus_c_star"], rel=1e-8, abs=1e-15)
        assert float(point.chi_c) == pytest.approx(row["chi_c"], rel=1e-7, abs=1e-12)
