"""Leaves by path, blocks as JSON, critical points in a leaf, diagrams over two; and what the documentation does."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.blocks.architectures import ARCHITECTURES
from meanfield.errors import InputError

DOCS = Path(__file__).parents[2] / "docs"
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


def test_a_critical_leaf_of_an_mlp_is_its_critical_point():
    known = mf.critical("erf", sigma_b=0.3)
    by_w = mf.solve_critical(mf.MLP("erf", 1.0, 0.3), "sigma_w")
    assert by_w.value == pytest.approx(float(known.sigma_w), rel=1e-11)
    assert by_w.q_star == pytest.approx(float(known.q_star), rel=1e-10) and bool(by_w.stable)


@pytest.mark.slow
def test_a_critical_bias_and_a_limit():
    known = mf.critical("erf", sigma_b=0.3)
    by_b = mf.solve_critical(mf.MLP("erf", float(known.sigma_w), 1.0), "sigma_b", bracket=(0.0, 2.0))
    assert by_b.value == pytest.approx(0.3, rel=1e-9)
    limit = mf.solve_critical(mf.MLP("erf", 1.0, 0.0), "sigma_w")
    assert str(limit.status) == "limit_q0" and limit.value**2 == pytest.approx(np.pi / 4, rel=1e-11)


@pytest.mark.slow
def test_a_critical_branch_scale():
    block = mf.Residual(mf.MLP("erf", 2.0, 0.1), scale=1.0, skip=0.9)
    point = mf.solve_critical(block, "scale", bracket=(0.01, 3.0))
    assert str(point.status) == "found"
    for value in point.all_values[np.isfinite(point.all_values)]:
        assert mf.fixed_point(mf.with_leaf(block, "scale", float(value))).chi_1 == pytest.approx(1.0, abs=1e-11)
    none = mf.solve_critical(block, "scale", bracket=(2.0, 3.0))
    assert str(none.status) == "none" and np.isnan(none.value)


def test_a_diagram_over_leaves_is_its_points():
    block = mf.Activate("erf") >> mf.Dropout(0.1) >> mf.Dense(1.0, 0.2)
    x, y = [0.8, 1.5], [0.0, 0.3]
    grid = mf.phase_diagram(block, x=("sigma_w", x), y=("rate", y))
    for i, j in np.ndindex(2, 2):
        at = mf.with_leaf(mf.with_leaf(block, "sigma_w", x[j]), "rate", y[i])
        point = mf.fixed_point(at)
        for name in ("q_star", "c_star", "chi_1", "chi_q", "xi_c"):
            assert getattr(grid, name)[i, j] == pytest.approx(float(getattr(point, name)), rel=1e-8, abs=1e-12)
        assert str(grid.phase[i, j]) == str(point.phase)


def test_sigmas_are_short_for_every_layer(tmp_path):
    block = mf.MLP("relu", 1.0) >> mf.MLP("relu", 1.0)
    grid = mf.phase_diagram(block, sigma_w=[0.5, 1.2], sigma_b=[0.1, 0.2])
    assert grid.q_star.shape == (2, 2) and (grid.x_leaf, grid.y_leaf) == ("sigma_w", "sigma_b")
    expected = 0.1**2 / (1 - 0.25 / 2)
    assert grid.q_star[0, 0] == pytest.approx(expected, rel=1e-12)
    import xarray

    with xarray.open_dataset(grid.save(tmp_path / "grid.nc"), engine="scipy") as data:
        assert data.q_star.dims == ("sigma_b", "sigma_w") and float(data.q_star[0, 0]) == pytest.approx(expected)
    ax = grid.plot()
    assert ax.get_xlabel() == r"$\sigma_w$" and ax.collections


@pytest.mark.parametrize("page", ["blocks.md"])
def test_the_documentation_runs(page, capsys):
    snippets = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    space = {"__name__": "docs"}
    for snippet in snippets:
        exec(snippet, space)
    assert len(snippets) >= 4 and "chi_1" in capsys.readouterr().out
    # A block of a user's own in ten lines.
    own = next(s for s in snippets if "class DropConnect" in s)
    assert len([line for line in own[own.index("@jax") :].splitlines() if line.strip()]) <= 10
