"""Named schemes as drop-ins: their draws on every shape, and the theory point that they claim to realize."""

from __future__ import annotations

import math
import pickle

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield import initializers
from meanfield.errors import InputError
from meanfield.initializers import (
    Scaled,
    critical,
    delta_orthogonal,
    fixup,
    gain,
    glorot,
    he,
    heuristic,
    lecun,
    orthogonal,
    rezero,
    selu,
    skip_init,
    weight_standardized,
)

DENSE, CONV, GROUPED = (300, 17), (3, 3, 8, 64), (3, 3, 8 // 4, 64)
RULES = {
    "lecun": lecun,
    "lecun uniform": lecun(distribution="uniform"),
    "lecun truncated": lecun(distribution="truncated_normal"),
    "glorot": glorot,
    "glorot normal": glorot(distribution="normal"),
    "he": he,
    "prelu": he(slope=0.25),
    "he fan_out": he(mode="fan_out"),
    "heuristic": heuristic,
    "orthogonal": orthogonal,
    "critical": critical("tanh", sigma_b=0.3),
    "critical orthogonal": critical("tanh", sigma_b=0.3, weights="orthogonal"),
    "fixup": fixup(branches=10),
    "weight standardized": weight_standardized("relu"),
}
# fan_in E[W^2] by hand, fan_in = k k c_in / groups.
BY_HAND = {
    "lecun": (1, 1, 1),
    "he": (2, 2, 2),
    "prelu": (2 / 1.0625,) * 3,
    "glorot": (600 / 317, 2 * 72 / (72 + 576), 2 * 18 / (18 + 576)),
    "he fan_out": (2 * 300 / 17, 2 * 8 / 64, 2 * 2 / 64),
    "orthogonal": (1, 1, 18 / 64),
    "heuristic": (1 / 3,) * 3,
}


def _second(rule, shape, keys=8):
    """fan_in mean(W^2) over several draws."""
    draws = jnp.stack([rule(jax.random.key(i), shape) for i in range(keys)])
    return math.prod(shape[:-1]) * float(jnp.mean(draws**2)), draws.size


def test_every_shipped_rule_is_in_the_table():
    shipped = {name for name in initializers.__all__ if isinstance(getattr(initializers, name), initializers.Rule)}
    assert "he" in shipped
    assert shipped - set(RULES) == {"selu", "delta_orthogonal"}  # lecun's by another name; for convolutions, below


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [DENSE, CONV, GROUPED], ids=str)
def test_what_is_drawn_is_what_is_said(name, shape):
    rule = RULES[name]
    measured, count = _second(rule, shape)
    said = rule.sigma_w_at(shape) ** 2
    # The mean of n squared normals has relative deviation sqrt(2 / n); other entries here vary less.
    assert abs(measured / said - 1) < 5 * math.sqrt(2 / count)
    path = {"fixup": "branch.blocks.0.sigma_w", "weight standardized": "gain"}.get(name, "blocks.1.sigma_w")
    assert mf.leaf(rule.block("tanh", shape), path) == rule.sigma_w_at(shape)


@pytest.mark.parametrize("name", BY_HAND)
def test_points_by_hand(name):
    found = [RULES[name].sigma_w_at(shape) ** 2 for shape in (DENSE, CONV, GROUPED)]
    np.testing.assert_allclose(found, BY_HAND[name], rtol=1e-12)


def test_delta_orthogonal_is_jaxs_and_loses_the_channels():
    key = jax.random.key(3)
    kernel = delta_orthogonal(key, CONV)
    assert bool((kernel == jax.nn.initializers.delta_orthogonal()(key, CONV, jnp.float32)).all())
    assert 8 * float(jnp.mean(kernel[1, 1] ** 2)) == pytest.approx(1 / 8, rel=1e-5)
    assert delta_orthogonal.sigma_w_at(CONV) ** 2 == pytest.approx(1 / 8)
    point = mf.critical("tanh", q=0.1)
    rule = critical("tanh", q=0.1, weights="delta_orthogonal")
    assert 8 * float(jnp.mean(rule(key, CONV)[1, 1] ** 2)) == pytest.approx(point.sigma_w**2, rel=1e-5)
    assert float(jnp.abs(rule(key, CONV).at[1, 1].set(0)).max()) == 0
    # Fewer channels out than in: JAX's refuses, critical takes orthonormal columns.
    assert 64 * float(jnp.mean(rule(key, (3, 64, 8))[1] ** 2)) == pytest.approx(point.sigma_w**2, rel=1e-5)
    with pytest.raises(InputError, match="c_in <= c_out"):
        delta_orthogonal(key, (3, 3, 64, 8))


def test_orthogonal_is_jaxs():
    key = jax.random.key(0)
    assert bool((orthogonal(key, (20, 30)) == jax.nn.initializers.orthogonal()(key, (20, 30), jnp.float32)).all())
    rows = orthogonal(rescaled=True)(key, (20, 30))
    np.testing.assert_allclose(rows @ rows.T, 1.5 * np.eye(20), atol=1e-5)


@pytest.mark.parametrize("name", [*RULES, "delta", "skip"])
def test_rules_are_values(name):
    rule = (RULES | {"delta": delta_orthogonal, "skip": skip_init(branches=4)})[name]
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule and hash(again) == hash(rule)
    assert rule() == rule


