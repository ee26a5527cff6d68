"""The theory of residual, noisy, normalized, convolutional and attention networks: the papers' numbers.

Numbers without a formula beside them were derived independently of this code, by kink-split Gauss-Legendre rules and
simulation; each is checked here against its definition.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.solvers.coupled_state import chi_at_state, next_state, uncorrelated


def full_residual(phi, sigma_w, sigma_b, sigma_v, sigma_a):
    """x + V phi(W x + b) + a of Yang & Schoenholz (2017)."""
    return mf.Residual(mf.Dense(sigma_w, sigma_b) >> mf.Activate(phi) >> mf.Dense(sigma_v, sigma_a))


TANH = full_residual("tanh", 1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(("depth", "expected"), [(100, 1.05455), pytest.param(1000, 1.08356, marks=pytest.mark.slow)])
def test_gradients_of_a_tanh_residual_network_grow_as_a_stretched_exponential(depth, expected):
    path = mf.trajectory(TANH, depth, q0=(0.0, 0.0))
    assert np.sum(np.log(path.chi[:-1])) / depth**0.5 == pytest.approx(expected, abs=6e-6)


@pytest.mark.slow
def test_the_stretched_exponential_at_ten_thousand_layers():
    path = mf.trajectory(TANH, 10_000, q0=(0.0, 0.0))
    assert np.sum(np.log(path.chi[:-1])) / 100 == pytest.approx(1.07698, abs=6e-6)
    assert path.q1[-1] / 10_000 == pytest.approx(0.98367, abs=6e-6)


@pytest.mark.parametrize("sigmas", [(1.0, 1.0, 1.0, 0.0), pytest.param((0.7, 0.3, 1.4, 0.5), marks=pytest.mark.slow)])
def test_the_law_of_a_tanh_residual_network(sigmas):
    w, _, v, a = sigmas
    law = mf.growth(full_residual("tanh", *sigmas))
    assert str(law.law) == "power" and law.exponent == 1 and law.grad_exponent == 0.5
    assert law.coefficient == pytest.approx(v**2 + a**2, rel=1e-8)
    # Yang & Schoenholz (2017): A = 4/3 sqrt(2/pi) sigma_v^2 sigma_w / sqrt(sigma_v^2 + sigma_a^2).
    limit = 4 / 3 * np.sqrt(2 / np.pi) * v**2 * w / np.sqrt(v**2 + a**2)
    assert law.grad_coefficient == pytest.approx(limit, rel=1e-8)
    assert sigmas[0] != 1 or limit == pytest.approx(1.06385, abs=5e-6)


@pytest.mark.parametrize(
    ("v_var", "a_var", "e_star"), [(1.0, 0.5, 0.613828), pytest.param(1.5, 0.5, 0.5, marks=pytest.mark.slow)]
)
def test_correlations_of_a_residual_network_end_at_e_star(v_var, a_var, e_star):
    # In the limit of deep networks tanh is a sign: its recursion, whose approach is l^(-delta).
    path = mf.trajectory(full_residual("sign", 1.0, 0.0, v_var**0.5, a_var**0.5), 100_000, c0=0.2)
    assert v_var * 2 / np.pi * np.arcsin(e_star) + a_var == pytest.approx((v_var + a_var) * e_star, rel=1e-6)
    delta = 1 - 2 / np.pi * v_var / ((v_var + a_var) * np.sqrt(1 - e_star**2))
    distance = np.abs(path.c - e_star)
    assert distance[-1] < 3e-3
    assert np.log2(distance[50_000] / distance[100_000]) == pytest.approx(delta, abs=3e-3)


@pytest.mark.slow
def test_relu_residual_to_a_hundred_thousand_layers():
    block = full_residual("relu", 1.0, 0.0, 1.0, 0.0)
    path = mf.trajectory(block, 100_000, c0=0.0)
    layer = np.array([1_000, 10_000, 100_000])
    # B = 1.5; the limit is 9 pi^2 / 2 (B / (B - 1))^2 = 399.719. The variance has left the floats long before.
    np.testing.assert_allclose(path.one_minus_c[layer] * layer**2.0, [378.971, 397.296, 399.448], rtol=2e-6)
    assert np.isinf(path.q1[-1]) and path.chi_relative == pytest.approx(1.0, rel=1e-12)
    assert 9 * np.pi**2 / 2 * 9 == pytest.approx(399.719, abs=1e-3)


def test_relu_residual_networks_grow_exponentially():
    block = full_residual("relu", 1.0, 0.0, 1.0, 0.0)
    law = mf.growth(block)
    assert str(law.law) == "exponential" and np.exp(law.rate) == pytest.approx(1.5, rel=1e-12)
    assert np.exp(law.grad_coefficient) == pytest.approx(1.5, rel=1e-12)
    assert str(mf.fixed_point(block).status) == "diverges"


@pytest.mark.slow  # the example of mf.growth is this one
def test_layer_norm_makes_residual_networks_critical_everywhere():
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()
    law = mf.growth(mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", 1.5**0.5, 0.1**0.5)))
    step = 1.5 * np.sum(weight * np.tanh(z) ** 2) + 0.1
    zeta = 1.5 * np.sum(weight / np.cosh(z) ** 4) / step
    assert law.coefficient == pytest.approx(step, rel=1e-9)
    assert (law.grad_exponent, law.grad_coefficient) == (0, pytest.approx(zeta, rel=1e-9))
    assert zeta == pytest.approx(1.007466, abs=1e-6)


@pytest.mark.parametrize("norm", [mf.LayerNorm(), pytest.param(mf.RMSNorm(), marks=pytest.mark.slow)])
def test_chi_falls_to_one_as_zeta_over_l(norm):
    path = mf.trajectory(mf.Residual(norm >> mf.MLP("erf", 1.5**0.5, 0.1**0.5)), 2000)
    slope, second = 4 / np.pi / np.sqrt(5), 2 / np.pi * np.arcsin(2 / 3)
    zeta = 1.5 * slope / (1.5 * second + 0.1)
    assert 2000 * (path.chi[-1] - 1) == pytest.approx(zeta, rel=2e-3)


# Keep probability, c*, xi_c: multiplicative noise at criticality, c' = f(c) / mu_2 with mu_2 = 1 / keep.
RELU_DROPOUT = [
    (0.95, 0.744817, 3.16498), (0.9, 0.627146, 2.27403), (0.8, 0.472799, 1.55380),
    (0.7, 0.366026, 1.19636), (0.6, 0.283909, 0.96553), (0.5, 0.217234, 0.79631),
]  # fmt: skip


def test_relu_with_dropout():
    for keep, c_star, xi_c in RELU_DROPOUT:
        point = mf.fixed_point(mf.Activate("relu") >> mf.Dropout(1 - keep) >> mf.Dense((2 * keep) ** 0.5))
        assert (str(point.status), str(point.phase)) == ("scale_invariant", "critical")
        c = float(point.c_star)
        kernel = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi
        assert keep * kernel == pytest.approx(c, rel=1e-12)
        assert c == pytest.approx(c_star, abs=6e-7) and point.xi_c == pytest.approx(xi_c, abs=6e-6)
        assert -1 / np.log(keep * (np.pi - np.arccos(c)) / np.pi) == pytest.approx(float(point.xi_c), rel=1e-10)


def test_multiplicative_noise_is_dropout_of_the_same_second_moment():
    per_input_noise, dropped = (
        mf.fixed_point(mf.Activate("relu") >> n >> mf.Dense(1.0))
        for n in (mf.Noise(multiplicative=1.0), mf.Dropout(0.5))
    )
    assert str(per_input_noise.status) == str(dropped.status) == "scale_invariant"  # sigma_w^2 = 2 / mu_2 = 1
    assert float(per_input_noise.c_star) == pytest.approx(0.217234, abs=6e-7) == float(dropped.c_star)


@pytest.mark.slow
def test_additive_noise_has_no_critical_point():
    def network(noise, sigma_w):
        return mf.Activate("relu") >> noise >> mf.Dense(sigma_w)

    added = mf.fixed_point(network(mf.Noise(additive=0.1), 2**0.5))
    assert str(added.status) == "diverges"
    law = mf.growth(network(mf.Noise(additive=0.1), 2**0.5))
    assert (law.exponent, law.coefficient) == (1, pytest.approx(0.02, rel=1e-4))  # sigma_w^2 times its variance
    assert str(mf.solve_critical(network(mf.Noise(additive=0.1), 1.0), "sigma_w").status) == "none"


@pytest.mark.parametrize("rate", [0.5])
def test_the_critical_width_of_relu_with_dropout(rate):
    block = mf.Activate("relu") >> mf.Dropout(rate) >> mf.Dense(1.0)
    point = mf.solve_critical(block, "sigma_w")
    assert point.value**2 == pytest.approx(2 * (1 - rate), rel=1e-12) and str(point.status) == "scale_invariant"


# Rate, sigma_w^2 of the largest xi_c, that xi_c, c*.
TANH_DROPOUT = [(0.1, 1.849, 4.676, 0.328), (0.01, 1.779, 14.495, 0.755)]


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "w_var", "xi_c", "c_star"), TANH_DROPOUT)
def test_dropout_bounds_the_depth_scale_of_tanh(rate, w_var, xi_c, c_star):
    def at(w_var):
        return mf.fixed_point(mf.Activate("tanh") >> mf.Dropout(rate) >> mf.Dense(w_var**0.5, 0.05**0.5))

    top = at(w_var)
    assert top.xi_c == pytest.approx(xi_c, abs=6e-4) and top.c_star == pytest.approx(c_star, abs=6e-4)
    for aside in (0.9, 1.1):
        assert at(aside * w_var).xi_c < top.xi_c and at(aside * w_var).c_star < 1
    # Ordered or chaotic, identical inputs are separated.
    assert at(1.0).c_star < 1 - rate / 2 and str(at(1.0).phase) == "ordered"


@pytest.mark.slow
def test_each_fourier_mode_of_a_convolution_decays_at_its_own_rate():
    point = mf.fixed_point(mf.MLP("erf", 1.9, 0.3))
    alpha = 2 * np.pi * np.arange(8) / 8
    block = {name: mf.Activate("erf") >> mf.Conv(name, 1.9, 0.3) for name in ("uniform", "delta")}
    uniform, delta = (mf.mode_decay(block[name], 8) for name in ("uniform", "delta"))
    assert float(point.chi_c) < 1 and float(point.one_minus_c_star) > 0.1
    np.testing.assert_allclose(uniform, float(point.chi_c) * (1 + 2 * np.cos(alpha)) / 3, atol=1e-10)
    np.testing.assert_allclose(delta, float(point.chi_c), atol=1e-10)
    np.testing.assert_allclose((uniform / delta)[:5].real, [1, 0.80474, 0.33333, -0.13807, -0.33333], atol=5e-6)
    skewed = mf.mode_decay(mf.Activate("erf") >> mf.Conv([0.5, 0.3, 0.2], 1.9, 0.3), 8)
    profile = sum(v * np.exp(-1j * b * alpha) for v, b in ((0.5, -1), (0.3, 0), (0.2, 1)))
    np.testing.assert_allclose(skewed, float(point.chi_c) * profile, atol=1e-10)


@pytest.mark.slow
def test_a_delta_profile_keeps_every_mode_at_criticality():
    critical = mf.critical("erf", sigma_b=0.3)
    decay = mf.mode_decay(mf.Activate("erf") >> mf.Conv("delta", float(critical.sigma_w), 0.3), 8)
    np.testing.assert_allclose(decay, 1.0, atol=1e-10)
    two_axes = mf.mode_decay(mf.Activate("erf") >> mf.Conv(np.ones((3, 3)), float(critical.sigma_w), 0.3), (4, 4))
    assert (
        two_axes.shape == (4, 4)
        and two_axes[0, 0] == pytest.approx(1.0)
        and abs(two_axes[2, 2]) == pytest.approx(1 / 9)
    )


BATCH_NORM = {
    "linear": {8: 1.2, 32: 1.034483, 128: 1.008},
    "relu": {8: 1.78819, 32: 1.52195, 128: 1.47968, None: np.pi / (np.pi - 1)},
    "tanh": {8: 1.35855, 32: 1.20830, 128: 1.18485, None: 1.177807},
    "gelu": {8: 1.62230, 32: 1.37124, 128: 1.33100, None: 1.318845},
}


def growth_of(block):
    """chi_1 at the state that one block leaves: behind a batch normalization it is the fixed point's."""
    with jax.enable_x64(True):
        step = jax.jit(next_state)
        state = step(block, uncorrelated(jnp.asarray(1.0)))
        np.testing.assert_allclose(step(block, state), state, rtol=1e-12, atol=1e-12)
        return float(jax.jit(chi_at_state)(block, state))


