"""Fixed points: their definition, statuses, derivatives, transformations, bad input."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import meanfield as mf
from meanfield.blocks.block import Serial
from meanfield.errors import InputError


def test_the_definition():
    # tanh at sigma_w^2 = 2.5, sigma_b^2 = 0.05: from a trapezoid rule with 96,001 nodes and, for c*, a 401 x 401 one.
    block = mf.MLP("tanh", sigma_w=2.5**0.5, sigma_b=0.05**0.5)
    point = mf.fixed_point(block)
    z, step = np.linspace(-12, 12, 96001), 24 / 96000
    weight = np.exp(-(z**2) / 2) * step / np.sqrt(2 * np.pi)
    x = np.sqrt(float(point.q_star)) * z
    assert 2.5 * np.sum(weight * np.tanh(x) ** 2) + 0.05 == pytest.approx(float(point.q_star), rel=1e-13)
    assert 2.5 * np.sum(weight * (1 - np.tanh(x) ** 2) ** 2) == pytest.approx(float(point.chi_1), rel=1e-13)
    y, c = z[::160], float(point.c_star)
    u, v = np.meshgrid(y, y)
    w = np.exp(-(u**2 + v**2) / 2) * (160 * step) ** 2 / (2 * np.pi)
    q = float(point.q_star)
    pair = np.sum(w * np.tanh(np.sqrt(q) * u) * np.tanh(np.sqrt(q) * (c * u + np.sqrt(1 - c**2) * v)))
    assert 2.5 * pair + 0.05 == pytest.approx(q * c, rel=1e-10)
    assert point.c_star == pytest.approx(0.446804232, rel=1e-8) and point.xi_c == pytest.approx(11.795597, rel=1e-7)


@pytest.mark.parametrize(
    ("phi", "sigma_w", "sigma_b", "status", "phase"),
    [
        ("tanh", 0.9, 0.0, "zero", "ordered"),
        ("tanh", 1.0, 0.0, "zero", "critical"),
        ("tanh", 0.0, 0.0, "zero", "ordered"),
        ("tanh", 0.0, 0.5, "converged", "ordered"),
        ("step", 0.0, 0.5, "converged", "ordered"),
        ("tanh", 1.5, 0.3, "converged", "chaotic"),
        ("relu", 2**0.5, 0.0, "scale_invariant", "critical"),
        ("relu", 1.5, 0.0, "diverges", "unbounded"),
        ("relu", 2**0.5, 0.1, "diverges", "unbounded"),
        ("relu", 1.0, 0.0, "zero", "ordered"),
        ("step", 1.5, 0.1, "converged", "chaotic"),
        ("gelu", 1.9, 0.0, "diverges", "unbounded"),  # a fixed point at a small q, out of reach from q0 = 1
    ],
)
def test_status(phi, sigma_w, sigma_b, status, phase):
    point = mf.fixed_point(mf.MLP(phi, sigma_w=sigma_w, sigma_b=sigma_b))
    assert (str(point.status), str(point.phase)) == (status, phase)
    undefined = {
        "zero": ("c_star", "chi_c", "xi_c"),
        "diverges": ("c_star", "chi_1", "chi_q", "xi_c", "xi_q", "xi_grad"),
    }.get(status, ())
    assert all(np.isnan(getattr(point, name)) for name in undefined)
    assert point.q_star == {"zero": 0, "diverges": np.inf, "scale_invariant": 1}.get(status, point.q_star)


def test_what_q0_reaches():
    # gelu at (1.414, 0.38) is bistable: 0.842 below 3.635 below 417.6.
    block = mf.MLP("gelu", sigma_w=1.414, sigma_b=0.38)
    low, high = mf.fixed_point(block), mf.fixed_point(block, q0=10.0)
    assert low.q_star == pytest.approx(0.842, abs=1e-3) and high.q_star == pytest.approx(417.6, abs=0.1)
    assert low.all_q == pytest.approx(high.all_q, nan_ok=True) and np.isfinite(low.all_q).sum() == 3
    assert low.all_chi_q[1] > 1 > low.all_chi_q[2]
    for start, target in ((3.0, low), (10.0, high)):
        assert (float(mf.variance_map(block, start)) - start) * (float(target.q_star) - start) > 0


@pytest.mark.parametrize("place", [4.5, *(pytest.param(place, marks=pytest.mark.slow) for place in (3.0, 5.0))])
def test_a_bump_that_no_input_reaches(place):
    # Invisible at q = 0.09; somewhat above, only its foot is visible.
    point = mf.fixed_point(mf.MLP(mf.Activation(lambda x: jnp.exp(-((10 * (x - place)) ** 2)), name="bump"), 1.5, 0.3))
    assert (str(point.status), str(point.phase)) == ("converged", "ordered")
    assert point.q_star == pytest.approx(0.09, rel=1e-12) and point.chi_1 < 1e-15


def test_a_depth_scale_at_a_stable_c_star_is_not_negative():
    # chi_1 - 1 is 1.3e-16 here, which no double holds.
    point = mf.fixed_point(mf.MLP("tanh", 1 + 1e-8, 0.0))
    assert str(point.phase) == "critical" and 1e14 < point.xi_c < np.inf


def test_kinks_on_a_small_length_are_rescaled_ones():
    small, unit = (
        mf.fixed_point(mf.MLP(phi, 1.2, b)) for phi, b in (("clip(x, -0.01, 0.01)", 1e-3), ("hard_tanh", 0.1))
    )
    assert small.q_star == pytest.approx(1e-4 * unit.q_star, rel=1e-12)
    for name in ("chi_1", "c_star", "chi_c"):
        assert getattr(small, name) == pytest.approx(getattr(unit, name), rel=1e-10), name


def test_an_infinite_slope():
    # E[|u v|^p] = 2^p Gamma((p + 1) / 2)^2 / pi F(-p/2, -p/2; 1/2; c^2) of unit u, v. The mean of phi'^2 diverges.
    point = mf.fixed_point(mf.MLP("sqrt(abs(x))", 1.0, 0.1))
    p, q = 0.5, mpmath.mpf(float(point.q_star))

    def image(c):
        mean = 2**p * mpmath.gamma((p + 1) / 2) ** 2 / mpmath.pi * mpmath.hyp2f1(-p / 2, -p / 2, 0.5, c**2)
        return (q**p * mean + 0.01) / q

    assert image(1) == pytest.approx(1, rel=1e-12)
    gap = 1 - mpmath.findroot(lambda c: image(c) - c, (0.99, 0.9999), solver="anderson")
    assert np.isinf(point.chi_1) and str(point.phase) == "chaotic"
    # Gauss-Legendre nodes do not resolve a singular slope to more.
    assert point.one_minus_c_star == pytest.approx(float(gap), rel=1e-4)


FIELDS = ("q_star", "chi_1", "c_star", "xi_c")
ORDERED, CHAOTIC = ("erf", 0.9, 0.3), ("erf", 1.8, 0.3)
OTHERS = (("tanh", 1.3, 0.3), ("tanh", 1.8, 0.3), ("hard_tanh", 1.8, 0.3))


@pytest.mark.slow
@pytest.mark.parametrize(("phi", "sigma_w", "sigma_b"), [CHAOTIC, ORDERED, *OTHERS])
def test_derivatives_are_finite_differences(phi, sigma_w, sigma_b):
    def fields(w, b):
        point = mf.fixed_point(mf.MLP(phi, w, b))
        return jnp.stack([getattr(point, name) for name in FIELDS])

    with jax.enable_x64(True):
        exact = np.array(jax.jit(jax.jacfwd(fields, (0, 1)))(sigma_w, sigma_b))
        reverse = np.array(jax.jit(jax.jacrev(fields, (0, 1)))(sigma_w, sigma_b))
        compiled = jax.jit(fields)
        h = 1e-5
        moved = [(h, 0.0), (0.0, h)]
        differences = [
            (compiled(sigma_w + a, sigma_b + b) - compiled(sigma_w - a, sigma_b - b)) / (2 * h) for a, b in moved
        ]
    np.testing.assert_allclose(exact, np.array(differences), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(reverse, exact, rtol=1e-10)


@pytest.mark.slow
def test_second_derivatives():
    def q_and_chi(w):
        point = mf.fixed_point(mf.MLP("tanh", w, 0.3))
        return jnp.stack([point.q_star, point.chi_1])

    with jax.enable_x64(True):
        first = jax.jit(jax.jacfwd(q_and_chi))
        second = np.array(jax.jit(jax.jacfwd(jax.jacfwd(q_and_chi)))(1.7))
        differences = np.array((first(1.7 + 1e-5) - first(1.7 - 1e-5)) / 2e-5)
    np.testing.assert_allclose(second, differences, rtol=1e-6)


def test_derivatives_in_the_activation():
    def chi(slope):
        return mf.fixed_point(mf.MLP(mf.Activation.leaky_relu(slope), 1.1, 0.3)).chi_1

    with jax.enable_x64(True):
        # chi_1 = sigma_w^2 (1 + a^2) / 2.
        assert float(jax.jit(jax.grad(chi))(0.2)) == pytest.approx(1.1**2 * 0.2, rel=1e-10)


@pytest.mark.slow
def test_derivatives_in_a_kink():
    def critical(kink):
        clipped = mf.Activation(lambda x, k: jnp.clip(x, -k, k), {"k": kink}, kinks=(-kink, kink), name="clipped")
        return mf.critical(clipped, sigma_b=0.3).sigma_w

    with jax.enable_x64(True):
        exact = float(jax.grad(critical)(1.2))
        assert exact == pytest.approx(float(critical(1.2001) - critical(1.1999)) / 2e-4, rel=1e-6)


def test_vmap_is_the_loop_and_jit_is_eager():
    sigmas = np.array([0.8, 1.2, 1.6, 2.4])

    def fields(w):
        point = mf.fixed_point(mf.MLP("erf", w, 0.2))
        return jnp.stack([point.q_star, point.chi_1, point.one_minus_c_star])

    with jax.enable_x64(True):
        many = np.array(jax.jit(jax.vmap(fields))(sigmas))
    points = [mf.fixed_point(mf.MLP("erf", w, 0.2)) for w in sigmas]
    loop = np.array([[p.q_star, p.chi_1, p.one_minus_c_star] for p in points])
    np.testing.assert_allclose(many, loop, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(
    ("phi", "sigma_w"),
    [("erf", 1.2), *(pytest.param(*o, marks=pytest.mark.slow) for o in (("tanh", 1.8), ("hard_tanh", 1.7)))],
)
def test_float32_inside_a_users_jit(phi, sigma_w):
    def fields(w, b):
        point = mf.fixed_point(mf.MLP(phi, w, b))
        return point.q_star, point.chi_1, point.chi_q, point.status.code

    w, b = np.float32(sigma_w), np.float32(0.3)
    *single, status = jax.jit(fields)(w, b)
    assert single[0].dtype == jnp.float32
    double = mf.fixed_point(mf.MLP(phi, float(w), float(b)))
    tolerance = max(1e-4, 8 * 2.0**-23 / abs(1 - double.chi_q))
    for found, name in zip(single, ("q_star", "chi_1", "chi_q"), strict=True):
        assert float(found) == pytest.approx(float(getattr(double, name)), rel=tolerance)
    assert int(status) == int(double.status.code)


def test_host_calls_are_float64_and_leave_the_flag_alone():
    before = jax.config.jax_enable_x64
    point = mf.fixed_point(mf.MLP("tanh", sigma_w=1, sigma_b=1))
    assert point.q_star.dtype == np.float64 and isinstance(point.q_star, (np.ndarray, np.generic))
    assert jax.config.jax_enable_x64 == before


@pytest.mark.slow
def test_concrete_calls_inside_a_users_jit_are_concrete():
    point = mf.fixed_point(mf.MLP("tanh", sigma_w=1.0, sigma_b=1.0))
    inside = jax.jit(lambda x: x * mf.fixed_point(mf.MLP("tanh", sigma_w=1.0, sigma_b=1.0)).q_star)(2.0)
    assert float(inside) == pytest.approx(2 * float(point.q_star), rel=1e-6)


def test_results_read_well():
    point = mf.fixed_point(mf.MLP("tanh", sigma_w=1.5, sigma_b=0.3))
    assert "chaotic" in repr(point) and "<table>" in point._repr_html_()
    assert point.status == "converged" and str(point.phase) == "chaotic" and len(jax.tree.leaves(point)) == 15


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mf.MLP("tanh", sigma_w=-1.0), "sigma_w=-1.0"),
        (lambda: mf.MLP("tanh", sigma_w=1.0, sigma_b=float("nan")), "sigma_b=nan"),
        (lambda: mf.MLP("tanh", sigma_w="1.5"), "sigma_w='1.5'"),
        (lambda: mf.MLP("tanh", sigma_w=None), "sigma_w=None"),
        (lambda: mf.MLP("tanhh", sigma_w=1.0), "did you mean 'tanh'"),
        (lambda: mf.fixed_point("tanh"), "block='tanh'"),
        (lambda: mf.fixed_point(mf.MLP("tanh", 1.0), q0=-1.0), "q0=-1.0"),
        (lambda: mf.variance_map(mf.MLP("tanh", 1.0), -1.0), "q=-1.0"),
        (lambda: mf.correlation_map(mf.MLP("tanh", 1.0), 1.5), "c=1.5"),
        (lambda: mf.trajectory(mf.MLP("tanh", 1.0), 0), "depth=0"),
        (lambda: mf.trajectory(mf.MLP("tanh", 1.0), 5, q0=1.0), "q0=1.0"),
        (lambda: mf.critical("tanh"), "exactly one"),
        (lambda: mf.critical("tanh", sigma_b=0.1, q=1.0), "exactly one"),
        (lambda: mf.critical("tanh", sigma_b=-0.1), "sigma_b=-0.1"),
        (lambda: mf.edge_of_chaos("tanh", q=(-1.0, 1.0, 5)), "q=(-1.0, 1.0, 5)"),
        (lambda: mf.phase_diagram("tanh", sigma_w=[-1.0, 1.0]), "sigma_w"),
        (lambda: mf.phase_diagram("tanh", sigma_w=(2.0, 1.0, 5)), "sigma_w=(2.0, 1.0, 5)"),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument(call, says):
    with pytest.raises(InputError) as caught:
        call()
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_noise_separates_equal_inputs_in_the_ordered_phase_as_well():
    # By iterating the map of the pair in 30 digits.
    point = mf.fixed_point(mf.LayerNorm(0.5) >> mf.Dense(0.6, 0.3) >> mf.Activate("sigmoid") >> mf.Noise(0.1, 0.2))
    assert point.phase == "ordered"
    assert abs(point.one_minus_c_star - 0.155873) < 1e-6 and abs(point.chi_c - 0.097710) < 1e-6


@pytest.mark.slow
def test_a_pair_whose_slope_is_almost_one():
    # After 2,048 steps (52 s) iteration said 0.99998 for chi_c. An odd map keeps c = 0, and there chi_c is a ratio:
    # E[phi'(z)]^2 / E[phi'(z)^2] of chi_1, for z of the variance 0.01 that normalization leaves.
    point = mf.fixed_point(mf.Dense(0.5, 0.1) >> mf.BatchNorm(None, 0.1) >> mf.Activate("tanh"))
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    slope, weight = 1 / np.cosh(0.1 * x) ** 2, weight / weight.sum()
    ratio = (weight @ slope) ** 2 / (weight @ slope**2)
    assert point.status == "converged" and point.phase == "chaotic"
    assert point.c_star == pytest.approx(0.0, abs=1e-10)
    assert point.chi_c / point.chi_1 == pytest.approx(ratio, rel=1e-10)


def test_a_mean_of_zero_rests_though_it_rounds():
    point = mf.fixed_point(mf.LayerNorm() >> mf.Dense(0.9, 0.3) >> mf.Activate("tanh"))
    assert point.status == "converged"
    assert abs(point.q_star - 0.375209) < 1e-6 and abs(point.chi_1 - 1.043436) < 1e-6


@pytest.mark.parametrize("phi", ["hard_shrink", "where(abs(x) > 1, x - sign(x), 0*x)", "where(x > 1, x, 0*x)", "x**2"])
def test_what_is_flat_near_zero_is_ordered_there(phi):
    # V(q) / q -> 0 as q -> 0, jumps and kinks elsewhere or not.
    point = mf.fixed_point(mf.MLP(phi, 0.5, 0.0))
    assert point.status == "zero" and point.phase == "ordered"
    assert point.chi_1 == 0 and point.chi_q == 0


def test_a_jump_at_zero_separates_whatever_is_not_equal():
    assert mf.fixed_point(mf.MLP("sign", 0.0, 0.0)).chi_1 != np.inf
    assert mf.fixed_point(mf.MLP("x + sign(x)", 0.5, 0.0)).chi_1 == np.inf


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: mf.MLP(3, 1.0), "activation=3"),
        (lambda: mf.MLP(None, 1.0), "activation=None"),
        (lambda: mf.MLP(mf.activation("leaky_relu", slope=float("nan")), 1.0), "slope=nan"),
        (lambda: mf.fixed_point(mf.Repeat(mf.MLP("tanh", 1.0), -1)), "depth=-1"),
        (lambda: mf.fixed_point(mf.Repeat(mf.MLP("tanh", 1.0), 2.5)), "depth=2.5"),
        (lambda: mf.fixed_point(mf.Residual("tanh")), "branch='tanh' is not a block"),
        (lambda: mf.fixed_point(mf.Sum((mf.Dense(1.0), "tanh"))), "branches='tanh' is not a block"),
        (lambda: mf.fixed_point(mf.Repeat(None, 3)), "block=None is not a block"),
    ],
)
def test_what_is_no_block_is_refused(make, says):
    with pytest.raises(mf.InputError, match=says):
        make()


@pytest.mark.parametrize(
    "block",
    [
        mf.Dense(1.5) >> mf.Dropout(0.5) >> mf.LayerNorm() >> mf.NReLU(),
        mf.Dense(1.5) >> mf.Dropout(0.5) >> mf.BatchNorm() >> mf.Activate("tanh"),
        mf.Dense(1.5) >> mf.Noise(0.5, 0.1) >> mf.LayerNorm() >> mf.Activate("tanh"),
        mf.Dense(1.5) >> mf.Noise(0.5) >> mf.Noise(0.5) >> mf.Activate("tanh"),
        mf.Residual(mf.Dense(1.5) >> mf.Dropout(0.5)) >> mf.Activate("tanh") >> mf.Dense(),
        mf.Sum((mf.Dense(1.5) >> mf.Dropout(0.5), mf.Dense(0.5))) >> mf.Activate("tanh") >> mf.Dense(),
        mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", 1.5) >> mf.Dropout(0.5)),
    ],
)
def test_an_activation_of_a_mixture_is_refused(block):
    for ask in (mf.fixed_point, lambda block: mf.variance_map(block, 1.0)):
        with pytest.raises(InputError, match=r"follows (Dropout|Noise)\(.*mixture of Gaussians"):
            ask(block)


DENSE, TANH, HALF = mf.Dense(1.5), mf.Activate("tanh"), mf.Dropout(0.5)


@pytest.mark.parametrize(
    ("block", "right"),
    [
        # 0.5 E tanh^2(3z), and E tanh^2(1.5 (1 + xi) z) by nested adaptive quadrature.
        (DENSE >> HALF >> TANH, 0.372583354),
        (Serial((Serial((DENSE, HALF)), TANH)), 0.372583354),
        (DENSE >> HALF >> mf.Repeat(TANH >> mf.Dense(1.0), 1), 0.372583354),
        (DENSE >> HALF >> mf.LayerNorm(2.0**0.5 * 1.5) >> TANH, 0.372583354),
        (DENSE >> mf.Noise(multiplicative=1.0) >> TANH, 0.493441201),
        (DENSE >> HALF >> mf.Noise(multiplicative=1.0) >> mf.Activate("linear"), 2.25 * 4),
        pytest.param(DENSE >> HALF >> HALF >> mf.Activate("relu"), 2.25 * 4 / 2, marks=pytest.mark.slow),
        pytest.param(mf.Noise(0.7, 0.3) >> mf.Activate("relu"), (1.49 + 0.09) / 2, marks=pytest.mark.slow),
    ],
)
def test_an_activation_of_a_mixture_is_integrated(block, right):
    assert mf.variance_map(block, 1.0) == pytest.approx(right, rel=2e-9)


@pytest.mark.slow
def test_a_repeated_block_meets_the_mixture_that_it_leaves():
    # sigma_w^2 E tanh^2(sqrt 2 z): the mask doubles what it halves.
    assert mf.fixed_point(mf.LayerNorm() >> mf.MLP("tanh", 2.0) >> HALF).q_star == pytest.approx(2.0799029827, rel=1e-9)
    # Where a block begins does not matter to chi.
    for factor in (HALF, mf.Noise(0.5, 0.2)):
        chain = (TANH, mf.Dense(2.0, 0.3), factor)
        first, second, third = (mf.fixed_point(Serial(chain[i:] + chain[:i])) for i in range(3))
        assert first.chi_1 == pytest.approx(third.chi_1, rel=1e-9) == pytest.approx(second.chi_1, rel=1e-9)
        assert first.chi_c == pytest.approx(third.chi_c, rel=1e-8) == pytest.approx(second.chi_c, rel=1e-8)
        assert first.chi_q == pytest.approx(third.chi_q, rel=1e-8) == pytest.approx(second.chi_q, rel=1e-8)


@pytest.mark.slow
def test_an_idle_factor_changes_nothing():
    plain = mf.fixed_point(mf.Dense(2.0, 0.3) >> TANH)
    for factor in (mf.Dropout(0.0), mf.Noise(0.0, 0.0), mf.Noise(1e-9, 0.0)):
        idle = mf.fixed_point(mf.Dense(2.0, 0.3) >> factor >> TANH)
        assert idle.q_star == pytest.approx(plain.q_star, rel=1e-11)
        assert idle.chi_1 == pytest.approx(plain.chi_1, rel=1e-11)


def test_noise_that_leaves_a_gaussian_is_not_refused():
    added = mf.Dense(1.5) >> mf.Noise(additive=0.3) >> mf.Activate("tanh")
    assert mf.variance_map(added, 1.0) == pytest.approx(mf.variance_map(mf.Dense(1.5, 0.3) >> mf.Activate("tanh"), 1.0))
    assert mf.fixed_point(mf.Activate("tanh") >> mf.Dropout(0.5) >> mf.Dense(1.5)).status == "converged"


def test_a_map_without_a_number_is_not_scale_invariant():
    point = mf.fixed_point(mf.LayerNorm(1e200) >> mf.MLP("tanh", 1.5, 0.3))
    assert str(point.status) == "not_converged" and str(point.phase) == "undefined" and np.isnan(point.q_star)
