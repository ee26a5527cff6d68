"""`recommend` and its parts: operating points, lengths, and programs that run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.advice.flax_code import flax_code
from meanfield.advice.operating_point import operating_point
from meanfield.errors import InputError
from meanfield.theory.variance_trajectory import lengths

SLOW = {"marks": pytest.mark.slow}
PROGRAMS = [
    pytest.param(architecture, kind, **({} if architecture == "mlp" else SLOW))
    for architecture in ("mlp", "residual", "conv")
    for kind in ("nnx", "linen")
]


@pytest.fixture(scope="module")
def tanh():
    return mf.recommend("tanh", depth=100, weights="orthogonal")


@pytest.mark.slow
def test_deep_smooth_networks_start_at_one_over_depth(tanh):
    # tanh at q* = 1/100.
    assert tanh.sigma_w**2 == pytest.approx(1.019711, abs=6e-7)
    assert tanh.sigma_b**2 == pytest.approx(1.25800e-6, rel=1e-5)
    assert (tanh.status, tanh.q_star, tanh.xi_c) == ("critical", 0.01, np.inf)
    # 8 q^2 (1 - 10 q + ...) L: the ratio to 8 q^2 is 0.9092 at q = 0.01.
    assert tanh.jacobian_spread == pytest.approx(100 * 0.9092 * 8e-4, rel=1e-4)
    rule = tanh.initializer
    assert (rule.sigma_w, rule.rescaled) == (tanh.sigma_w, True)
    assert any("start at the fixed point" in text for text in tanh.caveats)


@pytest.mark.slow
def test_the_range_keeps_six_depth_scales(tanh):
    low, high = tanh.sigma_w_range
    assert low < tanh.sigma_w < high
    fp = mf.fixed_point(mf.MLP("tanh", low, tanh.sigma_b), q0=0.01)
    assert min(abs(fp.xi_c), abs(fp.xi_grad)) == pytest.approx(100 / 6, rel=0.02)


def test_relu_is_hes_and_says_how_wide():
    found = mf.recommend("relu", depth=30)
    assert (found.sigma_w, found.sigma_b) == (pytest.approx(2**0.5), 0.0)
    # Squared gradients of width n: (1 + 5/n)^30 - 1 = 1 at n = 5 * 30 / ln 2; spread 2 L for Gaussian ReLU.
    assert found.width == np.ceil(150 / np.log(2)) and found.jacobian_spread == pytest.approx(60)
    # By iteration of the arc-cosine map from c = 1/2; its asymptote 44.41 / l^2 reaches e^-6 / 2 at 189.
    assert found.depth_limit == 176
    np.testing.assert_allclose(found.sigma_w_range, 2**0.5 * np.exp([-0.1, 0.1]), rtol=1e-7)


@pytest.mark.slow
def test_gelu_gets_its_stable_branch():
    point = operating_point(mf.activation("gelu"), 100)
    assert point.kind == "stable_branch" and point.sigma_b > 0.415839 and point.chi_q < np.exp(-1 / 100)
    assert mf.critical("gelu", q=point.q).stable


@pytest.mark.slow
def test_no_good_answer_is_said_and_another_way_shown():
    found = mf.recommend("softplus", depth=20)
    assert found.status == "none" and np.isnan(found.sigma_w)
    assert "no sigma_w, sigma_b makes a deep plain network trainable" in found.caveats[0]
    assert "dks('softplus', depth=20)" in found.caveats[1]
    scope: dict = {}
    exec(found.nnx, scope)
    net = scope["Net"](12, 64, 20, 5, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (50, 12))
    # Q(1) = 1: the variance of the outputs is still of order one, where plain softplus would have lost all contrast.
    assert 0.1 < float(net(x).var(0).mean()) < 10
    with pytest.raises(InputError, match="nothing to recommend"):
        found.initializer  # noqa: B018


@pytest.mark.parametrize(
    "name, kind",
    [
        ("step", "none"),
        ("softplus", "none"),
        ("sigmoid", "poor"),
        ("relu6", "critical"),
        ("leaky_relu", "scale_invariant"),
    ],
)
def test_kinds_of_points(name, kind):
    assert operating_point(mf.activation(name), 100).kind == kind


def test_residual_branches_stay_bounded():
    found = mf.recommend("tanh", depth=400, architecture="residual")
    assert found.branch_scale == pytest.approx(0.05)
    # chi = 1 + alpha^2 sigma_w^2 E[phi'^2], and E[phi'^2] falls along the layers: less than e^1.1778.
    assert 0.3 < found.log_gradient < 0.464403 / 0.394294


@pytest.mark.parametrize("architecture, kind", PROGRAMS)
def test_programs_run(architecture, kind):
    phi, init = "mf.activation('leaky_relu', slope=0.1)", "mf.initializers.Orthogonal(1.4, 0.1, rescaled=True)"
    scope: dict = {}
    exec(flax_code(kind, architecture, phi, init, 0.5 if architecture == "residual" else None), scope)
    x = jnp.ones((2, 6, 6, 3) if architecture == "conv" else (2, 12))
    if kind == "nnx":
        out = scope["Net"](x.shape[-1], 16, 2, 5, rngs=nnx.Rngs(0))(x)
    else:
        out, _ = scope["Net"](16, 2, 5).init_with_output(jax.random.key(0), x)
    assert out.shape == (2, 5)


def test_lengths_are_the_trajectory():
    block = mf.MLP("relu", 1.3, 0.2)
    path = lengths(mf.activation("relu"), [1.3], [0.2], 70, [2.0])
    known = mf.trajectory(block, 70, q0=(2.0, 2.0))
    np.testing.assert_allclose(path.q[0], known.q1, rtol=1e-12)
    np.testing.assert_allclose(path.log_gradient[0, -1], np.log(known.chi[:-1]).sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "given, words",
    [({"depth": 0}, "depth"), ({"architecture": "rnn"}, "architecture"), ({"weights": "sparse"}, "weights"),
     ({"depth_wanted": -1}, "depth_wanted")],
)  # fmt: skip
def test_bad_input(given, words):
    with pytest.raises(InputError, match=words):
        mf.recommend("tanh", **given)


def tanh3(x):
    return jnp.tanh(3 * x)


tanh3.__name__ = "tanh"


def test_the_program_has_the_function_and_not_its_name():
    mine = mf.recommend(tanh3, depth=10)
    assert mine.sigma_w == pytest.approx(mf.critical("tanh", q=0.9).sigma_w / 3, rel=1e-8)
    assert "mf.activation(" not in mine.nnx and "your function tanh" in mine.nnx
    renamed = mf.recommend(mf.activation("tanh").named("mine"), depth=10)
    assert "phi = mf.activation('tanh')" in renamed.linen
    text = "where(x > 0, x, a * x)"
    assert f"phi = mf.activation({text!r}, a=0.2)" in mf.recommend(mf.activation(text, a=0.2), depth=10).nnx


def test_a_function_that_has_no_text_is_to_be_filled_in():
    found = mf.recommend(lambda x: jax.nn.softplus(x), depth=20)
    assert "mf.initializers.dks(..., depth=20)" in found.nnx and "your function" in found.nnx


def test_the_depth_limit_does_not_depend_on_who_wrote_the_kink():
    assert mf.recommend(jax.nn.relu, depth=300).depth_limit == 176
    assert mf.recommend("relu6", depth=300).depth_limit == 176


@pytest.mark.slow
def test_the_range_goes_as_far_as_the_criterion():
    low, high = mf.recommend("tanh", depth=20).sigma_w_range
    assert high == pytest.approx(1.97305, abs=1e-4) and low == pytest.approx(0.86113, abs=1e-4)


@pytest.mark.parametrize("name, least", [("silu", 1000), pytest.param("elu", np.inf, **SLOW)])
def test_what_is_recommended_reaches_the_depth(name, least):
    found = mf.recommend(name, depth=1000)
    # At the smallest stable q* squared gradients of silu fall by e^-13 over 1000 layers, those of elu by e^-6.7.
    assert found.depth_limit >= least and abs(found.log_gradient) < 4.5
    assert any("start at the fixed point" in text for text in found.caveats)


def test_a_residual_network_is_wide_enough():
    # At width 6 the squared gradient of 100 ReLU branches has relative variance 2.1.
    assert mf.recommend("relu", depth=100, architecture="residual").width >= 9


def test_what_is_printed_has_the_program():
    found = mf.recommend("relu", depth=10)
    program = repr(found).split("linen` has it in Linen):\n\n")[1]
    exec(program, scope := {})
    assert scope["Net"](3, 8, 2, 5, rngs=nnx.Rngs(0))(jnp.ones((2, 3))).shape == (2, 5)
    assert "<pre>" in found._repr_html_()
