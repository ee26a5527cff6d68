"""Small data sets in the layouts in which the real ones are kept, and a machine that has none of its own."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

KEYS = ("x_train", "y_train", "x_test", "y_test")
IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Layouts:
    """Writers of one small data set: 10 training and 4 test images, labels 0 to 9 and 9 to 6."""

    def __init__(self, image=(6, 5), seed=0):
        rng = np.random.default_rng(seed)
        self.image = image
        self.raw = {
            "x_train": rng.integers(0, 256, (10, *image), dtype=np.uint8),
            "y_train": np.arange(10, dtype=np.uint8),
            "x_test": rng.integers(0, 256, (4, *image), dtype=np.uint8),
            "y_test": np.arange(9, 5, -1, dtype=np.uint8),
        }

    def npz(self, file: Path, save=np.savez, **other) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        save(file, **{key: a for key, a in (self.raw | other).items() if a is not None})
        return file

    def idx(self, folder: Path, zipped=(False,) * 4) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, key, gz in zip(IDX, KEYS, zipped, strict=True):
            a = self.raw[key]
            content = b"\0\0\x08" + bytes([a.ndim]) + struct.pack(f">{a.ndim}i", *a.shape) + a.tobytes()
            (folder / (name + ".gz" * gz)).write_bytes(gzip.compress(content) if gz else content)
        return folder

    def cifar(self, folder: Path) -> Path:
        """The binary version: five batches of training images, each record a label and 3,072 bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        records = [
            np.hstack([self.raw["y_" + part][:, None], self.raw["x_" + part].reshape(-1, 3072)])
            for part in ("train", "test")
        ]
        for i in range(5):
            (folder / f"data_batch_{i + 1}.bin").write_bytes(records[0][2 * i : 2 * i + 2].tobytes())
        (folder / "test_batch.bin").write_bytes(records[1].tobytes())
        return folder

    def check(self, data, name):
        """Whether `data` is this data set, standardized as written out here."""
        train = self.raw["x_train"].reshape(10, -1).astype(float)
        shift, scale = train.mean(), np.sqrt(((train - train.mean()) ** 2).mean())
        for got, key in ((data.x_train, "x_train"), (data.x_test, "x_test")):
            assert got.dtype == np.float32
            # One rounding of shift and scale and two of each pixel: a few times 6e-8 of values up to 2.
            np.testing.assert_allclose(got, (self.raw[key].reshape(len(got), -1) - shift) / scale, atol=1e-6)
        np.testing.assert_array_equal(data.y_train, self.raw["y_train"])
        np.testing.assert_array_equal(data.y_test, self.raw["y_test"])
        assert data.y_train.dtype == data.y_test.dtype == np.int32
        assert (data.name, data.classes) == (name, 10)


@pytest.fixture
def small():
    return Layouts()


@pytest.fixture
def small_cifar():
    return Layouts(image=(3, 32, 32))


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No variable set, nothing in the home folder and nothing beside the working directory."""
    for folder in ("home", "work"):
        (tmp_path / folder).mkdir()
    monkeypatch.delenv("MEANFIELD_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
