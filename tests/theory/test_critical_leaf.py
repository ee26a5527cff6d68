"""Critical points in any leaf, against the critical line and the fixed points themselves."""

import numpy as np
import pytest

import meanfield as mf


def test_a_critical_leaf_of_an_mlp_is_its_critical_point():
    known = mf.critical("erf", sigma_b=0.3)
    by_w = mf.solve_critical(mf.MLP("erf", 1.0, 0.3), "sigma_w")
    assert by_w.value == pytest.approx(float(known.sigma_w), rel=1e-11)
    assert by_w.q_star == pytest.approx(float(known.q_star), rel=1e-10) and bool(by_w.stable)


@pytest.mark.slow
def test_a_critical_bias_and_a_limit():
    known = mf.critical("erf", sigma_b=0.3)
    by_b = mf.solve_critical(mf.MLP("erf", float(known.sigma_w), 1.0), "sigma_b", bracket=(0.0, 2.0))
    assert by_b.value == pytest.approx(0.3, rel=1e-9)
    limit = mf.solve_critical(mf.MLP("erf", 1.0, 0.0), "sigma_w")
    assert str(limit.status) == "limit_q0" and limit.value**2 == pytest.approx(np.pi / 4, rel=1e-11)


@pytest.mark.slow
def test_a_critical_branch_scale():
    block = mf.Residual(mf.MLP("erf", 2.0, 0.1), scale=1.0, skip=0.9)
    point = mf.solve_critical(block, "scale", bracket=(0.01, 3.0))
    assert str(point.status) == "found"
    for value in point.all_values[np.isfinite(point.all_values)]:
        assert mf.fixed_point(mf.with_leaf(block, "scale", float(value))).chi_1 == pytest.approx(1.0, abs=1e-11)
    none = mf.solve_critical(block, "scale", bracket=(2.0, 3.0))
    assert str(none.status) == "none" and np.isnan(none.value)


@pytest.mark.slow
def test_where_a_fixed_point_ends_is_no_root():
    # Below 1.5025 iteration reaches a fixed point with chi_1 = 0.706, above it none: the separatrix.
    point = mf.solve_critical(mf.MLP("gelu", 1.4, 0.2), "sigma_w")
    assert str(point.status) == "none" and np.isnan(point.value) and not point.stable
    # The slope at which chi_1 = 1 with a bias: q* = sigma_b^2 / (1 - chi_1) has run away to infinity.
    block = mf.MLP("leaky_relu", 1.2, 0.1)
    runaway = mf.solve_critical(block, "slope", (-2, 2))
    assert str(runaway.status) == "none" and np.all(np.isnan(runaway.all_values))
    assert str(mf.solve_critical(mf.MLP("leaky_relu", 1.2, 1e-5), "slope", (-2, 2)).status) == "none"


def test_a_mirrored_slope_is_listed():
    point = mf.solve_critical(mf.MLP("leaky_relu", 1.2, 0.0), "slope", (-2, 2))
    slope = (2 / 1.2**2 - 1) ** 0.5
    np.testing.assert_allclose(point.all_values[:2], [-slope, slope], rtol=1e-11)
    assert str(point.status) == "scale_invariant"


@pytest.mark.parametrize("q0", [np.nan, -1.0, np.inf, "1"])
def test_a_variance_to_start_from(q0):
    with pytest.raises(mf.InputError, match="q0=.*give a finite variance"):
        mf.solve_critical(mf.MLP("erf", 1.0, 0.3), "sigma_w", q0=q0)


@pytest.mark.parametrize("bracket", [(1.0, "2"), (2.0, 1.0), (1.0, np.inf), (True, 2.0), (1.0, 2.0, 3.0), 2.0, "12"])
def test_a_bracket_is_two_numbers(bracket):
    with pytest.raises(mf.InputError, match="bracket=.*two"):
        mf.solve_critical(mf.MLP("erf", 1.0, 0.3), "sigma_w", bracket)