@pytest.mark.parametrize(
    "phi", ["relu", *(pytest.param(phi, marks=pytest.mark.slow) for phi in ("linear", "tanh", "gelu"))]
)
def test_batch_norm_makes_gradients_grow(phi):
    for size, growth in BATCH_NORM[phi].items():
        found = growth_of(mf.Dense(1.4, 0.2) >> mf.BatchNorm(size) >> mf.Activate(phi))
        assert found == pytest.approx(growth, abs=6e-6)
        if phi == "linear":
            assert found == pytest.approx((size - 2) / (size - 3), rel=1e-12)


@pytest.mark.slow
def test_a_finite_batch_has_a_fixed_point_and_says_nothing_of_pairs_of_batches():
    point = mf.fixed_point(mf.Dense(1.4, 0.2) >> mf.BatchNorm(8) >> mf.Activate("relu"))
    assert str(point.status) == "converged" and point.chi_1 == pytest.approx(1.78819, abs=6e-6)
    assert np.isnan(point.c_star) and np.isnan(point.xi_c)


@pytest.mark.slow
def test_batch_norm_may_be_cut_anywhere_and_gamma_tames_it():
    chi = [
        mf.fixed_point(block).chi_1
        for block in (
            mf.BatchNorm() >> mf.MLP("relu", 1.4, 0.2),
            mf.Activate("relu") >> mf.Dense(1.4, 0.2) >> mf.BatchNorm(),
        )
    ]
    assert chi == pytest.approx([np.pi / (np.pi - 1)] * 2, rel=1e-10)
    # tanh, large batches, by gamma.
    for gamma, growth in ((0.5, 1.03359), (0.2, 1.00172), (0.1, 1.000126)):
        block = mf.Activate("tanh") >> mf.Dense(1.0) >> mf.BatchNorm(gamma=gamma)
        assert mf.fixed_point(block).chi_1 == pytest.approx(growth, abs=6e-6)


