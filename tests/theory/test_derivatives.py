"""Derivatives of a fixed point: outside jit, under it, in any mode, against differences of single points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def xi_c(sigma_w, sigma_b=0.3):
    return mf.fixed_point(mf.MLP("tanh", sigma_w, sigma_b)).xi_c


def difference(f, *at, step=2e-3):
    """Central differences of fourth order in each argument."""

    def one(i):
        def moved(k):
            return float(f(*(np.float64(a + k * step * (i == j)) for j, a in enumerate(at))))

        return (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)

    return [one(i) for i in range(len(at))]


@pytest.mark.parametrize("sigma_w", [1.5, 0.9])  # chaotic, ordered
def test_gradients_in_every_mode(sigma_w):
    at = sigma_w, 0.3
    expected = difference(xi_c, *at)
    for derive in (jax.grad, jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(derive(xi_c, argnums=(0, 1))(*at), expected, rtol=1e-5)
    value, slope = jax.value_and_grad(xi_c)(sigma_w)
    assert value == xi_c(sigma_w) and slope == pytest.approx(expected[0], rel=1e-5)
    assert float(jax.jvp(xi_c, (sigma_w,), (2.0,))[1]) == pytest.approx(2 * expected[0], rel=1e-5)


@pytest.mark.slow
def test_the_program_under_jit_agrees_with_the_host():
    host = jax.grad(xi_c, argnums=(0, 1))(1.5, 0.3)
    np.testing.assert_allclose(jax.jit(jax.grad(xi_c, argnums=(0, 1)))(1.5, 0.3), host, rtol=1e-10)


@pytest.mark.slow
def test_second_derivatives():
    by_leaf = jax.grad(xi_c, argnums=(0, 1))
    expected = [difference(lambda *at, i=i: by_leaf(*map(float, at))[i], 1.5, 0.3) for i in range(2)]
    np.testing.assert_allclose(jax.hessian(xi_c, argnums=(0, 1))(1.5, 0.3), expected, rtol=1e-5)
    assert float(jax.jacfwd(jax.jacfwd(xi_c))(1.5)) == pytest.approx(expected[0][0], rel=1e-5)


@pytest.mark.slow
def test_parameters_of_an_activation():
    def of_parameter(a):
        return mf.fixed_point(mf.MLP(mf.Activation(lambda x, a: jnp.tanh(a * x), {"a": a}), 1.5, 0.3)).xi_c

    def of_slope(slope):
        return mf.fixed_point(mf.MLP(mf.activation("leaky_relu", slope=slope), 1.1, 0.3)).q_star

    # tanh(a x) at sigma_b is tanh at a sigma_b and a sigma_w: an identity, not a difference.
    scaled = jax.grad(lambda a: xi_c(1.5 * a, 0.3 * a))(1.1)
    assert float(jax.grad(of_parameter)(1.1)) == pytest.approx(float(scaled), rel=1e-9)
    a = 0.1  # q* = sigma_b^2 / (1 - sigma_w^2 (1 + a^2) / 2)
    w_var, b_var = 1.21, 0.09
    assert float(jax.grad(of_slope)(a)) == pytest.approx(
        b_var * w_var * a / (1 - w_var * (1 + a**2) / 2) ** 2, rel=1e-12
    )


def test_blocks_with_noise_and_with_more_state():
    def noisy(rate):
        return mf.fixed_point(mf.Activate("tanh") >> mf.Dropout(rate) >> mf.Dense(1.5, 0.1)).c_star

    def stateful(sigma_w):
        return mf.fixed_point(mf.Dense(sigma_w, 0.3) >> mf.Activate("erf")).q_star

    for f, at in ((noisy, 0.1), (stateful, 1.4)):
        assert float(jax.grad(f)(at)) == pytest.approx(difference(f, at)[0], rel=1e-6)


def test_many_leaves_at_once():
    block = mf.Residual(mf.MLP("tanh", 1.3, 0.2), skip=0.6, scale=0.9)
    slopes = jax.grad(lambda block: mf.fixed_point(block).chi_1)(jax.tree.map(jnp.float64, block))
    for path in ("sigma_w", "sigma_b", "skip", "scale"):
        moved = difference(
            lambda v, path=path: mf.fixed_point(mf.with_leaf(block, path, v)).chi_1, mf.leaf(block, path)
        )
        assert float(mf.leaf(slopes, path)) == pytest.approx(moved[0], rel=1e-7)


def test_float32_outside_x64():
    with jax.enable_x64(False):
        slope = jax.grad(xi_c)(1.5)
    assert slope.dtype == jnp.float32
    assert float(slope) == pytest.approx(float(jax.grad(xi_c)(1.5)), rel=1e-6)
