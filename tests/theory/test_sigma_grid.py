"""Grids of a fully connected network's two sigmas, tile by tile."""

import jax
import numpy as np
import pytest

import meanfield as mf
from meanfield.interface.precision import in_float64
from meanfield.tables.moment_table import Table
from meanfield.theory import sigma_grid

SIGMA_B = (0.0, 0.5, 8)


@pytest.fixture
def new_table(monkeypatch):
    """Makes diagrams use a table that nobody has asked for anything, in tiles of that many points."""

    def use(tile):
        table = in_float64(Table)(mf.activation("tanh"))
        monkeypatch.setattr(sigma_grid, "TILE", tile)
        monkeypatch.setattr(sigma_grid, "table_of", lambda phi: table)
        return table

    return use


def test_tiles_that_wait_for_panels_say_what_one_tile_says(new_table):
    table = new_table(32)
    mf.phase_diagram("tanh", sigma_w=(0.5, 1.5, 4), sigma_b=SIGMA_B)
    narrow = table.panels
    # Of the four tiles the first needs what there is; the later ones need panels further out.
    by_tiles = mf.phase_diagram("tanh", sigma_w=(0.5, 3.5, 16), sigma_b=SIGMA_B)
    assert narrow < table.panels
    new_table(128)
    at_once = mf.phase_diagram("tanh", sigma_w=(0.5, 3.5, 16), sigma_b=SIGMA_B)
    for mine, other in zip(jax.tree.leaves(by_tiles.point), jax.tree.leaves(at_once.point), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("phi", "sigma_w", "sigma_b"),
    [
        ("sigmoid", 1000.0, 0.0),
        ("where(abs(x)<1, x, sign(x)*(1+.3*(abs(x)-1)))", 3.3, 0.3),
        ("hard_tanh", 100.0, 0.3),
        ("softsign", 100.0, 0.0),
    ],
)
def test_grids_are_single_points_at_large_variances(phi, sigma_w, sigma_b):
    grid = mf.phase_diagram(phi, sigma_w=np.array([sigma_w, 1.01 * sigma_w]), sigma_b=np.array([sigma_b]))
    point = mf.fixed_point(mf.MLP(phi, sigma_w, sigma_b))
    for field in ("q_star", "one_minus_c_star", "chi_1", "chi_c", "xi_c"):
        assert float(getattr(grid, field)[0, 0]) == pytest.approx(float(getattr(point, field)), rel=2e-9), field
    if phi == "sigmoid":
        assert float(point.one_minus_c_star) == pytest.approx(0.208310857135, rel=1e-11)
