"""LSUV reports layers that it cannot scale; those that it can are in `test_reinitialize`, on users' models."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError


def test_a_dead_layer_is_told():
    layer = nnx.Linear(3, 4, kernel_init=jax.nn.initializers.zeros, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="variance 0"):
        mf.initializers.lsuv(layer, jnp.ones((5, 3)))


def test_a_stack_of_layers_is_refused():
    net = mf.networks.MLP(mf.MLP("tanh", 1.5, 0.3), depth=5, width=10, d_in=64, rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="stack of layers"):
        mf.initializers.lsuv(net, jnp.ones((2, 64)))


class Shared(nnx.Module):
    def __init__(self, rngs, gain=1.0, bias=0.0):
        draw = jax.nn.initializers.normal(gain / 8)
        biases = jax.nn.initializers.normal(bias)
        self.cell = nnx.Linear(64, 64, kernel_init=draw, bias_init=biases, rngs=rngs)
        self.out = nnx.Linear(64, 64, rngs=rngs)

    def __call__(self, x, calls=4):
        for _ in range(calls):
            x = nnx.relu(self.cell(x))
        return self.out(x)


def test_every_call_of_a_shared_layer_counts():
    x = 3 * jax.random.normal(jax.random.key(1), (200, 64))
    with pytest.warns(UserWarning, match="cell is called several times, with variances"):
        scaled, report = mf.initializers.lsuv(Shared(nnx.Rngs(0)), x)
    assert report.layers == ("cell", "out") and report.converged.tolist() == [False, True]
    assert report.lowest[0] < 0.9 and report.highest[0] > 1.1 and report.lowest[1] == report.highest[1]
    seen = []
    for _ in range(4):
        seen.append(float(jnp.var(scaled.cell(x))))
        x = nnx.relu(scaled.cell(x))
    assert (min(seen), max(seen)) == (
        pytest.approx(report.lowest[0], rel=1e-4),
        pytest.approx(report.highest[0], rel=1e-4),
    )
    assert np.mean(seen) == pytest.approx(report.variance[0], rel=1e-4)


def test_biases_beyond_variance_1_are_told_and_the_weights_kept():
    model, x = Shared(nnx.Rngs(0), bias=3.0), jax.random.normal(jax.random.key(1), (200, 64))
    once = lambda model, x: model(x, calls=1)  # noqa: E731
    with pytest.warns(UserWarning, match="biases of cell alone have variance .* weights are kept"):
        scaled, report = mf.initializers.lsuv(model, x, call=once)
    floor = float(jnp.var(model.cell.bias[...]))
    assert floor > 1 and report.from_biases[0] == pytest.approx(floor, rel=1e-5)
    assert (report.scale[0], report.attempts[0], bool(report.converged[0])) == (1.0, 0, False)
    np.testing.assert_array_equal(scaled.cell.kernel[...], model.cell.kernel[...])
    assert report.converged[1]


def test_smaller_biases_are_left_out_of_the_scale():
    model, x = Shared(nnx.Rngs(0), gain=5.0, bias=0.9), jax.random.normal(jax.random.key(1), (200, 64))
    scaled, report = mf.initializers.lsuv(model, x, call=lambda model, x: model(x, calls=1))
    assert 0.5 < report.from_biases[0] < 1 and report.converged.all() and report.attempts[0] <= 2
    assert float(jnp.var(scaled.cell(x))) == pytest.approx(1, abs=0.01)
