"""Readers of the files in which MNIST, Fashion-MNIST and CIFAR-10 are usually kept.

Each reader takes a file or a folder and returns the arrays, or None if the data set is not there. `READERS` lists them.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError

__all__ = ["READERS", "Raw", "cifar10", "fashion_mnist", "mnist"]

_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_KEYS = ("x_train", "y_train", "x_test", "y_test")
_CIFAR_IMAGE = 3 * 32 * 32


class Raw(NamedTuple):
    """Images (n, ...) and labels (n,) as stored, for training and for testing."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def mnist(place: Path) -> Raw | None:
    """MNIST from Keras' mnist.npz, or from IDX files in `place` or in torchvision's MNIST/raw under it."""
    return _npz(place, "mnist.npz") or _idx(place, "MNIST/raw", fashion=False)


def fashion_mnist(place: Path) -> Raw | None:
    """Fashion-MNIST: a .npz with MNIST's keys, or IDX files in Keras' or torchvision's folders or one called so."""
    return _npz(place, "fashion_mnist.npz") or _idx(place, "FashionMNIST/raw", "fashion-mnist", fashion=True)


def cifar10(place: Path) -> Raw | None:
    """CIFAR-10: a .npz with MNIST's keys, or the binary version (cifar-10-batches-bin)."""
    found = _npz(place, "cifar10.npz")
    for folder in (place, place / "cifar-10-batches-bin"):
        batches = [folder / f"data_batch_{i}.bin" for i in range(1, 6)]
        if found is None and all(file.is_file() for file in (*batches, folder / "test_batch.bin")):
            (x, y), test = zip(*map(_records, batches), strict=True), _records(folder / "test_batch.bin")
            found = Raw(np.concatenate(x), np.concatenate(y), *test)
    return found


def _npz(place: Path, name: str) -> Raw | None:
    file = place / name if place.is_dir() else place
    # An explicit path may have any name; only its suffix tells an archive from a missing folder.
    if file.suffix != ".npz" or not file.is_file():
        return None
    try:
        with zipfile.ZipFile(file):  # NumPy takes other things for archives, pickles among them
            pass
        with np.load(file, allow_pickle=False) as stored:
            return _checked(Raw(*(stored[key] for key in _KEYS)), file)
    except InputError:
        raise
    except Exception:  # zipfile, zlib and NumPy's header parser each have errors of their own for a broken file
        raise InputError(f"path={str(file)!r} is not an archive with the arrays {', '.join(_KEYS)}") from None


def _idx(place: Path, *folders: str, fashion: bool) -> Raw | None:
    # Both data sets come in files of the same names: a folder that holds them bare must say which one it is.
    bare = [place] if any("fashion" in name.lower() for name in place.parts[-2:]) == fashion else []
    for folder in (*bare, *(place / name for name in folders)):
        files = [_plain_or_gzipped(folder / name) for name in _IDX]
        if all(files):
            return _checked(Raw(*(_idx_array(file) for file in files if file)), folder)
    return None


def _plain_or_gzipped(file: Path) -> Path | None:
    zipped = file.with_name(file.name + ".gz")
    return next((f for f in (file, zipped) if f.is_file()), None)


def _idx_array(file: Path) -> np.ndarray:
    """An IDX file of bytes: two zeros, the type 8, the number of axes, their big-endian sizes, the values."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        axes = content[3]
        shape = np.frombuffer(content, ">i4", axes, 4)
        if content[:3] != b"\0\0\x08" or (shape < 0).any():
            raise ValueError
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (IndexError, ValueError, OSError, EOFError, zlib.error):
        raise InputError(f"path={str(file)!r} is not an IDX file of bytes; download it again") from None


def _records(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR's binary records: one byte of label and 3,072 of image."""
    content = np.fromfile(file, np.uint8)
    if content.size == 0 or content.size % (_CIFAR_IMAGE + 1):
        raise InputError(f"path={str(file)!r} does not hold CIFAR-10's records of 3,073 bytes; download it again")
    records = content.reshape(-1, _CIFAR_IMAGE + 1)
    if records[:, 0].max() > 9:
        label = records[:, 0].max()
        raise InputError(f"path={str(file)!r} has a label {label}, which CIFAR-10 does not have; download it again")
    return records[:, 1:], records[:, 0]


def _checked(raw: Raw, where: Path) -> Raw:
    wrong = next((reason for part in (raw[:2], raw[2:]) if (reason := _what_is_wrong(*part))), None)
    if wrong is None and raw.x_train.shape[1:] != raw.x_test.shape[1:]:
        wrong = f"training images {raw.x_train.shape[1:]} but test images {raw.x_test.shape[1:]}; give one size"
    if wrong is not None:
        raise InputError(f"path={str(where)!r} has {wrong}")
    return raw


def _what_is_wrong(x: np.ndarray, y: np.ndarray) -> str | None:
    if x.ndim < 2 or len(x) == 0 or np.ndim(y) == 0 or len(x) != np.size(y) or np.size(y) != len(y):
        return f"images {x.shape} and labels {np.shape(y)}; one label per image"
    if x.dtype.kind not in "uif" or not np.isfinite(x).all():
        return f"images of type {x.dtype} that are not all finite numbers; give finite pixels"
    if y.dtype.kind not in "ui" or (y.dtype.kind == "i" and y.min() < 0):
        return f"labels of type {y.dtype} that are not all integers >= 0; give 0 to classes - 1"
    return None


READERS: dict[str, Callable[[Path], Raw | None]] = {
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "cifar10": cifar10,
}
"""Data set: its reader, which returns None if the data set is not there. A new data set is one entry."""
