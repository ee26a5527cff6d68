"""Finite Flax networks of every block, built here layer by layer, against the block's own theory."""

from functools import partial, singledispatch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.blocks.attention import Attention
from meanfield.blocks.block import Activate, Dense, Serial
from meanfield.blocks.convolution import Convolution
from meanfield.blocks.gated import GLU
from meanfield.blocks.noise import Dropout, Noise, NReLU
from meanfield.blocks.normalization import LayerNorm, RMSNorm, WeightStandardized
from meanfield.blocks.residual import Repeat, Residual, Sum
from meanfield.initializers import Scaled
from meanfield.initializers import WeightStandardized as Standardized
from meanfield.networks import WSLinear

DENSE = mf.Dense(1.2, 0.3)
BLOCKS = {
    "mlp": mf.MLP("erf", 1.5, 0.3),
    "residual": mf.Residual(mf.LayerNorm() >> mf.MLP("erf", 1.2, 0.3), scale=0.8),
    "post-activation": mf.Residual(DENSE >> mf.Activate("relu"), scale=0.8) >> mf.Dense(0.8),
    "sum": mf.Sum((mf.MLP("erf", 1.1, 0.2), mf.MLP("relu", 0.8))),
    "repeat": mf.Repeat(mf.MLP("erf", 1.3, 0.2), 2),
    "dropout": mf.Activate("erf") >> mf.Dropout(0.2) >> DENSE,
    "noise": mf.Activate("relu") >> mf.Noise(0.4, 0.3) >> DENSE,
    "nrelu": mf.NReLU() >> DENSE,
    "layer norm": mf.Activate("relu") >> mf.LayerNorm(1.2) >> DENSE,
    "rms norm": mf.Activate("relu") >> mf.RMSNorm(1.2) >> DENSE,
    "weight standardized": mf.Activate("relu") >> mf.WeightStandardized(1.5, 0.2),
    "convolution": mf.Activate("erf") >> mf.Conv([0.5, 0.3, 0.2], 1.5, 0.2),
    "glu": mf.Dense(1.0, 0.3) >> mf.GLU("silu") >> mf.Dense(1.0, 0.5),  # larger ones explode, and scatter too far
}
DEPTH, C0 = 3, 0.6


@singledispatch
def layer(block, x, key, shared):
    """Activations x (inputs, width) behind one draw of a block; `shared` gives both inputs the same noise."""
    raise NotImplementedError(type(block))


@layer.register
def _(block: Serial, x, key, shared):
    parts = list(block.blocks)
    while parts:
        key, mine = jax.random.split(key)
        part = parts.pop(0)
        if parts and isinstance(parts[0], GLU):
            # Two projections by layers of one kind.
            u, v = (layer(part, x, k, shared) for k in jax.random.split(mine))
            x = parts.pop(0).phi(u) * v
        else:
            x = layer(part, x, mine, shared)
    return x


@layer.register
def _(block: Residual, x, key, shared):
    return block.skip * x + block.scale * layer(block.branch, x, key, shared)


@layer.register
def _(block: Sum, x, key, shared):
    keys = jax.random.split(key, len(block.branches))
    return sum(layer(b, x, k, shared) for b, k in zip(block.branches, keys, strict=True))


@layer.register
def _(block: Repeat, x, key, shared):
    for k in jax.random.split(key, block.depth):
        x = layer(block.block, x, k, shared)
    return x


@layer.register
def _(block: Activate, x, key, shared):
    return block.phi(x)


@layer.register
def _(block: Dense, x, key, shared):
    rule = Scaled(block.sigma_w, block.sigma_b)
    return nnx.Linear(x.shape[-1], x.shape[-1], kernel_init=rule, bias_init=rule, rngs=nnx.Rngs(key))(x)


@layer.register
def _(block: Convolution, x, key, shared):
    width, profile = x.shape[-1], np.asarray(block.profile)

    def filters(key, shape, dtype):
        return block.sigma_w * jax.random.normal(key, shape, dtype) * np.sqrt(profile / width)[:, None, None]

    options = {"padding": "CIRCULAR", "kernel_init": filters, "bias_init": Scaled(1.0, block.sigma_b)}
    conv = nnx.Conv(width, width, profile.shape, rngs=nnx.Rngs(key), **options)
    # Inputs that do not vary over positions: neither do the outputs.
    return conv(jnp.repeat(x[:, None], len(profile), 1))[:, 0]


@layer.register
def _(block: WeightStandardized, x, key, shared):
    return WSLinear(x.shape[-1], x.shape[-1], rule=Standardized(block.gain, block.sigma_b), rngs=nnx.Rngs(key))(x)


def draws(key, x, shared):
    xi = jax.random.normal(key, (2, *x.shape))
    return jnp.broadcast_to(xi[:, :1], xi.shape) if shared else xi


