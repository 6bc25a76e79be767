"""Rows read by whole numbers, and added to, against plain loops, in every library."""

import jax
import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import assert_close
from everygrad.engines import to_numpy
from everygrad.engines.rows import add_rows, take_rows

CONVERT = {"numpy": np.asarray, "torch": torch.tensor, "jax": jax.numpy.asarray}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("library", CONVERT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("index", [[3], [0, 0, 0], [2, 0, 2, 3, 0, 2], [1, 1, 0, 4]])
def test_rows(library, dtype, index):
    rng, index = np.random.default_rng(0), np.array(index)
    values = (rng.normal(size=(len(index), 2)) * (1 + (1j if dtype is np.complex128 else 0))).astype(dtype)
    expected = np.zeros((5, 2), dtype)
    for k, v in enumerate(index):
        expected[v] += values[k]
    convert = CONVERT[library]
    total = add_rows(convert(values), convert(index), 5)
    assert type(total) is type(convert(values))
    assert to_numpy(total).dtype == dtype
    assert_close(to_numpy(total), expected, 1e-6 if dtype is np.float32 else None)
    table = rng.normal(size=(5, 2)).astype(dtype)
    for shape in (index.shape, (1, *index.shape)):
        taken = to_numpy(take_rows(convert(table), convert(index.reshape(shape))))
        np.testing.assert_array_equal(taken, table[index.reshape(shape)])


@pytest.mark.parametrize("library", CONVERT)
def test_no_rows(library):
    convert = CONVERT[library]
    total = add_rows(convert(np.zeros((0, 3))), convert(np.zeros(0, int)), 2)
    np.testing.assert_array_equal(to_numpy(total), np.zeros((2, 3)))
    assert tuple(take_rows(convert(np.ones((2, 3))), convert(np.zeros(0, int))).shape) == (0, 3)


def test_nothing_one_hot_is_formed():
    """20,000 tokens of 50,000 words: one-hot numbers would take 8 GB."""
    index = np.random.default_rng(0).integers(0, 50_000, 20_000)
    total = add_rows(np.ones((len(index), 1)), index, 50_000)
    np.testing.assert_array_equal(total[:, 0], np.bincount(index, minlength=50_000))
