"""The network against a loop written out, and its draw against the variances it is given."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meanfield.training.cells import cell_keys, minibatches
from meanfield.training.cost import chunk_size
from meanfield.training.network import draw, logits, parameter_count

SIZES = {"d_in": 64, "width": 32, "depth": 4, "d_out": 10}


def test_scan_is_the_loop_written_out():
    params = draw(jax.random.key(0), 1.5, 0.3, **SIZES)
    x = jax.random.normal(jax.random.key(1), (5, 64))
    h = x @ params.first_w + params.first_b
    for w, b in zip(params.hidden_w, params.hidden_b, strict=True):
        h = jnp.tanh(h) @ w + b
    h = jnp.tanh(h) @ params.last_w + params.last_b
    np.testing.assert_allclose(logits(params, jnp.tanh, x), h, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_parameters_are_counted(depth):
    sizes = SIZES | {"depth": depth}
    leaves = jax.tree.leaves(draw(jax.random.key(0), 1.0, 0.1, **sizes))
    assert sum(leaf.size for leaf in leaves) == parameter_count(**sizes)
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


def test_every_layer_has_the_variance_it_is_given():
    params = draw(jax.random.key(0), 2.0, 0.5, d_in=64, width=256, depth=20, d_out=256)
    for weights in (params.first_w, params.hidden_w, params.last_w):
        n = weights.size
        # the sample variance of n normals has relative deviation sqrt(2 / n); five of them are a rare accident
        assert float(weights.var()) * weights.shape[-2] == pytest.approx(4.0, rel=5 * (2 / n) ** 0.5)
    assert float(params.hidden_b.var()) == pytest.approx(0.25, rel=5 * (2 / params.hidden_b.size) ** 0.5)


def test_an_epoch_sees_each_example_once():
    rows = minibatches(3, examples=20, steps=9, batch_size=5)
    assert rows.shape == (9, 5)
    assert sorted(rows[:4].ravel()) == sorted(rows[4:8].ravel()) == list(range(20))
    assert not np.array_equal(rows[:4], rows[4:8])


def test_a_cell_draws_the_same_in_any_grid():
    both = cell_keys(0, 8, np.array([1.0, 1.5]), np.array([0, 0]))
    alone = cell_keys(0, 8, np.array([1.5]), np.array([0]))
    assert jax.random.key_data(both[1]).tolist() == jax.random.key_data(alone[0]).tolist()
    places = itertools.product((0, 1), (2, 3), (1.0, 2.0), (0, 1))
    keys = [cell_keys(key, depth, np.array([sigma]), np.array([seed])) for key, depth, sigma, seed in places]
    assert len({tuple(jax.random.key_data(key).ravel().tolist()) for key in keys}) == 16


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("budget", [1, 100, 10**9])
def test_chunks_cover_the_cells_and_fill_the_devices(devices, budget):
    for cells in (1, 7, 11, 64):
        size = chunk_size(cells, 10, budget, devices)
        assert size >= 1 and size % devices == 0
        assert size <= max(budget // 10, 1) + devices and size < cells + devices