@layer.register
def _(block: Dropout, x, key, shared):
    return nnx.Dropout(block.rate, broadcast_dims=(0,) if shared else (), rngs=nnx.Rngs(key))(x)


@layer.register
def _(block: Noise, x, key, shared):
    one, two = draws(key, x, shared)
    return x * (1 + block.multiplicative * one) + block.additive * two


@layer.register
def _(block: NReLU, x, key, shared):
    return jnp.maximum(0, x + jnp.sqrt(jax.nn.sigmoid(x)) * draws(key, x, shared)[0])


@layer.register
def _(block: LayerNorm, x, key, shared):
    return block.gamma * nnx.LayerNorm(x.shape[-1], epsilon=0.0, rngs=nnx.Rngs(key))(x)


@layer.register
def _(block: RMSNorm, x, key, shared):
    return block.gamma * nnx.RMSNorm(x.shape[-1], epsilon=0.0, rngs=nnx.Rngs(key))(x)


@layer.register
def _(block: Attention, x, key, shared):
    values = nnx.Linear(x.shape[-1], x.shape[-1], use_bias=False, kernel_init=Scaled(block.sigma_v), rngs=nnx.Rngs(key))
    return values(jnp.broadcast_to(x.mean(0), x.shape))


def measured(block, width, key):
    """(q1, q2, q12) behind DEPTH blocks, and the factor of a small difference, of one network."""
    keys = jax.random.split(key, DEPTH + 2)
    u, v = jax.random.normal(keys[0], (2, width))
    x = jnp.stack([u, C0 * u + (1 - C0**2) ** 0.5 * v])

    def network(x, shared):
        for k in keys[2:]:
            x = layer(block, x, k, shared)
        return x

    out = network(x, False)
    direction = jax.random.normal(keys[1], x.shape)
    moved = jax.jvp(partial(network, shared=True), (x,), (direction,))[1][0]
    return jnp.array([*jnp.mean(out**2, -1), jnp.mean(out[0] * out[1]), jnp.sum(moved**2) / jnp.sum(direction[0] ** 2)])


def compare(block, width, seeds):
    found = np.asarray(jax.jit(lambda keys: jax.lax.map(partial(measured, block, width), keys))(
        jax.random.split(jax.random.key(7), seeds)
    ), float)  # fmt: skip
    path = mf.trajectory(block, DEPTH, c0=C0)
    q, c = path.q1[-1], path.c[-1]
    theory = np.array([q, q, q * c, np.prod(path.chi[:-1])])
    error = found.std(0, ddof=1) / np.sqrt(seeds)
    # The mean at finite width is off by a few layers / width.
    allowed = 5 * error + 4 * DEPTH / width * np.abs(theory)
    return np.abs(found.mean(0) - theory), allowed, theory


# The others are slow for what compiling costs, not for their networks.
QUICK = ("residual",)


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in BLOCKS])
def test_a_network_of_width_512_agrees(name):
    distance, allowed, theory = compare(BLOCKS[name], 512, 24)
    assert np.all(distance < allowed), (distance / allowed, theory)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_a_network_of_width_2000_agrees(name):
    distance, allowed, theory = compare(BLOCKS[name], 2000, 24)
    assert np.all(distance < allowed), (distance / allowed, theory)
    # A theory 25% off is refused.
    assert np.any(0.25 * np.abs(theory) > distance + allowed)


def test_a_wrong_theory_is_refused():
    _, allowed, theory = compare(BLOCKS["dropout"], 512, 24)
    wrong = mf.trajectory(mf.Activate("erf") >> mf.Dropout(0.2) >> mf.Dense(1.35, 0.3), DEPTH, c0=C0)
    other = np.array([wrong.q1[-1], wrong.q1[-1], wrong.q1[-1] * wrong.c[-1], np.prod(wrong.chi[:-1])])
    assert np.any(np.abs(other - theory) > 2 * allowed)


@pytest.mark.slow
def test_tokens_of_a_network_agree():
    block, width, tokens = mf.Residual(mf.Attention(tokens=8), scale=0.5), 512, 8

    def one(key):
        keys = jax.random.split(key, 7)
        shared, own = jax.random.normal(keys[0], (width,)), jax.random.normal(keys[1], (tokens, width))
        x = np.sqrt(0.2) * shared + np.sqrt(0.8) * own
        for k in keys[2:]:
            x = layer(block, x, k, False)
        gram = x @ x.T / width
        q = jnp.trace(gram) / tokens
        return jnp.array([q, (jnp.sum(gram) - tokens * q) / (tokens * (tokens - 1)) / q])

    found = np.asarray(jax.vmap(one)(jax.random.split(jax.random.key(3), 20)))
    path = mf.trajectory(block, 5, c_within=0.2)
    error = found.std(0, ddof=1) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(0) - [path.q1[-1], path.c_within[-1]]) < 5 * error + 0.01)
    assert abs(path.c_within[-1] - 0.2) > 0.1
