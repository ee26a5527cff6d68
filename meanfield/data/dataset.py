"""`load`, which reads a data set by name, and `Dataset`, the result."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from ..interface.arguments import instance_of, one_of, real_array, whole
from ..interface.paths import a_path
from . import files

__all__ = ["NAMES", "Dataset", "load"]

_DIGITS_TRAIN = 1437


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """Images and labels for training and for testing.

    x_train (n, d), x_test (m, d): float32, flat, standardized: mean 0 and mean square 1 over all pixels of the
    training images, by one shift and one scale for all pixels, so that x.x/d is 1 on average over the training set.
    y_train (n,), y_test (m,): int32 labels 0 ... classes - 1. name: the name given to `load`.

    One of your own needs no standardization, but finite real pixels and integer labels; else InputError.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    classes: int

    def __post_init__(self) -> None:
        instance_of("name", self.name, (str,))
        object.__setattr__(self, "classes", whole("classes", self.classes, below=2**31))
        for part in ("train", "test"):
            x, y = f"x_{part}", f"y_{part}"
            images, labels = _images(x, getattr(self, x)), _labels(y, getattr(self, y), self.classes)
            if len(images) != len(labels):
                raise InputError(f"{x} has {len(images)} images and {y} {len(labels)} labels; give one label per image")
            object.__setattr__(self, x, images)
            object.__setattr__(self, y, labels)
        widths = self.x_train.shape[1], self.x_test.shape[1]
        if widths[0] != widths[1]:
            raise InputError(f"x_train has {widths[0]} pixels and x_test {widths[1]}; give images of one size")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the images and labels, which tells apart two data sets of one name."""
        found = hashlib.sha256(str(self.classes).encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            found.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def __repr__(self) -> str:
        n, d = self.x_train.shape
        return f"Dataset({self.name!r}: {n} training and {len(self.x_test)} test images, d={d}, {self.classes} classes)"


def _images(name: str, given: Any) -> np.ndarray:
    found = real_array(name, given, "give finite pixels") if not isinstance(given, np.ndarray) else given
    if found.ndim != 2 or 0 in found.shape:
        raise InputError(f"{name} has shape {found.shape}; give images as rows, (n, d)")
    real = found.dtype.kind in "uif" and not isinstance(found, np.ma.MaskedArray)
    with np.errstate(over="ignore"):
        pixels = found.astype(np.float32) if real else found
    if not real or not np.isfinite(pixels).all():
        raise InputError(f"{name} holds {found.dtype} that are not all finite real numbers; give finite pixels")
    return pixels


def _labels(name: str, given: Any, classes: int) -> np.ndarray:
    found = np.asanyarray(given)
    if found.ndim != 1 or found.dtype.kind not in "ui" or isinstance(found, np.ma.MaskedArray):
        raise InputError(f"{name} holds {found.dtype} of shape {found.shape}; give integer labels, (n,)")
    if found.size and not (found.min() >= 0 and found.max() < classes):
        raise InputError(
            f"{name} has labels from {found.min()} to {found.max()}; give 0 to classes - 1 = {classes - 1}"
        )
    return found.astype(np.int32)


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
    if path is not None:
        places = [a_path("path", path).expanduser()]
    elif os.environ.get("MEANFIELD_DATA"):
        places = [Path(os.environ["MEANFIELD_DATA"]).expanduser()]
    else:
        places = [Path.home() / ".keras" / "datasets", Path("data"), Path.home() / "data"]
    for place in places:
        try:
            found = files.READERS[name](place)
        except OSError as error:
            raise InputError(f"{shown('path', str(place))} cannot be read ({error.strerror}); give its place") from None
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
