"""Grids against single points; the critical line; files; large grids and many devices."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import meanfield as mf

FIELDS = ("q_star", "one_minus_c_star", "chi_1", "chi_c", "chi_q", "xi_c", "xi_q")


def disagreements(grid, cells, rtol=1e-8):
    """Cells in which the grid and the single point differ."""
    found = []
    for i, j in cells:
        point = mf.fixed_point(mf.MLP(grid.activation, grid.sigma_w[j], grid.sigma_b[i]))
        if str(point.status) != str(grid.status[i, j]) or str(point.phase) != str(grid.phase[i, j]):
            found.append((i, j, str(point.status), str(grid.status[i, j])))
        for name in FIELDS:
            here, there = float(getattr(grid, name)[i, j]), float(getattr(point, name))
            if not (here == there or abs(here - there) <= rtol * abs(there) or (np.isnan(here) and np.isnan(there))):
                found.append((i, j, name, here, there))
        if np.isfinite(point.q_star) and abs(grid.q_star[i, j] - point.q_star) > grid.q_error[i, j] + point.q_error:
            found.append((i, j, "q_error", grid.q_error[i, j], grid.q_star[i, j] - point.q_star))
        if not np.allclose(grid.all_q[i, j], point.all_q, rtol=1e-8, equal_nan=True):
            found.append((i, j, "all_q", grid.all_q[i, j], point.all_q))
    return found


@pytest.mark.parametrize(
    "phi",
    [
        *("tanh", "gelu", "relu"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("hard_tanh", "selu", "sin", "gaussian")),
    ],
)
def test_a_grid_is_its_points(phi):
    grid = mf.phase_diagram(phi, sigma_w=(0.5, 3.0, 26), sigma_b=(0.0, 1.0, 11))
    rng = np.random.default_rng(1)
    cells = [(0, 0), (0, 25), (10, 25), *zip(rng.integers(11, size=6), rng.integers(26, size=6), strict=True)]
    assert not disagreements(grid, cells)


@pytest.mark.parametrize("phi", ["tanh", pytest.param("hard_tanh", marks=pytest.mark.slow)])
def test_near_criticality(phi):
    critical = float(mf.critical(phi, sigma_b=1.0).sigma_w)
    grid = mf.phase_diagram(phi, sigma_w=[critical * (1 + 1e-3), critical * (1 + 1e-5)], sigma_b=[1.0])
    assert not disagreements(grid, [(0, 0), (0, 1)])


@pytest.mark.parametrize("shape", [(1, 1), (700, 3), (3, 700), (300, 300)])
def test_tiles_are_one_grid(shape):
    rows, columns = shape
    grid = mf.phase_diagram("erf", sigma_w=(0.5, 2.5, columns), sigma_b=(0.1, 1.0, rows))
    assert grid.q_star.shape == shape and grid.all_q.shape == (*shape, 5) and grid.status.shape == shape
    assert not disagreements(grid, [(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)])


_DEVICES = """
import sys, numpy as np, jax, meanfield as mf
grid = mf.phase_diagram("erf", sigma_w=(0.5, 2.5, 61), sigma_b=(0.0, 1.0, 47))
assert len(jax.devices()) == 8
np.save(sys.argv[1], [grid.q_star, grid.chi_c, grid.one_minus_c_star])
"""


def test_eight_devices_give_the_numbers_of_one(tmp_path):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", _DEVICES, tmp_path / "8.npy"], env=os.environ | flags, check=True)
    one = mf.phase_diagram("erf", sigma_w=(0.5, 2.5, 61), sigma_b=(0.0, 1.0, 47))
    # Of chi_c, since xi_c near criticality multiplies its last bit by thousands of layers.
    expected = [one.q_star, one.chi_c, one.one_minus_c_star]
    np.testing.assert_allclose(np.load(tmp_path / "8.npy"), expected, rtol=1e-12, atol=1e-15)


_LARGE = """
import resource, sys, meanfield as mf
grid = mf.phase_diagram("tanh", sigma_w=(0.5, 4.0, 4096), sigma_b=(0.0, 1.0, 4096))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(grid.xi_c.shape, peak if sys.platform == "darwin" else peak * 1024)
"""


@pytest.mark.slow
def test_sixteen_million_points_in_four_gibibytes():
    pytest.importorskip("resource")
    out = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True).stdout
    shape, peak = out.rsplit(maxsplit=1)
    assert shape == "(4096, 4096)" and int(peak) < 4 * 2**30


def test_bistable_cells_have_all_their_fixed_points():
    grid = mf.phase_diagram("gelu", sigma_w=[1.412, 1.414], sigma_b=[0.38, 0.385])
    assert np.isfinite(grid.all_q[1, 0]).sum() == 3 and np.isfinite(grid.all_q[0, 1]).sum() == 3
    assert not disagreements(grid, [(0, 0), (0, 1), (1, 0), (1, 1)])


def test_what_the_scan_cannot_decide_goes_to_the_solver():
    grid = mf.phase_diagram("relu", sigma_w=[1.0, 2**0.5, 1.5], sigma_b=[0.0, 0.1])
    assert grid.status.code.tolist() == [[1, 2, 3], [0, 3, 3]]  # zero, scale-invariant, diverges; converged
    tanh = mf.phase_diagram("tanh", sigma_w=[0.9, 1.0, 1 + 1e-3], sigma_b=[0.0])
    assert str(tanh.status[0, 1]) == "zero" and str(tanh.phase[0, 1]) == "critical"
    assert not disagreements(tanh, [(0, 0), (0, 1), (0, 2)])


@pytest.mark.slow
def test_a_fixed_point_where_two_steps_of_the_scan_meet():
    # selu's q = 1 at sigma_w = 1; the scan's own points are powers of ten to rounding.
    grid = mf.phase_diagram("selu", sigma_w=[1.0, 1.0 + 1e-9], sigma_b=[0.0, 1e-9])
    assert not disagreements(grid, [(0, 0), (0, 1), (1, 0)])


@pytest.mark.slow
@pytest.mark.parametrize("phi", ["exp(x**2/8)", "sinh(x)", "exp(x)"])
def test_moments_that_become_infinite(phi):
    # exp(x^2 / 8) has none from q = 2 on; the others outgrow the rule's reach.
    grid = mf.phase_diagram(phi, sigma_w=[0.0, 0.3, 0.6, 1.2], sigma_b=[0.0, 0.1, 0.5])
    assert not disagreements(grid, [(i, j) for i in range(3) for j in range(4)])
    known = grid.all_q[~np.isnan(grid.all_q)]
    assert np.all((known >= 0) & (known < (2 if phi == "exp(x**2/8)" else np.inf)))


@pytest.mark.slow
def test_an_activation_that_is_zero_around_zero():
    grid = mf.phase_diagram("soft_shrink", sigma_w=(0.5, 2.0, 16), sigma_b=(0.0, 1.0, 5))
    assert not disagreements(grid, [(0, 0), (0, 5), (4, 5), (2, 12), (0, 12)])


@pytest.mark.slow
def test_sinh_diverges_above_its_unstable_fixed_point():
    # V(q) = sigma_w^2 (exp(2 q) - 1) / 2 + sigma_b^2.
    grid = mf.phase_diagram("sinh(x)", sigma_w=[0.6], sigma_b=[0.1])
    assert str(grid.status[0, 0]) == "diverges"
    for q in grid.all_q[0, 0, :2]:
        assert q == pytest.approx(0.18 * np.expm1(2 * q) + 0.01, rel=1e-10)


@pytest.mark.slow
def test_where_polynomials_do_not_reach():
    small = mf.phase_diagram("hard_tanh", sigma_w=[1.000001, 1.001], sigma_b=[0.0])
    assert not disagreements(small, [(0, 0), (0, 1)], rtol=1e-6)


def test_activations_with_steps():
    grid = mf.phase_diagram("sign", sigma_w=[0.5, 2.0], sigma_b=[0.0, 0.5])
    assert (grid.phase == "chaotic").all() and np.isinf(grid.chi_1).all()
    assert not disagreements(grid, [(0, 0), (1, 1)])


def test_the_line_is_critical_and_inside():
    grid = mf.phase_diagram("tanh", sigma_w=(0.5, 2.0, 7), sigma_b=(0.0, 0.5, 5))
    line = grid.critical_line
    seen = np.flatnonzero(np.isfinite(line.sigma_w))
    assert seen.size > 50 and line.sigma_w[seen].max() <= 2.0 and line.sigma_b[seen].max() <= 0.5
    for i in seen[[0, seen.size // 2, -1]]:
        point = mf.fixed_point(mf.MLP("tanh", line.sigma_w[i], line.sigma_b[i]))
        assert point.chi_1 == pytest.approx(1.0, abs=1e-9) and point.q_star == pytest.approx(line.q[i], rel=1e-6)


FIGURES = Path(__file__).parents[2] / "figures"


def same(one, other):
    return jax.tree.structure(one) == jax.tree.structure(other) and jax.tree.all(
        jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), one, other)
    )


@pytest.mark.parametrize("block", ["tanh", mf.Activate("relu") >> mf.Dropout(0.1) >> mf.Dense(1.0)])
def test_numbers_are_kept(tmp_path, block):
    xarray = pytest.importorskip("xarray")
    grid = mf.phase_diagram(block, sigma_w=(1.0, 2.0, 3), sigma_b=[0.1, 0.2])
    path = grid.save(tmp_path / "grid.nc")
    with xarray.open_dataset(path, engine="scipy") as stored:
        assert stored.xi_c.dims == ("sigma_b", "sigma_w") and stored.xi_c.units == "layers"
        np.testing.assert_array_equal(stored.xi_c.values, grid.xi_c)
        assert stored.status.attrs["flag_meanings"].split()[0] == "converged"
    assert same(mf.PhaseDiagram.load(path), grid)
    with pytest.raises(mf.InputError, match="does not exist"):
        grid.save(tmp_path / "missing" / "x.nc")


@pytest.mark.parametrize("name", ["tanh", "dropout", "leaky", "residual"])
def test_files_of_the_first_version_load(name):
    xarray = pytest.importorskip("xarray")
    path = FIGURES / f"phase_diagram_{name}.nc"
    grid = mf.PhaseDiagram.load(path)
    with xarray.open_dataset(path, engine="scipy") as stored:
        for field in dataclasses.fields(mf.FixedPoint):
            value = getattr(grid, field.name)
            np.testing.assert_array_equal(getattr(value, "code", value), stored[field.name].values)
        assert grid.q_star.shape == (grid.y.size, grid.x.size)
        np.testing.assert_array_equal(grid.sigma_w, stored.sigma_w.values)
    assert (grid.critical_line is None) == (name != "tanh") and (grid.activation == "tanh") == (name == "tanh")
    assert grid.plot(Figure().subplots()).get_xlabel() == r"$\sigma_w$"


def test_one_class_of_diagrams():
    fast = mf.phase_diagram(mf.MLP("erf", 1.0), sigma_w=[1.0, 1.5], sigma_b=[0.1, 0.2, 0.3])
    other = mf.phase_diagram(mf.MLP("leaky_relu", 1.0, 0.3), x=("sigma_w", [0.5, 1.0]), y=("slope", [0.1, 0.2]))
    assert mf.LeafDiagram is mf.PhaseDiagram and type(fast) is type(other) is mf.PhaseDiagram
    assert same(jax.tree.map(lambda a: a, fast), fast) and "erf" in fast.block
    assert (fast.activation, other.activation) == ("erf", None) and other.critical_line is None
    assert fast.xi_c is fast.point.xi_c and "xi_c" in dir(fast) and not hasattr(fast, "xi_d")
    np.testing.assert_array_equal(other.sigma_w, other.x)
    with pytest.raises(AttributeError, match="over sigma_w and slope, not sigma_b"):
        _ = other.sigma_b
    assert "y = slope" in repr(other) and "critical_line" in fast._repr_html_()


def test_the_sigmas_may_be_turned_round():
    block, w, b = mf.MLP("tanh", 1.5, 0.3), [1.2, 1.5, 2.0], [0.1, 0.3]
    straight = mf.phase_diagram(block, sigma_w=w, sigma_b=b)
    turned = mf.phase_diagram(block, x=("sigma_b", b), y=(lambda block: block.blocks[1].sigma_w, w))
    np.testing.assert_array_equal(turned.q_star.T, straight.q_star)
    np.testing.assert_array_equal(turned.all_q[:, 1], straight.all_q[1])
    assert (straight.phase.code == turned.phase.code.T).all() and turned.critical_line is not None
    line = turned.plot(Figure().subplots()).lines[0]
    assert np.nanmax(line.get_xdata()) <= 0.3 and np.nanmax(line.get_ydata()) <= 2.0


def test_what_is_on_no_axis_stays():
    block = mf.MLP("leaky_relu", 1.5, 0.3)
    grid = mf.phase_diagram(block, x=("sigma_w", [0.8, 1.2]), y=("slope", [0.0, 0.5]))
    alone = mf.fixed_point(mf.MLP(mf.Activation.leaky_relu(0.5), 1.2, 0.3))
    assert grid.q_star[1, 1] == pytest.approx(float(alone.q_star), rel=1e-10)
    grid = mf.phase_diagram(mf.MLP(mf.Activation.leaky_relu(0.5), 9.0, 0.3), sigma_w=[1.2], sigma_b=[0.3])
    assert grid.q_star[0, 0] == pytest.approx(float(alone.q_star), rel=1e-10)


def test_what_is_no_block_is_refused():
    with pytest.raises(mf.InputError, match="block"):
        mf.phase_diagram("tanh", x=("no such leaf", [1.0]), y=("sigma_b", [0.1]))
    with pytest.raises(mf.InputError, match="q0=-1"):
        mf.phase_diagram("tanh", sigma_w=[1.0], sigma_b=[0.1], q0=-1.0)
    with pytest.raises(mf.InputError, match="outside jit"):
        jax.jit(lambda w: mf.phase_diagram(mf.MLP("tanh", w)).q_star)(1.0)
    assert mf.phase_diagram(mf.MLP("tanh", 1.0), sigma_w=[1.0], sigma_b=[0.1]).activation == "tanh"


def test_inside_a_users_jit_it_is_a_constant():
    found = jax.jit(lambda x: x * mf.phase_diagram("tanh", sigma_w=[1.5], sigma_b=[0.3]).q_star[0, 0])(2.0)
    assert float(found) == pytest.approx(2 * float(mf.fixed_point(mf.MLP("tanh", 1.5, 0.3)).q_star), rel=1e-6)


def test_the_critical_line_ends_on_the_frame():
    diagram = mf.phase_diagram("tanh", sigma_w=(0.5, 4.0, 12), sigma_b=(0.0, 1.0, 8))
    assert np.nanmax(diagram.critical_line.sigma_b) == pytest.approx(1.0, abs=1e-8)
