"""The coordinate check of muP, and its layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import meanfield as mf
from meanfield.errors import InputError
from meanfield.initializers import mup, mup_params
from meanfield.training.coordinate_check import coordinate_check


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
    standard = coordinate_check(Net, widths, x, y, optimizer=lambda p, b: optax.adam(3e-3))
    right = coordinate_check(
        Net, widths, x, y, optimizer=lambda p, b: mup(optax.adam(3e-3), p, b), transform=mup_params
    )
    middle = standard.layers.index("middle")
    # Adam's step of fixed size in a matrix of n inputs: changes grow like n in the standard parametrization, and
    # like n^0 with the rate divided by n.
    assert standard.slope[2, middle] > 0.5
    assert (np.abs(right.slope[2]) < 0.2).all()


@pytest.mark.slow
def test_the_layers_of_a_network_are_its_preactivations():
    block = mf.Residual(mf.MLP("tanh", 1.0) >> mf.Dropout(0.1) >> mf.Dense(1.0), scale=0.5)

    def build(width, rngs):
        return mf.networks.Network(block, depth=2, width=width, d_in=16, d_out=4, rngs=rngs)

    x, y = jax.random.normal(jax.random.key(0), (8, 16)), jnp.arange(8) % 4
    found = coordinate_check(build, (16, 32), x, y, optimizer=lambda p, b: optax.sgd(0.1), steps=2, seeds=1)
    assert found.layers == ("0", "1", "2", "output") and found.moved.shape == (2, 3, 4)
    assert (found.moved[:, 0] == 0).all() and (found.moved[:, 1:] > 0).all()


def test_one_width_has_no_slope():
    with pytest.raises(InputError, match="widths must hold at least two"):
        coordinate_check(Net, (16,), jnp.ones((2, 16)), jnp.arange(2), optimizer=lambda p, b: optax.sgd(0.1))