def test_options_make_other_rules():
    assert lecun(distribution="uniform") != lecun
    assert he(slope=0.25).sigma_w ** 2 == pytest.approx(1.88235, abs=1e-5)
    assert lecun == selu
    with pytest.raises(InputError, match="unknown option"):
        lecun(gain=2)
    with pytest.raises(InputError, match="distribution"):
        lecun(distribution="cauchy")
    with pytest.raises(InputError, match="shape is missing"):
        lecun(jax.random.key(0))


def test_biases_get_sigma_b():
    draws = critical("gelu", sigma_b=0.5)(jax.random.key(0), (20000,))
    assert abs(float(draws.std()) - 0.5) < 5 * 0.5 / math.sqrt(2 * 20000)
    assert float(jnp.abs(he(jax.random.key(0), (7,))).sum()) == 0


def test_dtype_is_followed():
    for rule in (lecun, orthogonal, delta_orthogonal):
        assert rule(jax.random.key(0), (3, 8, 16), jnp.bfloat16).dtype == jnp.bfloat16


def test_flax_takes_them():
    rule = critical("tanh", sigma_b=0.3)
    for kernel_init in (rule, he, orthogonal(rescaled=True)):
        layer = nnx.Linear(8, 16, kernel_init=kernel_init, bias_init=rule, rngs=nnx.Rngs(0))
        assert float(jnp.abs(layer.bias[...]).sum()) > 0
        nnx.Conv(8, 16, (3, 3), feature_group_count=4, kernel_init=kernel_init, bias_init=rule, rngs=nnx.Rngs(0))
        nn.Dense(16, kernel_init=kernel_init, bias_init=rule).init(jax.random.key(0), jnp.ones((1, 8)))
        nn.Conv(16, (3,), kernel_init=kernel_init, bias_init=rule).init(jax.random.key(0), jnp.ones((1, 5, 8)))
    nnx.MultiHeadAttention(4, 32, kernel_init=rule, bias_init=rule, rngs=nnx.Rngs(0))


# gamma = Var[phi]^(-1/2), E[phi^2]^(-1/2), E[phi'^2] at q = 1, six decimals.
TABLE = {
    "relu": (1.712859, 1.414214, 0.5),
    "gelu": (1.700926, 1.533530, 0.455851),
    "silu": (1.787187, 1.676532, 0.379482),
    "tanh": (1.592537, 1.592537, 0.464403),
    "sigmoid": (4.801313, 1.846229, 0.044836),
    "elu": (1.270843, 1.245198, 0.668102),
    "selu": (1, 1, 1.071575),
    "softplus": (1.919126, 1.041867, 0.293379),
}


@pytest.mark.parametrize("name", TABLE)
def test_gains(name):
    variance, second, slope = TABLE[name]
    assert gain(name, "variance").sigma_w == pytest.approx(variance, abs=6e-7)
    assert gain(name).sigma_w == pytest.approx(second, abs=6e-7)
    assert gain(name, "gradient").sigma_w ** -2 == pytest.approx(slope, abs=6e-7)
    assert weight_standardized(name).gamma == gain(name, "variance").sigma_w


def test_a_moment_that_cannot_be_preserved():
    with pytest.raises(InputError, match="gradient"):
        gain("step", "gradient")
    with pytest.raises(InputError, match="kind"):
        gain("relu", "median")


def test_critical_says_where_there_is_none_or_no_stability():
    with pytest.raises(InputError, match="softplus has no critical point"):
        critical("softplus", sigma_b=0.1)
    with pytest.warns(UserWarning, match="chi_q = 1.095"):
        critical("gelu", sigma_b=0.2)
    assert critical("relu", sigma_b=0.0) == Scaled(critical("relu", q=1.0).sigma_w)


def test_residual_rules():
    rule = fixup(branches=54, layers=2)
    assert rule.shrink == pytest.approx(0.136083, abs=1e-6)
    assert fixup(16, 3).shrink == 0.5
    assert float(jnp.abs(rule.last(jax.random.key(0), (8, 8))).sum()) == 0
    assert float(rezero(jax.random.key(0), ())) == 0 and skip_init(branches=16).alpha == 0.25


def test_he_keeps_and_glorot_halves():
    block = he.block("relu")
    q = mf.trajectory(block, 30, q0=(1.0, 1.0), c0=0.3).q1
    np.testing.assert_allclose(q, 1.0, rtol=1e-12)
    q = mf.trajectory(glorot.block("relu"), 30, q0=(1.0, 1.0), c0=0.3).q1
    np.testing.assert_allclose(q[-1] / q[0], 2.0**-30, rtol=1e-12)


@pytest.mark.slow
def test_he_keeps_q_on_networks():
    # The last-layer variance of one network has the relative deviation sqrt((1 + 2/n)(1 + 5/n)^L - 1).
    width, depth, seeds = 400, 30, 60
    nets = mf.measure(
        lambda rngs: mf.networks.MLP(he.block("relu"), depth=depth, width=width, d_in=64, rngs=rngs, kernel_init=he),
        seeds=seeds, pairs=1, progress=False,
    )  # fmt: skip
    grown = nets.q1[:, -1, 0] / nets.q1[:, 0, 0]
    scatter = math.sqrt((1 + 5 / width) ** depth - 1)
    assert abs(grown.mean() - 1) < 5 * scatter / math.sqrt(seeds)
