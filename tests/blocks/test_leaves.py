"""Leaves by path, and blocks as JSON."""

import copy
import json
import pickle
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import meanfield as mf
from meanfield.blocks.architectures import ARCHITECTURES
from meanfield.errors import InputError
from meanfield.gaussian.named import NAMED

DEEP = mf.Residual(mf.MLP("leaky_relu", 1.2, 0.1), scale=0.5) >> mf.Dropout(0.1) >> mf.Conv([0.2, 0.8], 1.4)


def test_paths_read_and_set():
    assert mf.leaf(DEEP, "scale") == 0.5 and mf.leaf(DEEP, "blocks.0.branch.blocks.1.sigma_w") == 1.2
    both = mf.with_leaf(DEEP, "sigma_w", 3.0)
    assert (both.blocks[0].branch.blocks[1].sigma_w, both.blocks[2].sigma_w) == (3.0, 3.0)
    one = mf.with_leaf(DEEP, "blocks.2.sigma_w", 3.0)
    assert (one.blocks[0].branch.blocks[1].sigma_w, one.blocks[2].sigma_w) == (1.2, 3.0)
    got = mf.with_leaf(DEEP, lambda b: (b.blocks[1].rate, b.blocks[0].scale), 0.3)
    assert (got.blocks[1].rate, got.blocks[0].scale) == (0.3, 0.3)
    for path, says in (("sigma_w", "differ"), ("width", "no leaf"), ("igma_w", "no leaf"), (3, "must be a path")):
        with pytest.raises(InputError, match=says):
            mf.leaf(DEEP, path)
    with pytest.raises(InputError, match="rate=1.5"):
        mf.with_leaf(DEEP, "rate", 1.5)


def test_kinks_follow_their_parameter():
    moved = mf.with_leaf(mf.MLP("soft_shrink", 1.0), "threshold", 0.3)
    assert moved.blocks[0].phi.kinks == (-0.3, 0.3)
    clipped = mf.with_leaf(mf.MLP(mf.activation("clip(x, -a, a)", a=1.0), 1.0), "a", 2.0)
    assert clipped.blocks[0].phi.kinks == pytest.approx((-2.0, 2.0))
    with pytest.raises(InputError, match="kinks"):
        mf.phase_diagram(clipped, x=("a", [1.0, 2.0]), y=("sigma_b", [0.1]))


def test_a_leaf_is_differentiable():
    def chi(slope):
        return mf.fixed_point(mf.with_leaf(mf.MLP("leaky_relu", 1.1, 0.3), "slope", slope)).chi_1

    with jax.enable_x64(True):
        assert float(jax.jit(jax.grad(chi))(0.2)) == pytest.approx(1.1**2 * 0.2, rel=1e-10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_json_there_and_back(name):
    block = mf.architecture(name, "elu") >> mf.Repeat(mf.Sum((mf.MLP("relu", 0.5), mf.Dense(0.3))), 2)
    text = mf.to_json(block)
    back = mf.from_json(text)
    assert mf.to_json(back) == text and jax.tree.structure(back) == jax.tree.structure(block)
    assert jax.tree.all(jax.tree.map(np.array_equal, back, block))


def test_json_that_is_no_block():
    for text, says in (("{", "not a block"), ('{"type": "Dens"}', "Dens"), ("[]", "block=")):
        with pytest.raises(InputError, match=says):
            mf.from_json(text)
    with pytest.raises(InputError, match="callable"):
        mf.to_json(mf.MLP(lambda x: 2 * x, 1.0))
    assert json.loads(mf.to_json(mf.Dense(1.0)))["sigma_w"] == 1.0


def test_a_class_that_is_defined_again_replaces_the_one_before():
    def define():
        @jax.tree_util.register_dataclass
        @dataclass(frozen=True)
        class Again(mf.Block):
            gain: float

        return Again

    first, second = define(), define()
    assert type(mf.from_json(mf.to_json(second(1.5)))) is second is not first


@pytest.mark.parametrize("phi", [*NAMED, "x*tanh(x)", "where(x > 0, x, .2*x)"])
def test_a_block_can_be_pickled_and_copied(phi):
    block = mf.MLP(phi, 1.0, 0.1)
    assert pickle.loads(pickle.dumps(block)) == block
    assert copy.deepcopy(block) == block


def test_a_label_does_not_decide_what_is_written_or_replaced():
    labelled = mf.MLP(mf.activation("leaky_relu", slope=0.2).named("max(x,0)"), 1.0)
    assert mf.from_json(mf.to_json(labelled)).blocks[0].phi.fn is labelled.blocks[0].phi.fn
    mine = mf.activation("where(x > 0, x, a * x)", a=0.1).named("tanh")
    moved = mf.with_leaf(mf.MLP(mine, 1.0), "a", 0.3)
    assert moved.blocks[0].phi.fn == mine.fn and moved.blocks[0].phi.name == "tanh"

    def tanh(x):
        return jnp.tanh(3 * x)

    with pytest.raises(InputError, match="callable"):
        mf.to_json(mf.MLP(tanh, 1.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"type": "Dense", "check": 1}', "Dense has no check; it has sigma_w, sigma_b"),
        ('{"type": "Block"}', "is not known"),
        ('{"type": "Pointwise"}', "is not known"),
        ('{"type": "NoDataclass", "a": 1}', "is not known"),
        ('{"type": "Convolution", "profile": "abc"}', "profile="),
        ('{"type": "Dense", "sigma_w": NaN}', "sigma_w=nan"),
        ('{"type": "Dense", "sigma_w": 1e999}', "sigma_w=inf"),
        ('{"type": "Repeat", "depth": 1000000000000, "block": {"type": "Dense"}}', "too large"),
        ('{"type": "Activate", "phi": {"activation": "x", "params": {"__class__": 1}}}', "no parameter __class__"),
        ('{"type": "Activate", "phi": {"activation": {"type": "Dense"}}}', "must be a name or an expression"),
        ('{"type": "Activate", "phi": ' * 100 + "1" + "}" * 100, "nested more than 64 deep"),
        ("[" * 10**5, "text"),
        ('"' + "x" * 10**7 + '"', "at most 1000000 characters"),
    ],
)
def test_text_makes_blocks_of_their_fields_and_nothing_else(text, says):
    ran = []

    class NoDataclass(mf.Block):
        def __init__(self, **fields):
            ran.append(fields)

    with pytest.raises(InputError, match="^[^\n]*$") as error:
        mf.from_json(text)
    assert says in str(error.value) and not ran
    del NoDataclass


@pytest.mark.slow
def test_arrays_in_a_block_are_for_vmap():
    block = mf.MLP("tanh", np.array([1.2, 1.5]), np.array([0.1, 0.1]))
    with pytest.raises(InputError, match="sigma_w=.* has shape"):
        mf.fixed_point(block)
    single = mf.fixed_point(mf.MLP("tanh", 1.5, 0.1)).q_star
    np.testing.assert_allclose(jax.vmap(mf.fixed_point)(block).q_star[1], single, rtol=1e-5)
