"""Laws of growth, told apart by what holds over decades of the variance."""

import numpy as np
import pytest

import meanfield as mf


@pytest.mark.parametrize(
    "block, rate",
    [
        (mf.Residual(mf.MLP("relu", 2**0.5), scale=0.0316), np.log1p(0.0316**2)),
        (mf.Residual(mf.MLP("relu", 2**0.5), scale=1e-6), 1e-12),
        (mf.MLP("relu", 1.4143), np.log(1.4143**2 / 2)),
    ],
)
def test_slow_exponential_growth_is_exponential(block, rate):
    law = mf.growth(block)
    assert str(law.law) == "exponential" and law.grad_exponent == 1
    assert law.rate == pytest.approx(rate, rel=1e-9) and law.grad_coefficient == pytest.approx(rate, rel=1e-9)


def test_a_gradient_s_factor_that_grows_with_the_variance():
    law = mf.growth(mf.Residual(mf.Dense(1.0) >> mf.GLU("sigmoid") >> mf.Dense(1.0)))
    assert str(law.law) == "exponential" and law.rate == pytest.approx(np.log(1.5), rel=1e-8)
    assert law.grad_exponent == 2 and law.grad_coefficient == pytest.approx(np.log(1.5) / 4, rel=1e-8)


def test_a_factor_that_stays_is_a_logarithm_per_layer():
    # chi - 1 -> E[cos^2] = 1/2, while the variance grows by 0.51 a layer.
    law = mf.growth(mf.Residual(mf.MLP("sin", 1.0, 0.1)))
    assert str(law.law) == "power" and law.coefficient == pytest.approx(0.51, rel=1e-8)
    assert (law.grad_exponent, law.grad_coefficient) == (1.0, pytest.approx(np.log(1.5), rel=1e-8))


def test_none_of_these():
    # V - q grows as (ln q)^2.
    law = mf.growth(mf.Residual(mf.MLP("sign(x) * log(1 + abs(x))", 1.0)))
    assert str(law.law) == "other" and np.isnan(law.rate) and np.isnan(law.exponent)
    # The gradient of a square root has E[phi'^2] ~ ln(q) / sqrt(q); its variance is a power law.
    root = mf.growth(mf.Residual(mf.MLP("x * abs(x) / (1 + abs(x))**1.5", 1.0)))
    assert str(root.law) == "power" and root.coefficient == pytest.approx(1 / (2 * np.pi), rel=1e-6)
    assert np.isnan(root.grad_exponent)


@pytest.mark.parametrize("q0", [np.nan, -1.0, np.inf, "1", None])
def test_a_variance_to_start_from(q0):
    with pytest.raises(mf.InputError, match="q0=.*give a finite variance"):
        mf.growth(mf.MLP("relu", 2.0), q0)
