"""The adaptive second opinion: it agrees with our rules where they are right, and disagrees where they are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.gaussian.closed_forms import ErrorFunction
from meanfield.gaussian.named import NAMED

QUICK = ("hard_tanh",)
SLOW = tuple(pytest.param(name, marks=pytest.mark.slow) for name in NAMED if name not in QUICK)


@pytest.mark.parametrize("name", [*QUICK, *SLOW])
def test_every_named_activation_agrees_to_the_claimed_errors(name):
    for q in (0.01, 1.0, 30.0):
        found = mf.referee(name, q)
        assert found.agree.all(), f"{name} at q = {q}\n{found}"
        # Both error bounds are meaningful: nine digits of every number that is not 0 by symmetry.
        size = np.sqrt(found.ours[1]) if found.ours[1] > 0 else 1.0
        assert np.all(found.errors <= 1e-9 * np.maximum(abs(found.ours), size)), f"{name} at q = {q}\n{found}"


def test_what_is_wrong_is_not_agreed_with():
    # tanh with the closed forms of erf.
    found = mf.referee(mf.Activation(jnp.tanh, closed=ErrorFunction(), name="wrong"), 1.0)
    assert found.agree.tolist() == [True, False, False]  # both are odd
    assert "False" in repr(found)


def test_growth_that_the_gaussian_does_not_tame_is_infinite_for_both():
    found = mf.referee(mf.Activation(lambda x: jnp.exp(x**2), name="grows"), 1.0)
    assert np.isinf(found.ours[1]) and np.isinf(found.referee[1]) and found.agree[1]


def test_no_slope_is_integrated_where_phi_jumps():
    assert mf.referee("step", 2.0).names == ("mean", "second")


@pytest.mark.slow
@pytest.mark.parametrize("name, q, c", [("hard_tanh", 1.0, 0.4), ("tanh", 30.0, -0.7), ("gelu", 2.0, 0.99)])
def test_pairs_agree(name, q, c):
    found = mf.referee(name, q, c)
    assert found.names[3:] == ("product", "covariance")
    assert found.agree.all(), str(found)


def test_bad_input_is_named():
    with pytest.raises(mf.InputError, match="q=0"):
        mf.referee("tanh", 0)
    with pytest.raises(mf.InputError, match="c=1"):
        mf.referee("tanh", 1.0, 1.0)
    with pytest.raises(mf.InputError, match="q="):
        jax.jit(lambda q: mf.referee("tanh", q).ours)(1.0)
