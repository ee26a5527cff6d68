"""Which arrays of a model are kernels, biases, and stacks of layers."""

from __future__ import annotations

import pytest
from flax import nnx

import meanfield as mf
from meanfield.models.reader import _is_bias, nnx_layers


@pytest.mark.parametrize("name", ["bias", "b", "first_bias", "out_b", "bias_2", "b1"])
def test_names_of_biases(name):
    assert _is_bias(name)


@pytest.mark.parametrize("name", ["kernel", "kernel_2", "scale", "embedding", "bias_scale"])
def test_names_of_others(name):
    assert not _is_bias(name)


def test_a_network_of_a_block_is_one_layer_of_stacks():
    block = mf.Sum((mf.LayerNorm() >> mf.MLP("tanh", 1.0), mf.Repeat(mf.Dense(0.5), 2)))
    net = mf.networks.Network(block, depth=3, width=8, d_in=5, rngs=nnx.Rngs(0))
    (layer,) = nnx_layers(net)
    assert set(layer.kernels) == {"first_kernel", "kernel", "kernel_2"}
    assert set(layer.biases) == {"first_bias", "bias", "bias_2"}
    assert layer.stacked == {"scale": 1, "kernel": 1, "bias": 1, "kernel_2": 2, "bias_2": 2}
