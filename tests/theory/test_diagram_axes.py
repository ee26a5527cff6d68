"""Which leaves are the axes of a diagram, and which of the two strategies computes it."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.theory.diagram_axes import sigma_places, wanted_axes

TANH = mf.MLP("tanh", 1.5, 0.3)
VALUES = [0.5, 1.0]


def paths(block, x=None, y=None, sigma_w=None, sigma_b=None):
    return [one.path for one in wanted_axes(block, x, y, sigma_w, sigma_b)]


def test_what_nobody_says_is_a_sigma_that_is_free():
    assert paths(TANH) == ["sigma_w", "sigma_b"]
    assert paths(TANH, x=("sigma_b", VALUES)) == ["sigma_b", "sigma_w"]
    assert paths(TANH, y=("sigma_w", VALUES)) == ["sigma_b", "sigma_w"]
    assert paths(mf.MLP("elu", 1.0), y=("alpha", VALUES)) == ["sigma_w", "alpha"]


def test_sigmas_fill_what_x_and_y_leave():
    assert paths(mf.MLP("elu", 1.0), x=("alpha", VALUES), sigma_w=VALUES) == ["alpha", "sigma_w"]
    assert paths(TANH, sigma_b=VALUES) == ["sigma_w", "sigma_b"]
    with pytest.raises(mf.InputError, match="sigma_b is a third axis"):
        paths(TANH, x=("sigma_w", VALUES), y=("sigma_b", VALUES), sigma_b=VALUES)
    with pytest.raises(mf.InputError, match="'sigma_w', both set 'blocks.1.sigma_w'"):
        paths(TANH, x=("sigma_w", VALUES), y=("sigma_w", VALUES))


def test_a_block_without_sigmas_names_its_leaves():
    block = mf.Activate("leaky_relu") >> mf.Noise(additive=0.1)
    with pytest.raises(mf.InputError, match=r"x=None stands for sigma_w.*blocks\.1\.additive"):
        mf.phase_diagram(block)
    for given in ("sigma_w", ("sigma_w",), 3):
        with pytest.raises(mf.InputError, match="must be"):
            mf.phase_diagram(TANH, x=given)


def places(block, x, y):
    return sigma_places(block, wanted_axes(block, (x, VALUES), (y, VALUES), None, None))


def test_the_fast_grid_is_chosen_by_what_the_block_is():
    assert places(TANH, "sigma_w", "sigma_b") == (0, 1)
    assert places(TANH, "blocks.1.sigma_b", "blocks.1.sigma_w") == (1, 0)
    assert places(TANH, lambda b: b.blocks[1].sigma_w, "sigma_b") == (0, 1)
    assert places(mf.MLP("elu", 1.0), "alpha", "sigma_w") is None
    assert places(TANH >> mf.Dropout(0.1), "sigma_w", "sigma_b") is None
    assert places(TANH >> TANH, "sigma_w", "sigma_b") is None


def test_one_leaf_under_two_names_is_no_diagram():
    for x, y in (
        ("sigma_w", "blocks.1.sigma_w"),
        ("blocks.1.sigma_b", lambda b: b.blocks[1].sigma_b),
        (lambda b: (b.blocks[1].sigma_w, b.blocks[1].sigma_b), "sigma_b"),
    ):
        with pytest.raises(mf.InputError, match="x and y.*both set 'blocks.1.sigma_"):
            mf.phase_diagram(TANH, x=(x, VALUES), y=(y, VALUES))
    with pytest.raises(mf.InputError, match="both set 'blocks.3.sigma_w'"):
        mf.phase_diagram(TANH >> TANH, x=("sigma_w", VALUES), y=("blocks.3.sigma_w", VALUES))


def test_defaults_are_finer_where_points_are_cheap():
    wanted = wanted_axes(TANH, None, None, None, None)
    assert [one.values(fine=True).size for one in wanted] == [300, 250]
    assert [one.values(fine=False).size for one in wanted] == [72, 50]
    np.testing.assert_array_equal(wanted[0].values(fine=False)[[0, -1]], [0.5, 4.0])
