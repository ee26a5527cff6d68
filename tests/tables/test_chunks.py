"""Many points in pieces of one size: the last piece is filled up, and what fills it is cut off again."""

import jax.numpy as jnp
import numpy as np
import pytest

from meanfield.tables.chunks import fetch, in_chunks


@pytest.mark.parametrize("count", [0, 1, 4, 7, 8])
def test_every_row_comes_back_once(count):
    sizes = []

    def compute(rows, columns):
        sizes.append((len(rows), len(columns)))
        return rows + 1, columns.sum(1)

    rows = np.arange(count, dtype=np.float32)
    found, sums = fetch(in_chunks(compute, 4, rows, np.stack([rows, rows], 1)))
    assert found.tolist() == (rows + 1).tolist() and sums.tolist() == (2 * rows).tolist()
    assert set(sizes) == {(4, 4)}


def test_what_comes_back_may_be_written_to():
    (found,) = fetch(in_chunks(lambda rows: (jnp.asarray(rows),), 4, np.ones(4, np.float32)))
    found[0] = 2.0
    assert found.tolist() == [2, 1, 1, 1]
