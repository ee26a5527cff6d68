"""What is missing, misspelt or broken is an `InputError` of one line that names the argument."""

import gzip
import struct

import numpy as np
import pytest

from meanfield.data import load
from meanfield.errors import InputError


def refusal(*args) -> str:
    """The one-line error of `load`."""
    with pytest.raises(InputError) as caught:
        load(*args)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mnits", "did you mean 'mnist'?"),
        ("digit", "did you mean 'digits'?"),
        ("imagenet", "give one of digits, mnist, fashion_mnist, cifar10"),
        (None, "data=None"),
        (3, "data=3"),
    ],
)
def test_unknown_names(name, says):
    line = refusal(name)
    assert line.startswith(f"data={name!r} is not known; ") and says in line


def test_the_digits_take_no_path():
    assert refusal("digits", "somewhere").startswith("path='somewhere'")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_missing_one_says_where_it_looked_and_offers_the_digits(name, tmp_path, monkeypatch):
    nowhere = refusal(name)
    assert str(tmp_path / "home" / ".keras" / "datasets") in nowhere
    by_path = refusal(name, tmp_path / "no folder")
    assert str(tmp_path / "no folder") in by_path and ".keras" not in by_path
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("MEANFIELD_DATA", str(tmp_path / "empty"))
    by_variable = refusal(name)
    assert str(tmp_path / "empty") in by_variable
    for line in (nowhere, by_path, by_variable):
        assert line.startswith(f"data={name!r}")
        assert "MEANFIELD_DATA" in line and "--data digits" in line


def test_an_incomplete_set_is_a_missing_one(small, small_cifar, tmp_path):
    folder = small.idx(tmp_path / "idx")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "--data digits" in refusal("mnist", folder)
    folder = small_cifar.cifar(tmp_path / "cifar")
    (folder / "data_batch_3.bin").unlink()
    assert "--data digits" in refusal("cifar10", folder)


def test_another_set_of_the_same_layout_is_a_missing_one(small, tmp_path):
    small.npz(tmp_path / "store/mnist.npz")
    small.idx(tmp_path / "store/MNIST/raw")
    assert refusal("fashion_mnist", tmp_path / "store").startswith("data='fashion_mnist'")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04" + bytes(40),
        np.lib.format.magic(1, 0) + b"\x36\0{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}\n" + bytes(8),
    ],
    ids=["empty", "text", "cut off", "one array"],
)
def test_what_is_no_archive(content, tmp_path):
    file = tmp_path / "mnist.npz"
    file.write_bytes(content)
    line = refusal("mnist", file)
    assert line.startswith(f"path={str(file)!r}") and "x_train, y_train, x_test, y_test" in line


IMAGES = np.random.default_rng(1).normal(size=(4, 6, 5))


@pytest.mark.parametrize(
    "other",
    [
        {"x_test": None},
        {"y_train": np.arange(9)},
        {"y_train": np.eye(10)},
        {"y_test": np.arange(4)[None]},
        {"x_train": np.arange(10.0)},
        {"x_test": IMAGES[:0], "y_test": np.arange(0)},
        {"x_test": IMAGES.astype(str)},
        {"x_test": np.array([{}] * 4)},
        {"x_train": np.full((10, 6, 5), 7)},
        {"x_test": IMAGES[:, :3]},
        {"x_test": np.where(IMAGES > 0, np.inf, IMAGES)},
        {"y_train": np.arange(10) - 3},
        {"y_train": np.arange(10) + 0.5},
        {"y_train": np.array(list("abcdefghij"))},
        {"x_train": IMAGES[:1], "y_train": np.array(3)},
    ],
    ids=[
        "an array missing",
        "too few labels",
        "one-hot labels",
        "a row of labels",
        "numbers for images",
        "no test images",
        "text for images",
        "pickled objects",
        "constant images",
        "two sizes",
        "infinite pixels",
        "negative labels",
        "fractional labels",
        "text for labels",
        "one label for no axis",
    ],
)
def test_archives_with_wrong_arrays(small, tmp_path, other):
    line = refusal("mnist", small.npz(tmp_path / "mnist.npz", **other))
    assert line.startswith(("path=", "data='mnist'"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_called_so(small, tmp_path, value):
    images = small.raw["x_train"].astype(float)
    images[0, 0, 0] = value
    assert "finite" in refusal("mnist", small.npz(tmp_path / "mnist.npz", x_train=images))


def idx(sizes, values=b"", kind=8):
    return b"\0\0" + bytes([kind, len(sizes)]) + struct.pack(f">{len(sizes)}i", *sizes) + values


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"hello world, this is text",
        idx((10, 6, 5), bytes(299)),
        idx((10, 6, 5), bytes(301)),
        idx((10, 6), bytes(240), kind=13),
        idx((10, 6, 5))[:10],
        idx((10,), bytes(10)),
        idx((10, -1, 5), bytes(range(250)) + bytes(50)),
    ],
    ids=[
        "empty",
        "three bytes",
        "text",
        "a byte short",
        "a byte long",
        "floats",
        "header cut",
        "labels",
        "negative size",
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_broken_idx(small, tmp_path, content, zipped):
    folder = small.idx(tmp_path / "idx", zipped=(zipped,) * 4)
    file = folder / ("train-images-idx3-ubyte" + ".gz" * zipped)
    file.write_bytes(gzip.compress(content) if zipped else content)
    assert refusal("mnist", folder).startswith(f"path='{folder}")


def test_gzip_that_is_none_or_cut_off(small, tmp_path):
    folder = small.idx(tmp_path / "idx", zipped=(True,) * 4)
    file = folder / "train-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    for content in (gzip.decompress(whole), whole[:-12], whole[:20]):
        file.write_bytes(content)
        assert refusal("mnist", folder).startswith(f"path={str(file)!r}")


@pytest.mark.parametrize("content", [b"", bytes(3072), bytes(3074)], ids=["empty", "no label", "a byte long"])
def test_broken_cifar(small_cifar, tmp_path, content):
    file = small_cifar.cifar(tmp_path / "cifar") / "data_batch_2.bin"
    file.write_bytes(content)
    assert refusal("cifar10", tmp_path / "cifar").startswith(f"path={str(file)!r}")


def test_a_cifar_label_above_nine(small_cifar, tmp_path):
    file = small_cifar.cifar(tmp_path / "cifar") / "data_batch_2.bin"
    file.write_bytes(b"\xff" + file.read_bytes()[1:])
    refusal("cifar10", tmp_path / "cifar")


@pytest.mark.parametrize("layout", ["npz", "idx"])
def test_one_wrong_byte_anywhere_is_refused_or_harmless(small, tmp_path, layout):
    small.raw["x_train"] = small.raw["x_train"] // 64  # compressible, so that the stream has structure to break
    if layout == "npz":
        place = file = small.npz(tmp_path / "mnist.npz", np.savez_compressed)
    else:
        place = small.idx(tmp_path / "idx", zipped=(True,) * 4)
        file = place / "train-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    refused = 0
    for i in range(0, len(whole), 3):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        try:
            load("mnist", place)
        except InputError:
            refused += 1
    assert refused > 10
