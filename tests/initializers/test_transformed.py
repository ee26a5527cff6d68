"""What is made of an activation can be transformed again."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.initializers import dks, self_normalizing


def test_a_shaped_activation_is_shaped_again():
    once = dks("tanh", depth=5).activation
    twice = dks(once, depth=3)
    assert twice.c_slope_1**3 == pytest.approx(1.5, abs=1e-7)
    x = jnp.linspace(-3.0, 3.0, 7)
    by_hand = twice.gamma_o * (once(twice.gamma_i * x + twice.delta_i) + twice.delta_o)
    np.testing.assert_allclose(twice.activation(x), by_hand, rtol=1e-5, atol=1e-6)


def test_two_sides_twice_is_the_identity():
    once = self_normalizing("elu").activation
    again = self_normalizing(once)
    assert (again.lam, again.alpha) == (pytest.approx(1, abs=1e-10), pytest.approx(1, abs=1e-10))
    assert mf.fixed_point(again.block).chi_1 == pytest.approx(1.07157, abs=1e-5)
