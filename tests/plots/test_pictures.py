"""Figures of made-up results: positions and colours."""

from pathlib import Path
from types import SimpleNamespace as Result

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from meanfield import plots
from meanfield.errors import InputError
from meanfield.plots.canvas import cell_edges


def curve(stable=(True, True, True, True), x=(1.0, 1.2, 1.5, 2.0), y=(0.0, 0.1, 0.3, 0.6)):
    return Result(sigma_w=np.array(x), sigma_b=np.array(y), stable=np.array(stable))


def diagram(chi, line=None):
    chi = np.asarray(chi, float)
    w, b = np.linspace(0.5, 2.5, chi.shape[1]), np.linspace(0.0, 1.0, chi.shape[0])
    return Result(sigma_w=w, sigma_b=b, chi_1=chi, critical_line=line or curve(), activation="tanh")


def mesh_of(ax):
    return next(c for c in ax.collections if isinstance(c, QuadMesh))


def test_phase_diagram_colours_are_centred_at_one():
    ax = Figure().subplots()
    chi = np.geomspace(0.4, 5.0, 12).reshape(3, 4)
    assert plots.phase_diagram(diagram(chi), ax) is ax
    mesh = mesh_of(ax)
    assert mesh.get_cmap().name == "RdBu_r"
    assert mesh.norm(0.0) == pytest.approx(0.5)
    np.testing.assert_allclose(mesh.get_array().reshape(3, 4), np.log10(chi))
    red, _, blue, _ = mesh.cmap(mesh.norm(np.log10(5.0)))
    assert red > blue  # chaotic is red


def test_phase_diagram_axes_are_named_and_hold_the_cells():
    ax = plots.phase_diagram(diagram(np.ones((3, 5))), Figure().subplots())
    assert ax.get_xlabel() == r"$\sigma_w$"
    assert ax.get_ylabel() == r"$\sigma_b$"
    assert "tanh" in ax.get_title()
    assert ax.get_xlim() == pytest.approx((0.25, 2.75))
    assert len(ax.figure.axes) == 2  # the colour bar
    assert "chi_1" in ax.figure.axes[1].get_ylabel()


def test_cells_without_a_number_are_hatched_and_infinite_ones_are_not():
    chi = np.array([[0.5, np.nan, np.inf, 0.0]])
    ax = plots.phase_diagram(diagram(chi), Figure().subplots())
    assert ax.patch.get_hatch()
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh_of(ax).get_array()).ravel(), [False, True, False, False])
    assert "no fixed point" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_an_all_nan_diagram_still_draws():
    plots.phase_diagram(diagram(np.full((2, 2), np.nan)), Figure().subplots())


def test_critical_line_is_dashed_where_unstable():
    ax = plots.edge_of_chaos(curve(stable=(False, False, True, True)), Figure().subplots())
    solid, dashed = ax.lines
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert solid.get_color() == dashed.get_color() == "black"
    np.testing.assert_array_equal(np.isfinite(solid.get_xdata()), [False, False, True, True])
    np.testing.assert_array_equal(np.isfinite(dashed.get_xdata()), [True, True, True, False])


def test_a_line_that_is_one_point_is_a_dot():
    ax = plots.edge_of_chaos(curve(x=(2**0.5,) * 4, y=(0.0,) * 4), Figure().subplots())
    assert [line.get_marker() for line in ax.lines] == ["o"]


def test_several_lines_have_their_names():
    ax = plots.edge_of_chaos({"tanh": curve(), "erf": curve()}, Figure().subplots())
    assert [text.get_text() for text in ax.texts] == ["tanh", "erf"] and ax.get_legend() is None
    assert [text.get_color() for text in ax.texts] == [line.get_color() for line in ax.lines]


def test_trajectory_takes_one_pair_or_many():
    layers = np.linspace(0.2, 1.0, 6)
    one = Result(q1=layers, q2=layers, c=layers)
    ax = plots.trajectory(one, Figure().subplots())
    assert [len(part.lines) for part in ax.figure.axes] == [1, 1]
    many = Result(q1=np.ones((6, 4)), q2=np.zeros((6, 4)), c=np.ones((6, 4)))
    ax = plots.trajectory(many, Figure().subplots())
    assert [(part.get_ylabel(), len(part.lines)) for part in ax.figure.axes] == [("variance", 8), ("correlation", 4)]


