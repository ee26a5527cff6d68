"""Grids over two leaves of any block, against single points."""

import numpy as np
import pytest

import meanfield as mf
from meanfield.theory.block_grid import solve_block_grid


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


FIELDS = ("q_star", "c_star", "chi_1", "chi_q", "chi_c")


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [
        mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.0, 0.2),
        mf.Residual(mf.MLP("silu", 1.0, 0.1), skip=0.5),
        mf.Repeat(mf.MLP("hard_tanh", 1.0, 0.1), 3),
    ],
)
def test_tables_give_what_quadrature_does(block):
    w, b = np.linspace(0.8, 2.0, 16), np.linspace(0.05, 0.4, 16)
    grid = solve_block_grid(block, ("sigma_w", "sigma_b"), (w, b), 1.0)
    for i, j in ((0, 0), (3, 15), (15, 3), (15, 15)):
        point = mf.fixed_point(mf.with_leaf(mf.with_leaf(block, "sigma_w", w[j]), "sigma_b", b[i]))
        for name in FIELDS:
            assert getattr(grid, name)[i, j] == pytest.approx(
                float(getattr(point, name)), rel=1e-8, abs=1e-10, nan_ok=True
            )
