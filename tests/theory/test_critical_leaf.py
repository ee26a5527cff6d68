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
