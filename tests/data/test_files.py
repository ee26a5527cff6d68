"""Every supported layout, in every supported place, gives the same standardized arrays."""

import numpy as np
import pytest

from meanfield.data import load
from meanfield.errors import InputError

LAYOUTS = [
    ("mnist", "mnist.npz in a folder", lambda s, d: s.npz(d / "mnist.npz").parent),
    ("mnist", "an archive of any name", lambda s, d: s.npz(d / "digits of old.npz")),
    ("mnist", "a compressed archive", lambda s, d: s.npz(d / "mnist.npz", np.savez_compressed)),
    ("mnist", "plain IDX", lambda s, d: s.idx(d)),
    ("mnist", "gzipped IDX", lambda s, d: s.idx(d, zipped=(True,) * 4)),
    ("mnist", "mixed IDX", lambda s, d: s.idx(d, zipped=(True, False, False, True))),
    ("mnist", "torchvision", lambda s, d: s.idx(d / "MNIST" / "raw") and d),
    ("fashion_mnist", "fashion_mnist.npz", lambda s, d: s.npz(d / "fashion_mnist.npz").parent),
    ("fashion_mnist", "torchvision", lambda s, d: s.idx(d / "FashionMNIST" / "raw") and d),
    ("fashion_mnist", "Keras", lambda s, d: s.idx(d / "fashion-mnist", zipped=(True,) * 4) and d),
]


@pytest.mark.parametrize(
    ("name", "make"), [(n, m) for n, _, m in LAYOUTS], ids=[f"{n}: {what}" for n, what, _ in LAYOUTS]
)
def test_layouts(small, tmp_path, name, make):
    place = make(small, tmp_path / "store")
    small.check(load(name, place), name)
    small.check(load(name, str(place)), name)


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar_binary(small_cifar, tmp_path, below):
    small_cifar.cifar(tmp_path / "store" / below)
    small_cifar.check(load("cifar10", tmp_path / "store"), "cifar10")


def test_cifar_archive_has_labels_in_a_column(small_cifar, tmp_path):
    columns = {key: small_cifar.raw[key][:, None] for key in ("y_train", "y_test")}
    small_cifar.check(load("cifar10", small_cifar.npz(tmp_path / "cifar10.npz", **columns)), "cifar10")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_pixels_of_any_number_type(small, tmp_path, dtype):
    images = {key: small.raw[key].astype(dtype) for key in ("x_train", "x_test")}
    small.check(load("mnist", small.npz(tmp_path / "mnist.npz", **images)), "mnist")


@pytest.mark.parametrize("place", ["home/.keras/datasets", "work/data", "home/data"])
def test_the_usual_places(small, tmp_path, place):
    small.npz(tmp_path / place / "mnist.npz")
    small.check(load("mnist"), "mnist")


def test_a_path_goes_before_the_variable_and_the_variable_before_the_caches(small, tmp_path, monkeypatch):
    from_path, from_variable, cached = small, type(small)(seed=1), type(small)(seed=2)
    cached.npz(tmp_path / "home/.keras/datasets/mnist.npz")
    cached.check(load("mnist"), "mnist")
    from_variable.npz(tmp_path / "variable/mnist.npz")
    monkeypatch.setenv("MEANFIELD_DATA", str(tmp_path / "variable"))
    from_variable.check(load("mnist"), "mnist")
    from_path.npz(tmp_path / "path/mnist.npz")
    from_path.check(load("mnist", tmp_path / "path"), "mnist")


def test_the_variable_may_name_a_file_and_the_home_folder(small, tmp_path, monkeypatch):
    small.npz(tmp_path / "home/mine.npz")
    monkeypatch.setenv("MEANFIELD_DATA", "~/mine.npz")
    small.check(load("mnist"), "mnist")


def test_the_variable_is_the_only_place_once_it_is_set(small, tmp_path, monkeypatch):
    small.npz(tmp_path / "home/.keras/datasets/mnist.npz")
    monkeypatch.setenv("MEANFIELD_DATA", str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="empty"):
        load("mnist")


def test_one_data_set_is_not_taken_for_the_other(small, tmp_path):
    # Their IDX files have the same names.
    bare, named = small.idx(tmp_path / "images"), small.idx(tmp_path / "fashion")
    assert load("mnist", bare).name == "mnist" and load("fashion_mnist", named).name == "fashion_mnist"
    for name, place in (("fashion_mnist", bare), ("mnist", named)):
        with pytest.raises(InputError, match=f"data='{name}' is not at"):
            load(name, place)


@pytest.mark.parametrize("path", [3, b"mnist.npz"])
def test_a_path_that_is_none(path):
    with pytest.raises(InputError, match="^path="):
        load("mnist", path)
