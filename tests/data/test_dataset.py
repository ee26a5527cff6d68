"""The digits that are shipped: all of them, with their labels, standardized by the training images alone."""

import numpy as np
import pytest

from meanfield.data import NAMES, load

# How often each digit occurs in sklearn.datasets.load_digits, and the sum of all its pixels (mean 4.884164579855314).
COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
PIXEL_SUM = 561718


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_shapes_and_types(digits):
    assert digits.x_train.shape == (1437, 64) and digits.x_test.shape == (360, 64)
    assert digits.y_train.shape == (1437,) and digits.y_test.shape == (360,)
    assert {a.dtype for a in (digits.x_train, digits.x_test)} == {np.dtype(np.float32)}
    assert {a.dtype for a in (digits.y_train, digits.y_test)} == {np.dtype(np.int32)}
    assert (digits.name, digits.classes) == ("digits", 10)
    assert repr(digits) == "Dataset('digits': 1437 training and 360 test images, d=64, 10 classes)"


def test_every_image_of_the_original_is_there_once(digits):
    assert np.bincount(np.concatenate([digits.y_train, digits.y_test])).tolist() == COUNTS
    x = np.concatenate([digits.x_train, digits.x_test]).astype(float)
    pixels = 16 * (x - x.min()) / (x.max() - x.min())
    # One shift and one scale undo the standardization; float32 keeps the 17 grey levels apart by far more than 1e-4.
    np.testing.assert_allclose(pixels, pixels.round(), atol=1e-4)
    assert int(pixels.round().sum()) == PIXEL_SUM
    assert len(np.unique(pixels.round(), axis=0)) == 1797


def test_both_parts_hold_every_class(digits):
    # A shuffled split: in 360 images no class is expected below 34.9, and 20 is more than 2.5 standard deviations less.
    assert np.bincount(digits.y_test, minlength=10).min() > 20
    assert np.bincount(digits.y_train, minlength=10).min() > 100


def test_labels_belong_to_their_images(digits):
    # The nearest class mean knows nine digits in ten; labels of other images would give one in ten.
    means = np.stack([digits.x_train[digits.y_train == k].mean(0) for k in range(10)])
    nearest = ((digits.x_test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == digits.y_test).mean() > 0.85


def test_training_images_are_standardized_and_test_images_by_the_same_numbers(digits):
    train, test = digits.x_train.astype(float), digits.x_test.astype(float)
    # Rounding of one float32 is 6e-8 of it; the shift itself is rounded once for all pixels.
    assert train.mean() == pytest.approx(0.0, abs=1e-6)
    assert (train**2).mean() == pytest.approx(1.0, abs=1e-6)
    assert train.min() == test.min() and train.max() == test.max()
    assert abs(test.mean()) > 1e-4, "the test images have their own mean: they were not standardized by themselves"


def test_digits_are_the_default_and_each_load_is_its_own(digits):
    other = load()
    np.testing.assert_array_equal(other.x_train, digits.x_train)
    other.x_train[:] = 0
    assert load().x_train.any()


def test_the_digits_need_no_folder(digits, monkeypatch, tmp_path):
    monkeypatch.setenv("MEANFIELD_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(load("digits").y_test, digits.y_test)


def test_the_names():
    assert NAMES == ("digits", "mnist", "fashion_mnist", "cifar10")
