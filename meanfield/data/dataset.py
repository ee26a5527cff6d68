"""`load`, which reads a data set by name, and `Dataset`, the result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..interface.arguments import one_of
from . import files

__all__ = ["NAMES", "Dataset", "load"]

_DIGITS_TRAIN = 1437


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Images and labels for training and for testing.

    x_train (n, d), x_test (m, d): float32, flat, standardized: mean 0 and mean square 1 over all pixels of the
    training images, by one shift and one scale for all pixels, so that x.x/d is 1 on average over the training set.
    y_train (n,), y_test (m,): int32 labels 0 ... classes - 1. name: the name given to `load`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    classes: int

    def __repr__(self) -> str:
        n, d = self.x_train.shape
        return f"Dataset({self.name!r}: {n} training and {len(self.x_test)} test images, d={d}, {self.classes} classes)"


def load(name: str = "digits", path: str | os.PathLike | None = None) -> Dataset:
    """Load a data set of images, standardized as `Dataset` says.

    "digits" is shipped with the package. "mnist", "fashion_mnist" and "cifar10" are read from `path` (a file or a
    folder), else from the folder in the environment variable MEANFIELD_DATA, else from the caches of Keras and
    torchvision. Supported are Keras' mnist.npz, the IDX files of MNIST and Fashion-MNIST (gzipped or not) and the
    binary version of CIFAR-10. InputError for an unknown name, a missing data set or a malformed file.

    >>> data = load("digits")
    >>> data
    Dataset('digits': 1437 training and 360 test images, d=64, 10 classes)
    >>> float(round((data.x_train**2).mean(), 4))
    1.0
    """
    if one_of("data", name, NAMES) == "digits":
        if path is not None:
            raise InputError(f"path={str(path)!r} is not used by the digits, which come with the package; leave it out")
        return _standardized(name, *_digits())
    return _standardized(name, *_read(name, path))


def _digits() -> files.Raw:
    with resources.files(__name__.rpartition(".")[0]).joinpath("digits.npz").open("rb") as stream:
        stored = np.load(stream, allow_pickle=False)
        x, y = stored["images"], stored["labels"]
    return files.Raw(x[:_DIGITS_TRAIN], y[:_DIGITS_TRAIN], x[_DIGITS_TRAIN:], y[_DIGITS_TRAIN:])


def _read(name: str, path: str | os.PathLike | None) -> files.Raw:
    """The first place that has the data set; an explicit path is the only place tried."""
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise InputError(f"path={path!r} must be the path of a file or a folder")
    if path is not None:
        places = [Path(path).expanduser()]
    elif os.environ.get("MEANFIELD_DATA"):
        places = [Path(os.environ["MEANFIELD_DATA"]).expanduser()]
    else:
        places = [Path.home() / ".keras" / "datasets", Path("data"), Path.home() / "data"]
    for place in places:
        found = files.READERS[name](place)
        if found is not None:
            return found
    looked = ", ".join(str(place) for place in places)
    raise InputError(
        f"data={name!r} is not at {looked}; give its file or folder as path (or in MEANFIELD_DATA), "
        "or use the digits that are shipped: --data digits"
    )


def _standardized(
    name: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray
) -> Dataset:
    mean, std = x_train.mean(dtype=np.float64), x_train.std(dtype=np.float64)
    if not std > 0:
        raise InputError(f"data={name!r}: all pixels of the training images are equal; give another file")

    def flat(x: np.ndarray) -> np.ndarray:
        return ((x.reshape(len(x), -1) - np.float32(mean)) / np.float32(std)).astype(np.float32)

    labels = y_train.astype(np.int32).ravel(), y_test.astype(np.int32).ravel()
    return Dataset(flat(x_train), labels[0], flat(x_test), labels[1], name, int(max(map(np.max, labels))) + 1)


NAMES = ("digits", *files.READERS)
