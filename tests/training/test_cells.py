"""How the networks of a sweep are drawn, batched and cut into chunks."""

import itertools

import jax
import numpy as np
import pytest
from flax import nnx

import meanfield as mf
from meanfield.networks import MLP
from meanfield.networks.network import parameter_count
from meanfield.training import Sweep
from meanfield.training.cells import cell_key, draw
from meanfield.training.cost import chunk_size
from meanfield.training.task import minibatches

SWEEP = Sweep(sigma_w=[1.5, 2.0], sigma_b=0.3, depths=(1, 2, 5), width=32, seeds=2)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_parameters_are_counted(depth):
    cells = draw(SWEEP, depth, [(1.5,)], [0], d_in=64, d_out=10)
    leaves = jax.tree.leaves(cells.params)
    expected = parameter_count(SWEEP.block, depth=depth - 1, width=32, d_in=64, d_out=10)
    assert sum(leaf.size for leaf in leaves) == expected == 65 * 32 + (depth - 1) * 33 * 32 + 33 * 10
    assert all(leaf.dtype == np.float32 for leaf in leaves)


def test_a_cell_is_the_network_of_its_own_coordinates():
    cells = draw(SWEEP, 5, [(1.5,), (2.0,), (2.0,)], [0, 0, 1], d_in=64, d_out=10)
    kernels = np.asarray(cells.params["kernel"][...])
    alone = draw(SWEEP, 5, [(2.0,)], [1], d_in=64, d_out=10)
    np.testing.assert_array_equal(kernels[2], np.asarray(alone.params["kernel"][...])[0])
    assert not np.allclose(kernels[0] * 2.0 / 1.5, kernels[1]) and not np.allclose(kernels[1], kernels[2])
    params, _ = jax.random.split(cell_key(0, 5, (2.0,), 1))
    network = MLP(mf.MLP("tanh", 2.0, 0.3), depth=4, width=32, d_in=64, d_out=10, rngs=nnx.Rngs(params=params))
    # A fused program rounds differently from single operations.
    np.testing.assert_allclose(network.kernel[...], kernels[2], rtol=1e-6)


def test_an_epoch_sees_each_example_once():
    rows = minibatches(3, examples=20, steps=9, batch_size=5)
    assert rows.shape == (9, 5)
    assert sorted(rows[:4].ravel()) == sorted(rows[4:8].ravel()) == list(range(20))
    assert not np.array_equal(rows[:4], rows[4:8])


def test_a_key_belongs_to_one_cell():
    places = itertools.product((0, 1), (2, 3), ((1.0, 2.0), (2.0, 1.0), (1.0,)), (0, 1))
    keys = [cell_key(*place) for place in places]
    assert len({tuple(jax.random.key_data(key).ravel().tolist()) for key in keys}) == 24


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("budget", [1, 100, 10**9])
def test_chunks_cover_the_cells_and_fill_the_devices(devices, budget):
    for cells in (1, 7, 11, 64):
        size = chunk_size(cells, 10, budget, devices)
        assert size >= 1 and size % devices == 0
        assert size <= max(budget // 10, 1) + devices and size < cells + devices
