"""Weight-standardized layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from meanfield.initializers import weight_standardized
from meanfield.networks import WSConv, WSLinear, linen


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