@pytest.mark.slow
def test_batches_of_relu_decorrelate():
    # Between two batches: c' = (E[phi phi] - E[phi]^2) / Var phi ends at c* = 0, with slope E[phi']^2 / Var phi.
    point = mf.fixed_point(mf.Activate("relu") >> mf.Dense(1.4, 0.2) >> mf.BatchNorm())
    assert point.chi_1 == pytest.approx(np.pi / (np.pi - 1), rel=1e-10)
    assert abs(point.c_star) < 1e-12
    assert point.chi_c == pytest.approx(0.25 / (0.5 - 0.5 / np.pi), rel=1e-10)


def test_batch_norm_against_a_simulation():
    # The squared gradient norm's factor per (linear, BN, ReLU) layer, B = 8, width 50 B, layers in the middle.
    growth = simulated_batch_norm(width=400, size=8, depth=24, seeds=8)
    mean, error = growth.mean(), growth.std(ddof=1) / np.sqrt(growth.size)
    found = growth_of(mf.Dense(1.0) >> mf.BatchNorm(8) >> mf.Activate("relu"))
    assert abs(mean - found) < 5 * error + 0.007 * found
    assert abs(mean - np.pi / (np.pi - 1)) > 5 * error + 0.007 * found


def simulated_batch_norm(width, size, depth, seeds):
    """Per seed, the factor per layer of the squared gradient norm between a quarter and three quarters of the depth."""
    rng = np.random.default_rng(4)
    factors = []
    for _ in range(seeds):
        x, tape = rng.standard_normal((size, width)), []
        for _ in range(depth):
            weights = rng.standard_normal((width, width)) / np.sqrt(width)
            h = x @ weights
            std = h.std(0)
            z = (h - h.mean(0)) / std
            tape.append((weights, z, std))
            x = np.maximum(z, 0)
        gradient, norms = rng.standard_normal((size, width)), []
        for weights, z, std in reversed(tape):
            g = gradient * (z > 0)
            g = (g - g.mean(0) - z * np.mean(g * z, 0)) / std
            gradient = g @ weights.T
            norms.append(np.log(np.sum(gradient**2)))
        first, last = depth // 4, 3 * depth // 4
        factors.append(np.exp((norms[last] - norms[first]) / (last - first)))
    return np.array(factors)


def test_tokens_under_uniform_attention():
    block = mf.Residual(mf.Attention(tokens=16), scale=200**-0.5)
    path = mf.trajectory(block, 200, c_within=0.2)
    assert path.c_within[-1] == pytest.approx(0.439729, abs=5e-7)
    m = (1 + 15 * 0.2) / 16
    assert path.q1 == pytest.approx(1 + m * ((1 + 1 / 200) ** np.arange(201) - 1), rel=1e-12)
    # A fixed branch scale halves the angle's cosine deficit per layer at last; without a skip the tokens collapse.
    fixed = mf.trajectory(mf.Residual(mf.Attention(tokens=16)), 24, c_within=0.2)
    assert (1 - fixed.c_within[-1]) / (1 - fixed.c_within[-2]) == pytest.approx(0.5, rel=1e-6)
    assert mf.trajectory(mf.Attention(tokens=16), 1, c_within=0.2).c_within[1] == 1.0
