"""Moments in groups, by matrix products, against those of one variance at a time."""

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.gaussian.host_activation import host_activation
from meanfield.tables.sampled_moments import moments_of_samples

# In disorder, over the whole grid and beyond it, and two that one group must not spoil for the other.
Q = np.append(np.random.default_rng(0).permutation(np.geomspace(1e-28, 1e16, 150)), [0.0, 2.0, 2.2, 1e19])


@pytest.mark.parametrize("name", ["tanh", "gelu", "hard_tanh", "selu", "softsign", "soft_shrink"])
def test_are_those_of_one_variance(name):
    samples = host_activation(mf.activation(name)).samples
    found = moments_of_samples(samples, Q)
    with np.errstate(all="ignore"):
        one = samples.moments_at(Q)
        spread = samples.slope_variance(Q)
    np.testing.assert_allclose(found.second, one.second, rtol=3e-14)
    np.testing.assert_allclose(found.slope, one.slope, rtol=3e-14)
    np.testing.assert_allclose(found.mean, one.mean, rtol=0, atol=3e-14 * np.sqrt(np.nanmax(one.second)))
    # Differences of phi' next to 0 are lost to its own rounding.
    seen = (Q > 1e-5) & (Q < 1e17)
    np.testing.assert_allclose(found.spread[seen], spread[seen], rtol=1e-9, atol=1e-18)
    assert np.all(found.error[seen] < 1e-9 * np.maximum(found.second[seen], 1))


@pytest.mark.parametrize("phi", ["exp(x**2/8)", "sinh(x)", "exp(x)"])
def test_what_is_infinite_is_so_for_itself_alone(phi):
    samples = host_activation(mf.activation(phi)).samples
    with np.errstate(all="ignore"):
        expected = samples.moments_at(Q)
    found = moments_of_samples(samples, Q)
    np.testing.assert_array_equal(np.isinf(found.second), np.isinf(expected.second))
    finite = np.isfinite(expected.second)
    np.testing.assert_allclose(found.second[finite], expected.second[finite], rtol=1e-13)


def test_the_order_does_not_matter():
    samples = host_activation(mf.activation("tanh")).samples
    found = moments_of_samples(samples, Q)
    turned = moments_of_samples(samples, Q[::-1])
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b[::-1], equal_nan=True), found, turned))
