"""Residual branches that start at zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from meanfield.initializers import fixup, skip_init
from meanfield.networks import FixupBranch, SkipBranch


def test_branches_start_as_nothing_and_learn():
    def make(init, rngs):
        return nnx.Linear(6, 6, use_bias=False, kernel_init=init, rngs=rngs)

    x = jax.random.normal(jax.random.key(0), (5, 6))
    branch = FixupBranch(make, rule=fixup(branches=4, layers=3), phi=nnx.relu, rngs=nnx.Rngs(0))
    skip = SkipBranch(make(jax.nn.initializers.lecun_normal(), nnx.Rngs(1)))
    for block in (branch, skip):
        np.testing.assert_array_equal(block(x), x)
        grads = nnx.grad(lambda block: jnp.sum(block(x) ** 2))(block)
        assert sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(grads)) > 0
    assert len(branch.layers) == 3 and branch.scalars.shape == (6,)
    half = SkipBranch(skip.branch, skip_init(branches=4))
    np.testing.assert_allclose(half(x) - x, skip.branch(x) / 2, atol=1e-6)
