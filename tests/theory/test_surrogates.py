"""Activations of which gradients see another derivative: straight-through estimators at (1.3, 0.3)."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.initializers.transformed import affine
from meanfield.networks import Network


@jax.custom_jvp
def hard(x):
    return jnp.where(x > 0, 1.0, -1.0)


hard.defjvp(lambda p, t: (hard(*p), t[0] * (jnp.abs(p[0]) < 1)))


def identity(x):
    return x + jax.lax.stop_gradient(jnp.where(x > 0, 1.0, -1.0) - x)


Q = 1.3**2 + 0.3**2
SEEN = 1.3**2 * math.erf(1 / math.sqrt(2 * Q))
DECLARED = mf.Activation(
    lambda x: jnp.where(x > 0, 1.0, -1.0), kinks=(0.0,), steps=(True,), backward=lambda x: jnp.where(abs(x) < 1, 1.0, 0)
)


@pytest.mark.filterwarnings("ignore:.*derivative of its own")
@pytest.mark.parametrize(("phi", "chi_1"), [(hard, SEEN), (identity, 1.69), (DECLARED, SEEN)])
def test_the_pair_is_of_the_values_and_chi_1_of_gradients(phi, chi_1):
    block = mf.MLP(phi, 1.3, 0.3)
    point = mf.fixed_point(block)
    assert (point.phase, point.status) == ("chaotic", "converged")
    assert point.chi_1 == pytest.approx(chi_1, rel=1e-12)
    assert point.xi_grad == pytest.approx(-1 / math.log(chi_1), rel=1e-10)
    assert point.q_star == pytest.approx(Q, rel=1e-12)
    assert point.chi_c == pytest.approx(0.60947316, abs=1e-8) and point.xi_c == pytest.approx(2.0195478, abs=1e-6)
    assert mf.trajectory(block, 3).chi[1:] == pytest.approx(chi_1, rel=1e-12)
    assert mf.phase_diagram(phi, sigma_w=[1.3], sigma_b=[0.3]).chi_1[0, 0] == pytest.approx(chi_1, rel=1e-12)
    masked = mf.fixed_point(mf.Dense(1.3, 0.3) >> mf.Dropout(0.2) >> mf.Activate(phi))
    # A dead unit is -1, which leaves q the same; live ones are divided by 0.8.
    kept = math.erf(0.8 / math.sqrt(2 * Q)) if chi_1 == SEEN else 1.0
    assert masked.chi_1 == pytest.approx(1.69 / 0.8 * kept, rel=1e-9)


def test_it_is_said_which_derivative_is_meant():
    with pytest.warns(UserWarning, match="derivative of its own in JAX"):
        phi = mf.activation(lambda x: hard(x))
    assert "backward=" in repr(phi)
    with pytest.raises(mf.InputError, match="backward=g"):
        mf.MLP(mf.Activation(hard, kinks=(0.0,), steps=(True,)), 1.0)
    shaped = affine(phi, 2.0, 0.0, 0.0, 3.0, "shaped")
    assert [float(shaped.backward(jnp.array(x))) for x in (0.4, 0.6)] == [6.0, 0.0]


def test_gradients_of_a_network_see_the_surrogate():
    depth, width = 4, 1000
    net = Network(mf.MLP(DECLARED, 1.3, 0.3), depth=depth, width=width, d_in=width, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (1, width))

    def rows(shift):
        return net.preactivations(x, shift)

    out, back = jax.vjp(rows, jnp.zeros((depth + 1, 1, width)))
    (moved,) = back(jnp.zeros_like(out).at[-1, 0].set(1.0))
    measured = float((jnp.sum(moved[1] ** 2) / width) ** (1 / (depth - 1)))
    assert measured == pytest.approx(SEEN, rel=0.05)
    assert np.isinf(mf.fixed_point(mf.MLP("sign", 1.3, 0.3)).chi_1)