def test_depth_scales_draws_growing_gradients_dashed():
    result = Result(xi_c=[1.0, np.inf, 3.0], xi_q=[1.0, 2.0, np.nan], xi_grad=[4.0, np.inf, -4.0])
    ax = plots.depth_scales([1.0, 1.5, 2.0], result, Figure().subplots())
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert np.nanmax(dashed[0].get_ydata()) == 4.0


def test_without_an_axes_a_new_figure_is_made_and_the_style_is_left_alone():
    from matplotlib import pyplot as plt

    before = dict(matplotlib.rcParams)
    ax = plots.trajectory(Result(q1=[1.0, 1.0], q2=[1.0, 1.0], c=[0.5, 0.6]))
    assert isinstance(ax, Axes)
    assert dict(matplotlib.rcParams) == before
    plt.close(ax.figure)


def test_cell_edges_of_one_centre():
    assert cell_edges([2.0]).tolist() == [1.5, 2.5]


def test_every_picture_is_drawn_in_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert "plots.phase_diagram(" in tests
    drawn_by_their_results = {"schemes"}
    assert [name for name in plots.__all__ if f"plots.{name}(" not in tests] == sorted(drawn_by_their_results)


def test_axes_in_any_order_draw_one_picture():
    chi = np.array([[0.5, 2.0, 1.0], [0.6, 3.0, 1.5]])
    w, b = np.array([1.0, 3.0, 2.0]), np.array([0.4, 0.1])
    mixed = Result(sigma_w=w, sigma_b=b, chi_1=chi, critical_line=curve(), activation="tanh")
    mesh = mesh_of(plots.phase_diagram(mixed, Figure().subplots()))
    np.testing.assert_allclose(mesh.get_array().reshape(2, 3), np.log10(chi[[1, 0]][:, [0, 2, 1]]))
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [0.5, 1.5, 2.5, 3.5])
    line = plots.depth_scales([2.0, 1.0], Result(xi_c=[5.0, 7.0], xi_q=[1, 2], xi_grad=[1, 2]), Figure().subplots())
    assert line.lines[0].get_ydata().tolist() == [7.0, 5.0]


def test_values_that_repeat_are_refused():
    same = Result(sigma_w=[1.0, 1.0], sigma_b=[0.0], chi_1=[[1.0, 2.0]], critical_line=curve(), activation="tanh")
    with pytest.raises(InputError, match="sigma_w must hold distinct"):
        plots.phase_diagram(same, Figure().subplots())
    with pytest.raises(InputError, match="x must hold distinct"):
        plots.depth_scales([1.0, 1.0], Result(xi_c=[1, 2], xi_q=[1, 2], xi_grad=[1, 2]), Figure().subplots())


def test_geometric_axes_are_logarithmic():
    w, b = np.geomspace(0.1, 10.0, 5), np.linspace(0.1, 1.0, 4)
    spaced = Result(sigma_w=w, sigma_b=b, chi_1=np.ones((4, 5)), critical_line=curve(), activation="tanh")
    ax = plots.phase_diagram(spaced, Figure().subplots())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(mesh_of(ax).get_coordinates()[0, :, 0], 10 ** np.arange(-1.25, 1.3, 0.5))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("field", ["chi_1", "xi_c", "c_star", "xi_grad"])
def test_nothing_to_draw_is_no_warning(field):
    empty = diagram(np.full((2, 3), np.nan))
    for name in ("xi_c", "c_star", "xi_grad"):
        setattr(empty, name, empty.chi_1)
    plots.phase_diagram(empty, Figure().subplots(), field=field).figure.canvas.draw()
    nothing = np.full(2, np.nan)
    plots.depth_scales([1.0, 2.0], Result(xi_c=nothing, xi_q=nothing, xi_grad=nothing), Figure().subplots())


