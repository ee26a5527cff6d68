"""Values as JSON."""

import dataclasses
import json

import numpy as np

from meanfield.interface.jsonable import to_jsonable


@dataclasses.dataclass(frozen=True)
class Word:
    code: np.ndarray
    words = ("converged", "zero")


def test_arrays_of_words():
    assert to_jsonable(Word(np.array([[0, 1]], np.int8))) == [["converged", "zero"]]


def test_numbers_keep_every_digit():
    value = 1.7609546396437712
    assert json.loads(json.dumps(to_jsonable(np.float64(value)))) == value


def test_array_scalars_are_numbers():
    assert to_jsonable(np.array(2.0)) == 2.0
    assert to_jsonable(np.array(True)) is True
    assert to_jsonable(np.int32(3)) == 3
