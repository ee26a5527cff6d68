"""Users' models, reinitialized and brought to unit variance without edits."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError


class Wing(nnx.Module):
    """Loops, a list, names of its own, and a raw parameter."""

    def __init__(self, channels, count, r):
        self.things = nnx.List([nnx.Conv(channels, channels, (3, 3), rngs=r) for _ in range(count)])

    def __call__(self, signal):
        for thing in self.things:
            signal = jnp.tanh(thing(signal))
        return signal


class Castle(nnx.Module):
    def __init__(self, r, each=24, channels=8):
        self.gate = nnx.Conv(1, channels, (3, 3), rngs=r)
        self.wings = nnx.Dict(east=Wing(channels, each, r), west=Wing(channels, each, r))
        self.norm = nnx.BatchNorm(channels, rngs=r)
        self.flag = Mast(channels, 10, r)

    def __call__(self, x):
        x = jnp.tanh(self.gate(x))
        for side in ("west", "east"):
            x = self.wings[side](x)
        return self.flag(self.norm(x).mean((1, 2)))


class Mast(nnx.Module):
    def __init__(self, into, out, r):
        self.rope = nnx.Param(jax.random.normal(r.params(), (into, out)))
        self.b = nnx.Param(jnp.zeros(out))

    def __call__(self, x):
        return x @ self.rope[...] + self.b[...]


@pytest.mark.slow
@pytest.mark.parametrize("each", [2, 24])
def test_a_deep_conv_net_of_somebody_else(each):
    model, x = Castle(nnx.Rngs(0), each), jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    rule = mf.initializers.critical("tanh", q=0.02, weights="delta_orthogonal")
    before = nnx.state(model, nnx.Param)
    again = mf.reinitialize(model, rule, 3)
    assert type(again) is Castle
    same = jax.tree.map(lambda a, b: bool((a == b).all()), before, nnx.state(model, nnx.Param))
    assert all(jax.tree.leaves(same)), "the model that was given has changed"
    thing = again.wings["east"].things[1]
    assert float((thing.kernel[1, 1] ** 2).mean()) * 8 == pytest.approx(rule.sigma_w**2, rel=1e-4)
    assert float(jnp.abs(thing.kernel[0, 0]).sum()) == 0 and float(jnp.abs(thing.bias[...]).sum()) > 0
    assert float((again.flag.rope[...] ** 2).mean()) * 10 == pytest.approx(rule.sigma_w**2 * 10 / 8, rel=1e-4)
    assert bool((again.norm.scale[...] == 1).all())
    ready, report = mf.initializers.lsuv(again, x)
    assert len(report.layers) == 2 * each + 2 and report.layers[:2] == ("gate", "wings/west/things/0")
    assert report.layers[-1] == "flag" and report.passes <= 2 * each + 8
    np.testing.assert_allclose(report.variance, 1, atol=report.tolerance)
    assert report.converged.all() and (report.attempts >= 1).all() and abs(report.before[-1] - 1) > 0.1
    # Measured again, independently.
    assert float(jnp.var(ready.gate(x))) == pytest.approx(1, abs=0.01)
    assert float(jnp.var(ready(x))) == pytest.approx(1, abs=0.01)
    assert "wrapper" not in nnx.Conv.__call__.__qualname__


class Tower(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        for floor in range(5):
            x = nn.gelu(nn.Dense(32, name=f"floor{floor}")(x))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(nn.Embed(7, 32)(jnp.zeros(x.shape[0], int)) + x)


def test_linen_variables():
    tower, x = Tower(), jax.random.normal(jax.random.key(0), (100, 8))
    variables = tower.init(jax.random.key(0), x)
    again = mf.reinitialize(variables, mf.initializers.he, 1)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    assert bool((again["params"]["Embed_0"]["embedding"] == variables["params"]["Embed_0"]["embedding"]).all())
    kernel = again["params"]["floor1"]["kernel"]
    assert abs(float(kernel.std()) * 32**0.5 - 2**0.5) < 0.15
    ready, report = mf.initializers.lsuv(tower, x, again)
    assert report.layers == ("floor0", "floor1", "floor2", "floor3", "floor4", "Dense_0")
    first = x @ ready["params"]["floor0"]["kernel"] + ready["params"]["floor0"]["bias"]
    assert float(jnp.var(first)) == pytest.approx(1, abs=0.01)
    _, quiet = mf.initializers.lsuv(tower, x, ready, call=lambda model, x: model(x, train=False))
    assert (quiet.attempts[:5] == 0).all()


def test_where_and_foreign_rules():
    model = Castle(nnx.Rngs(0), 2)
    again = mf.reinitialize(model, jax.nn.initializers.zeros, 0, where=lambda path: "west" in path)
    assert float(jnp.abs(again.wings["west"].things[0].kernel[...]).sum()) == 0
    assert bool((again.gate.kernel[...] == model.gate.kernel[...]).all())
    with pytest.raises(InputError, match="where"):
        mf.reinitialize(model, mf.initializers.he, 0, where=lambda path: False)


def test_stacks_are_seen():
    net = mf.networks.MLP(mf.MLP("tanh", 1.5, 0.3), depth=5, width=100, d_in=64, rngs=nnx.Rngs(0))
    again = mf.reinitialize(net, mf.initializers.Scaled(2.0, 0.5), 1)
    assert abs(float(again.kernel.std()) * 10 - 2) < 0.05
    assert len({float(k.sum()) for k in again.kernel[...]}) == 5


@pytest.mark.slow
def test_attention_kernels_have_the_fan_of_their_inputs():
    attention = nnx.MultiHeadAttention(8, 64, rngs=nnx.Rngs(0))
    again = mf.reinitialize(attention, mf.initializers.lecun, 1)
    for layer in (again.query, again.out):
        # 4096 squared normals: relative deviation sqrt(2 / 4096).
        assert abs(float((layer.kernel[...] ** 2).mean()) * 64 - 1) < 5 * (2 / 4096) ** 0.5


@pytest.mark.parametrize("model", [3, nnx.BatchNorm(3, rngs=nnx.Rngs(0)), {"params": {"norm": {"scale": np.ones(3)}}}])
def test_what_is_no_model(model):
    with pytest.raises(InputError, match="model"):
        mf.reinitialize(model, mf.initializers.he)


def test_layers_that_a_block_repeats_are_layers_of_their_own():
    block = mf.Repeat(mf.MLP("tanh", 1.5, 0.3), 2)
    net = mf.networks.Network(block, depth=3, width=100, d_in=64, rngs=nnx.Rngs(0))
    again = mf.reinitialize(net, mf.initializers.Scaled(2.0, 0.5))
    assert again.kernel.shape == (3, 2, 100, 100)
    assert abs(float(again.kernel.std()) * 10 - 2) < 0.05 and abs(float(again.bias.std()) - 0.5) < 0.1