def test_any_field_on_a_scale_of_ones_own():
    shown = diagram([[0.5, 0.9], [1.1, 2.0]])
    shown.xi_c = np.array([[1.0, 10.0], [np.inf, 100.0]])
    ax = plots.phase_diagram(shown, Figure().subplots(), field="xi_c", vmin=2, vmax=50, title="mine")
    assert mesh_of(ax).get_clim() == (2, 50) and ax.get_title() == "mine"
    assert "layers" in ax.figure.axes[1].get_ylabel() and not np.ma.getmaskarray(mesh_of(ax).get_array()).any()
    ax = plots.phase_diagram(shown, Figure().subplots(), vmin=-0.5, vmax=1)
    assert mesh_of(ax).get_clim() == (-0.5, 1) and mesh_of(ax).norm(0.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "given, words",
    [({"field": "chi"}, "give one of chi_1"), ({"field": 3}, "give one of chi_1"), ({"vmin": 1, "vmax": 0}, "vmax"),
     ({"field": "xi_c", "vmin": 0}, "log scale"), ({"vmax": float("nan")}, "vmax=nan"), ({"vmax": "high"}, "vmax")],
)  # fmt: skip
def test_bad_arguments(given, words):
    shown = diagram([[0.5, 0.9], [1.1, 2.0]])
    shown.xi_c = shown.chi_1
    with pytest.raises(InputError, match=words):
        plots.phase_diagram(shown, Figure().subplots(), **given)


def test_few_depths_do_not_reach_below_zero_layers():
    sweep = Result(leaves={"sigma_w": (1.0, 2.0)}, sigma_b=0.1, name="tanh", width=9, steps=3)
    run = Result(sweep=sweep, depths=np.array([2, 10]), train_accuracy=np.ones((2, 2, 1)), curve_x=np.array([1.0, 2.0]),
                 curve_xi_c=np.ones(2), diverged=np.zeros((2, 2, 1), bool))  # fmt: skip
    assert plots.trainability(run, Figure().subplots()).get_ylim() == (0, 14)


def _contours(ax):
    return [path.vertices for c in ax.collections if isinstance(c, ContourSet) for path in c.get_paths()]


def test_a_contour_reaches_the_frame_and_the_cells_that_diverge():
    # ReLU behind a mask: chi_1 = sigma_w^2 / 2 (1 - rate), and no fixed point above 1.
    w, rate = np.linspace(1.0, 1.5, 24), np.linspace(0.0, 0.5, 20)
    chi = w**2 / 2 / (1 - rate[:, None])
    result = Result(sigma_w=w, sigma_b=rate, chi_1=np.where(chi > 1, np.nan, chi), critical_line=None, activation="")
    ax = plots.phase_diagram(result, Figure().subplots())
    (line,) = _contours(ax)
    np.testing.assert_allclose(line[:, 0] ** 2 / 2 / (1 - line[:, 1]), 1.0, atol=5e-3)  # a cell is 4e-2 of chi_1 wide
    np.testing.assert_allclose(line.min(0), (ax.get_xlim()[0], ax.get_ylim()[0]), atol=1e-9)
    # Without a number on the side where chi_1 > 1 no line is made up.
    chi = np.where(chi < 1.05, np.nan, chi)
    result = Result(sigma_w=w, sigma_b=rate, chi_1=chi, critical_line=None, activation="")
    assert not _contours(plots.phase_diagram(result, Figure().subplots()))


def test_a_contour_keeps_its_way_in_the_last_half_cell():
    # log chi_1 bends much from cell to cell; the straight line chi_1 = 1 bends by a part of one at the frame.
    w, b = np.linspace(1.0, 2.0, 26), np.linspace(0.0, 1.0, 26)
    along = w - 1.0 - 0.3 * b[:, None]
    result = Result(sigma_w=w, sigma_b=b, chi_1=np.exp(1 - np.exp(-25 * along)), critical_line=None, activation="")
    ax = plots.phase_diagram(result, Figure().subplots())
    (line,) = _contours(ax)
    assert np.ptp(line[:, 1]) == pytest.approx(np.ptp(ax.get_ylim()), rel=1e-9)
    assert np.abs(line[:, 0] - 1.0 - 0.3 * line[:, 1]).max() < 0.2 * (w[1] - w[0])
