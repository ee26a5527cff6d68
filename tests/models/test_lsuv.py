"""LSUV reports layers that it cannot scale; those that it can are in `test_reinitialize`, on users' models."""

from __future__ import annotations

import jax
import jax.numpy as jnp
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
