"""The variances that a block visits, as an output: through chains, branches, loops, vmap and scan."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import meanfield as mf
from meanfield.gaussian.moments import sampled
from meanfield.solvers.fixed_variance import variance
from meanfield.tables.tabulated_block import tables_for
from meanfield.tables.visits import activations_of, visited, widened, with_activations


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def on_samples(block):
    return with_activations(block, [sampled(phi, jnp.float64) for phi in activations_of(block)])


def ranges(block, q):
    return jax.jit(lambda q: visited(on_samples(block), lambda watched: variance(watched, q))[1])(jnp.asarray(q))


def test_a_chain_is_visited_at_its_own_variances():
    block = mf.MLP("tanh", 1.5, 0.3) >> mf.MLP("silu", 0.7)
    after = float(mf.variance_map(mf.MLP("tanh", 1.5, 0.3), 2.0))
    np.testing.assert_allclose(ranges(block, 2.0), [[2.0, 2.0], [after, after]], rtol=1e-12)


def test_a_loop_carries_what_it_visits():
    layer = mf.MLP("tanh", 1.5, 0.3)
    path = [3.0]
    for _ in range(9):
        path.append(float(mf.variance_map(layer, path[-1])))
    # A loop in a loop, in a branch: the scale is what the branch adds, which does not matter here.
    block = mf.Residual(mf.Repeat(mf.Repeat(layer, 2), 5), scale=0.5)
    np.testing.assert_allclose(ranges(block, 3.0), [[min(path), max(path)]], rtol=1e-12)


def test_ranges_leave_scan_and_vmap_as_outputs():
    layer = on_samples(mf.MLP("tanh", 1.2, 0.1))

    def along(q):
        def step(carry, _):
            after, here = visited(layer, lambda watched: variance(watched, carry[0]))
            return (after, widened(carry[1], here)), carry[0]

        first = (q, jnp.asarray([[jnp.inf, -jnp.inf]]))
        (_, found), path = lax.scan(step, first, length=6)
        return found, path

    found, path = jax.vmap(along)(jnp.array([0.2, 5.0]))
    np.testing.assert_allclose(found[:, 0], np.stack([path.min(1), path.max(1)], 1), rtol=1e-14)


def test_an_activation_that_nothing_asks_has_an_empty_range():
    found = visited(on_samples(mf.MLP("tanh", 1.0)), lambda watched: jnp.zeros(()))[1]
    np.testing.assert_array_equal(found, [[np.inf, -np.inf]])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Looped(mf.Block):
    """A block with its own loop, whose visits cannot be recorded."""

    block: mf.Block

    def __call__(self, kernel):
        return lax.fori_loop(0, 2, lambda _, k: self.block(k).as_arrays(), kernel.as_arrays())


def test_a_loop_that_does_not_carry_them_has_no_tables():
    def visit(samples):
        block = with_activations(looped, samples)
        return jax.jit(lambda q: visited(block, lambda watched: variance(watched, q))[1])(jnp.float64(1.0))

    looped = Looped(mf.MLP("tanh", 1.5, 0.3))
    assert tables_for(looped, visit) is None
    looped = mf.Repeat(mf.MLP("tanh", 1.5, 0.3), 2)
    assert [phi.name for phi in tables_for(looped, visit)] == ["table"]


def test_closed_forms_and_value_jumps_have_no_tables():
    def visit(samples):
        raise AssertionError("nothing is to be visited")

    assert tables_for(mf.MLP("relu", 1.0), visit) is None
    assert tables_for(mf.MLP("tanh", 1.0) >> mf.MLP("sign", 1.0), visit) is None
