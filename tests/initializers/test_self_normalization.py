"""SELU's constants, and their analogues for any activation."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import self_normalizing

# Klambauer et al. 2017, solved to 30 digits.
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def test_selu():
    found = self_normalizing("elu")
    assert found.lam == pytest.approx(LAMBDA, abs=1e-12) and found.alpha == pytest.approx(ALPHA, abs=1e-12)
    np.testing.assert_allclose(found.jacobian, [[0, 0.088835], [0, 0.782648]], atol=6e-7)
    assert found.contraction == pytest.approx(0.787673, abs=6e-7)
    assert found.chi_1 == pytest.approx(1.071575, abs=6e-7)
    assert "chaotic" in found.note and "1.07157" in found.note
    fp = mf.fixed_point(found.block)
    assert fp.q_star == pytest.approx(1, abs=1e-12) and fp.phase == "chaotic"
    x = np.linspace(-3, 3, 13, dtype=np.float32)
    np.testing.assert_allclose(found.activation(x), mf.activation("selu")(x), rtol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "tanh", "relu", "softplus"])
def test_any_activation_normalizes_itself(name):
    found = self_normalizing(name)
    z = jax.random.normal(jax.random.key(0), (200_000,))
    y = np.asarray(found.activation(z), float)
    # Means of 200,000 values of variance 1, and of their squares.
    assert abs(y.mean()) < 5 / np.sqrt(y.size)
    assert abs((y**2).mean() - 1) < 5 * (y**2).std() / np.sqrt(y.size)


def test_no_two_sided_scaling():
    with pytest.raises(InputError, match="form='shift'"):
        self_normalizing("relu", form="two_sided")
