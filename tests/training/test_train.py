"""Small sweeps end to end: numbers, resuming, interruption, errors."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray

import meanfield as mf
from meanfield.data import Dataset
from meanfield.errors import InputError
from meanfield.interface.saving import sole_writer
from meanfield.training import Sweep, Trainability, train
from meanfield.training.task import minibatches
from meanfield.training.trainability import MEASURED

# `meanfield.training.train` is the function; its module is what the tests reach into.
grid = import_module("meanfield.training.train")

TINY = Sweep(sigma_w=(1.0, 2.0, 3), depths=(2, 4), width=32, steps=12, learning_rate=0.02, seeds=2)


@pytest.fixture(scope="module")
def tiny():
    return train(TINY)


def same(a: Trainability, b: Trainability) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in MEASURED)


def depth_of(cells):
    """The depth of the networks of a chunk: the hidden layers and the readout."""
    return cells.params["kernel"].shape[1] + 1


def stop_before(monkeypatch, depth):
    """Press Ctrl-C when the first chunk of `depth` begins."""
    real = grid.train_cells

    def interrupted(programs, task, cells, *rest):
        if depth_of(cells) == depth:
            raise KeyboardInterrupt
        return real(programs, task, cells, *rest)

    monkeypatch.setattr(grid, "train_cells", interrupted)


def test_a_tiny_sweep_learns(tiny):
    assert tiny.complete and tiny.train_accuracy.shape == TINY.shape == (2, 3, 2)
    assert tiny.train_accuracy.mean() > 0.4  # chance is 0.1
    assert np.isfinite(tiny.test_loss).all() and not tiny.diverged.any()


@pytest.mark.slow
def test_the_key_decides_the_numbers(tiny):
    assert same(tiny, train(TINY))
    other = train(dataclasses.replace(TINY, key=1, depths=(2,)))
    assert not np.array_equal(other.train_loss[0], tiny.train_loss[0])


def test_seeds_differ(tiny):
    assert (tiny.train_loss[..., 0] != tiny.train_loss[..., 1]).all()


def test_theory_comes_with_the_result(tiny):
    # xi_c of tanh at sigma_b^2 = 0.05: ordered at sigma_w = 1, chaotic at 1.5 and 2
    assert tiny.chi_1[0] < 1 < tiny.chi_1[1] < tiny.chi_1[2]
    assert tiny.xi_grad[0] > 0 > tiny.xi_grad[1]
    np.testing.assert_allclose(np.interp(TINY.sigma_w, tiny.curve_sigma_w, tiny.curve_xi_c), tiny.xi_c, rtol=1e-3)


def test_theory_matches_the_reference_point():
    at = grid.predicted_depth_scales(Sweep(sigma_w=[1.5811388300841898]))
    assert at["xi_c"][0] == pytest.approx(11.79559, rel=1e-5)


def test_ctrl_c_keeps_what_is_finished_and_resume_completes_it(tiny, tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    with monkeypatch.context() as patch:
        stop_before(patch, depth=4)
        partial = train(TINY, path)
    assert not partial.complete
    assert partial.finished[0].all() and not partial.finished[1].any()
    assert np.array_equal(partial.train_loss[0], tiny.train_loss[0]) and np.isnan(partial.train_loss[1]).all()
    assert any("stopped after 6 of 12" in text for text in partial.warnings) and "stopped" in repr(partial)
    assert same(Trainability.load(path), partial)
    trained = []
    real = grid.train_cells
    monkeypatch.setattr(grid, "train_cells", lambda p, t, c, *rest: trained.append(depth_of(c)) or real(p, t, c, *rest))
    resumed = train(TINY, path, resume=True)
    assert set(trained) == {4}
    assert same(resumed, tiny) and same(Trainability.load(path), tiny)
    assert os.listdir(tmp_path) == ["run.nc"]  # no temporary file stays behind


def test_resuming_a_complete_run_trains_nothing(tiny, tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    tiny.save(path)
    stop_before(monkeypatch, depth=2)
    assert same(train(TINY, path, resume=True), tiny)


def test_another_manifest_is_refused(tiny, tmp_path):
    path = tmp_path / "run.nc"
    tiny.save(path)
    with pytest.raises(InputError, match="learning_rate: 0.02 -> 0.01"):
        train(dataclasses.replace(TINY, learning_rate=0.01), path, resume=True)
    with pytest.raises(InputError, match="exists; pass resume=True"):
        train(TINY, path)
    assert same(Trainability.load(path), tiny)


@pytest.mark.parametrize("name", ["nowhere/run.nc", "run.txt", ".nc/", "folder.nc"])
def test_bad_paths_are_found_before_training(name, tmp_path, monkeypatch):
    (tmp_path / "folder.nc").mkdir()
    stop_before(monkeypatch, depth=2)
    with pytest.raises(InputError, match="path="):
        train(TINY, f"{tmp_path}/{name}")
    assert os.listdir(tmp_path) == ["folder.nc"]


def test_files_that_are_not_ours_are_refused(tmp_path):
    path = tmp_path / "run.nc"
    path.write_text("not netcdf")
    with pytest.raises(InputError, match="cannot be read as NetCDF"):
        train(TINY, path, resume=True)
    with pytest.raises(InputError, match="resume"):
        train(TINY, resume=True)


def edited(path, change, sealed=False):
    """A copy of a run, changed; without its checksum, as a file of the first version, unless `sealed`."""
    dataset = change(xarray.load_dataset(path, engine="scipy"))
    if not sealed:
        del dataset.attrs["checksum"]
    target = path.with_name("edited.nc")
    dataset.to_netcdf(target, engine="scipy")
    return target


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.isel(sigma_w=slice(None, None, -1)), "the axis sigma_w is not the sweep's"),
        (lambda d: d.isel(depth=slice(0, 1)), "the axis depth is not the sweep's"),
        (lambda d: d.assign(train_accuracy=d.train_accuracy * 9), "train_accuracy of a finished network"),
        (lambda d: d.assign(test_loss=d.test_loss * np.nan), "test_loss of a finished network"),
        (lambda d: d.assign(finished=d.finished & False), "networks that are not finished"),
        (lambda d: d.assign(train_loss=d.train_loss.transpose("seed", "depth", "sigma_w")), "is over seed, depth"),
        (lambda d: d.assign(train_loss=d.train_loss.astype(str)), "not numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*no checksum")
def test_an_edited_run_is_refused_and_kept(tiny, tmp_path, change, says):
    path = tmp_path / "run.nc"
    tiny.save(path)
    for sealed, words in ((True, "its checksum is another"), (False, says)):
        target = edited(path, change, sealed)
        before = target.read_bytes()
        with pytest.raises(InputError, match=words):
            train(TINY, target, resume=True)
        assert target.read_bytes() == before


def test_any_damage_is_seen(tiny, tmp_path):
    path = tmp_path / "run.nc"
    tiny.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 100):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        for damaged in (flipped, content[:place]):
            path.write_bytes(damaged)
            with pytest.raises(InputError) as error:
                Trainability.load(path)
            assert "\n" not in str(error.value)


def test_another_run_holds_the_file(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    stop_before(monkeypatch, depth=2)
    with sole_writer("path", path), pytest.raises(InputError, match="being written by another run"):
        train(TINY, path)
    train(TINY, path)
    assert os.listdir(tmp_path) == ["run.nc"]


def test_another_data_set_of_the_same_name_is_refused(tmp_path, monkeypatch):
    stop_before(monkeypatch, depth=2)

    def of(scale):
        x, y = np.full((64, 4), scale, np.float32), np.arange(64) % 3
        return dataclasses.replace(TINY, data=Dataset(x, y, x, y, "mine", 3))

    train(of(1.0), tmp_path / "run.nc")
    with pytest.raises(InputError, match="data: another data set of the same name"):
        train(of(2.0), tmp_path / "run.nc", resume=True)


KILLED = """
import dataclasses, sys
import meanfield as mf
from tests.training.test_train import TINY
sys.stdout.write("ready\\n"); sys.stdout.flush()
mf.train(dataclasses.replace(TINY, sigma_w=[1.0, 1.5, 2.0, 2.5], steps=30), sys.argv[1], resume=True, progress=False)
"""


def killed_runs(path, count):
    """Start a run and kill it at a random moment, `count` times; then finish it."""
    rng = np.random.default_rng(count)
    root = Path(mf.__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    for _ in range(count):
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=root) as process:
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=rng.uniform(0, 6))
            process.kill()
        assert process.returncode in (0, -9)
        if path.exists():
            Trainability.load(path)
    wanted = dataclasses.replace(TINY, sigma_w=[1.0, 1.5, 2.0, 2.5], steps=30)
    return train(wanted, path, resume=True), train(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("count", [50])
def test_nothing_is_lost_in_killed_runs(tmp_path, count):
    resumed, alone = killed_runs(tmp_path / "run.nc", count)
    assert same(resumed, alone)
    assert set(os.listdir(tmp_path)) <= {"run.nc"}


def test_batches_are_drawn_as_they_are_needed():
    whole = minibatches(0, 20, 30, 6)
    assert all((minibatches(0, 20, 7, 6, first) == whole[first : first + 7]).all() for first in (0, 2, 3, 20))
    many = Sweep(steps=2**31 - 1, depths=(2,), width=8)
    assert grid.Task.of(many, many.dataset()).rows.shape == (4096, 64)
    with pytest.raises(InputError, match="steps=1000000000000 is too large"):
        Sweep(steps=10**12)


def test_divergence_is_measured_and_flagged():
    # A linear network with a step far too long runs to infinity in a few steps.
    result = train(Sweep(activation="linear", sigma_w=[1.5], depths=(4,), width=16, steps=12, learning_rate=50.0))
    assert result.diverged.all() and result.complete
    assert (result.train_accuracy < 0.25).all()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_other_optimizers_learn(optimizer):
    sweep = Sweep(sigma_w=[1.3], depths=(3,), width=32, steps=40, optimizer=optimizer, learning_rate=3e-3)
    assert train(sweep).train_accuracy[0, 0, 0] > 0.6


def test_result_goes_out_as_xarray_and_json(tiny):
    labelled = tiny.to_xarray()
    assert labelled.train_accuracy.dims == ("depth", "sigma_w", "seed")
    assert labelled.train_accuracy.sel(depth=4, sigma_w=1.5, seed=1) == tiny.train_accuracy[1, 1, 1]
    plain = json.loads(json.dumps(tiny.to_dict(), allow_nan=False))
    assert plain["train_accuracy"][1][1][1] == tiny.train_accuracy[1, 1, 1] and plain["sweep"]["width"] == 32


def test_the_map_is_drawn(tiny, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    ax = tiny.plot(multiples=(1, 6))
    assert ax.get_xlabel() == r"$\sigma_w$" and "depth" in ax.get_ylabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [r"1 $\xi_c$", r"6 $\xi_c$"]
    assert dict(matplotlib.rcParams) == before
    _, own = plt.subplots()
    assert tiny.plot(own, of="test_accuracy") is own
    with pytest.raises(InputError, match="of="):
        tiny.plot(of="loss")
    plt.close("all")


@pytest.mark.slow
def test_several_devices_agree_with_one(tiny):
    code = (
        "import jax, numpy as np; from meanfield.training import Sweep, train; assert len(jax.devices()) == 4;"
        "r = train(Sweep(sigma_w=(1.0, 2.0, 3), depths=(2, 4), width=32, steps=12, learning_rate=0.02, seeds=2));"
        "print(r.train_loss.tolist())"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.array(json.loads(done.stdout)), tiny.train_loss, rtol=1e-4)


@pytest.mark.slow
def test_what_the_theory_calls_untrainable_does_not_train():
    # sigma_b^2 = 0.05: 6 xi_c is 22 layers at sigma_w = 1, 42 at sigma_w = 2, and 300 near the critical 1.327.
    result = train(Sweep(sigma_w=[1.0, 1.35, 2.0], depths=(8, 60), steps=200))
    shallow, deep = result.train_accuracy[..., 0]
    assert (shallow > 0.85).all()
    assert deep[1] > 0.8 and deep[0] < 0.25 and deep[2] < 0.25


def test_what_the_first_version_wrote_still_loads():
    path = Path(mf.__file__).parent.parent / "figures" / "trainability_tanh.nc"
    with pytest.warns(UserWarning, match="no checksum"):
        found = Trainability.load(path)
    assert found.complete and found.train_accuracy.shape == found.sweep.shape == (8, 11, 1)
    assert found.sweep == Sweep() and found.curve_sigma_w.shape == found.curve_xi_c.shape
    np.testing.assert_allclose(found.sigma_w, np.linspace(1, 2, 11))
    assert found.plot().get_xlabel() == r"$\sigma_w$"


DROPOUT = mf.Activate("tanh") >> mf.Dropout(0.1) >> mf.Dense(1.5, 0.2)
OTHER = {"width": 24, "steps": 20, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def dropped():
    return train(Sweep(DROPOUT, axes={"rate": [0.0, 0.4], "depth": (2, 3), "seed": 2}, **OTHER))


def test_another_leaf_is_an_axis(dropped, tmp_path):
    assert dropped.complete and dropped.train_accuracy.shape == (2, 2, 2)
    assert dropped.train_accuracy.mean() > 0.4
    assert (dropped.train_loss[:, 0] != dropped.train_loss[:, 1]).all()
    at = [mf.fixed_point(mf.with_leaf(DROPOUT, "rate", rate)) for rate in (0.0, 0.4)]
    np.testing.assert_allclose(dropped.xi_c, [float(point.xi_c) for point in at], rtol=1e-6)
    dropped.save(tmp_path / "run.nc")
    again = Trainability.load(tmp_path / "run.nc")
    assert same(again, dropped) and again.sweep == dropped.sweep
    assert again.to_xarray().train_accuracy.dims == ("depth", "rate", "seed")
    assert dropped.plot().get_xlabel() == "rate" and "rate 0 to 0.4 (2)" in repr(dropped)
    json.dumps(dropped.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_two_leaves_of_a_residual_block_are_axes():
    block = mf.Residual(mf.LayerNorm() >> mf.MLP("tanh", 1.0), scale=0.5, skip=0.8)
    sweep = Sweep(block, axes={"sigma_w": [0.5, 1.0], "scale": [0.2, 0.5, 0.8]}, depths=(3,), **OTHER)
    found = train(sweep)
    assert found.complete and found.train_accuracy.shape == (1, 2, 3, 1) and found.xi_c.shape == (2, 3)
    point = mf.fixed_point(sweep.block_at((0.5, 0.8)))
    assert found.xi_c[0, 2] == pytest.approx(float(point.xi_c), rel=1e-6)
    assert found.curve_x.size == 0
    with pytest.raises(InputError, match="sigma_w, scale"):
        found.plot()
