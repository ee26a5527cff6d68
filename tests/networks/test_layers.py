"""Weight-standardized layers, residual branches that start as nothing, and muP."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import fixup, mup, mup_params, roles, skip_init, weight_standardized
from meanfield.networks import FixupBranch, SkipBranch, WSConv, WSLinear, linen


def test_standardized_is_the_published_formula():
    rule = weight_standardized("relu")
    kernel = np.random.default_rng(0).normal(0.3, 2.0, (3, 3, 4, 5)).astype(np.float32)
    flat = kernel.reshape(-1, 5)
    by_hand = 1.712859 * (flat - flat.mean(0)) / np.sqrt(36 * flat.var(0))
    np.testing.assert_allclose(rule.standardize(jnp.asarray(kernel)).reshape(-1, 5), by_hand, rtol=1e-5, atol=1e-6)


def test_a_deep_standardized_network_keeps_its_variance():
    rngs, h = nnx.Rngs(0), jax.random.normal(jax.random.key(1), (64, 600))
    for i in range(10):
        rule = weight_standardized("relu") if i else weight_standardized()
        h = WSLinear(600, 600, rule=rule, rngs=rngs)(jax.nn.relu(h) if i else h)
    # A width-n network scatters by about sqrt(10 * 5 / 600); without the exact gamma 10 layers would lose 1e-3 each.
    assert abs(float(jnp.var(h)) - 1) < 0.5


@pytest.mark.slow
def test_nnx_and_linen_agree():
    rule = weight_standardized("gelu", sigma_b=0.1)
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 4))
    ours = WSConv(4, 8, (3, 3), rule=rule, feature_group_count=2, rngs=nnx.Rngs(0))
    theirs = linen.WSConv(8, (3, 3), rule=rule, options={"feature_group_count": 2})
    params = {
        "Conv_0": {"kernel": ours.layer.kernel[...]}, "gain": ours.gain[...], "bias": ours.bias[...],
    }  # fmt: skip
    np.testing.assert_allclose(ours(x), theirs.apply({"params": params}, x), rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(ours.bias[...]).sum()) > 0


def test_adaptive_gradient_clipping_is_optaxs():
    # Brock et al. 2021: G_i <- lam max(|W_i|, eps) / |G_i| G_i where |G_i| exceeds lam max(|W_i|, eps).
    rng = np.random.default_rng(0)
    weights, grads = (rng.normal(0, s, (3, 3, 4, 5)).astype(np.float32) for s in (0.1, 1.0))
    grads[..., 0] *= 1e-4
    clipped, _ = optax.adaptive_grad_clip(0.01, eps=1e-3).update(grads, optax.EmptyState(), weights)
    for i in range(5):
        most = 0.01 * max(np.linalg.norm(weights[..., i]), 1e-3)
        size = np.linalg.norm(grads[..., i])
        np.testing.assert_allclose(clipped[..., i], grads[..., i] * min(1, most / size), rtol=1e-4)


def test_branches_start_as_nothing_and_learn():
    def make(init, rngs):
        return nnx.Linear(6, 6, use_bias=False, kernel_init=init, rngs=rngs)

    x = jax.random.normal(jax.random.key(0), (5, 6))
    branch = FixupBranch(make, rule=fixup(branches=4, layers=3), phi=nnx.relu, rngs=nnx.Rngs(0))
    skip = SkipBranch(make(jax.nn.initializers.lecun_normal(), nnx.Rngs(1)))
    for block in (branch, skip):
        np.testing.assert_array_equal(block(x), x)
        grads = nnx.grad(lambda block: jnp.sum(block(x) ** 2))(block)
        assert sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(grads)) > 0
    assert len(branch.layers) == 3 and branch.scalars.shape == (6,)
    half = SkipBranch(skip.branch, skip_init(branches=4))
    np.testing.assert_allclose(half(x) - x, skip.branch(x) / 2, atol=1e-6)


def _tree(n, d=3, out=2):
    return {
        "in": jnp.ones((d, n)),
        "b": jnp.ones(n),
        "mid": jnp.ones((n, n)),
        "out": jnp.ones((n, out)),
        "c": jnp.ones(out),
    }


def test_mup_rates_are_the_papers():
    wide, base = _tree(64), _tree(16)
    assert roles(wide, base) == {"in": "input", "b": "input", "mid": "hidden", "out": "output", "c": "fixed"}
    rates = {}
    for kind in ("adam", "sgd"):
        step = mup(optax.sgd(1.0), wide, base, kind=kind)
        updates, _ = step.update(wide, step.init(wide), wide)
        rates[kind] = {k: -float(v.ravel()[0]) for k, v in updates.items()}
    assert rates["adam"] == {"in": 1, "b": 1, "mid": 0.25, "out": 0.25, "c": 1}
    assert rates["sgd"] == {"in": 4, "b": 4, "mid": 1, "out": 0.25, "c": 1}
    assert {k: float(v.ravel()[0]) for k, v in mup_params(wide, base).items()} == {
        "in": 1, "b": 1, "mid": 1, "out": 0.5, "c": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match="base"):
        mup(optax.sgd(1.0), wide, {"in": jnp.ones((3, 4))})


class Net(nnx.Module):
    def __init__(self, width, rngs):
        def dense(a, b):
            return nnx.Linear(a, b, kernel_init=mf.initializers.lecun, rngs=rngs)

        self.first, self.middle, self.last = dense(16, width), dense(width, width), dense(width, 4)

    def __call__(self, x):
        return self.last(jnp.tanh(self.middle(jnp.tanh(self.first(x)))))


@pytest.mark.slow
def test_the_coordinate_check_tells_mup_from_the_standard():
    x, y = jax.random.normal(jax.random.key(0), (32, 16)), jnp.arange(32) % 4
    widths = (64, 256, 1024)
    standard = mf.measure.coordinate_check(Net, widths, x, y, optimizer=lambda p, b: optax.adam(3e-3))
    right = mf.measure.coordinate_check(
        Net, widths, x, y, optimizer=lambda p, b: mup(optax.adam(3e-3), p, b), transform=mup_params
    )
    middle = standard.layers.index("middle")
    # Adam's step of fixed size in a matrix of n inputs: changes grow like n in the standard parametrization, and
    # like n^0 with the rate divided by n.
    assert standard.slope[2, middle] > 0.5
    assert (np.abs(right.slope[2]) < 0.2).all()
