"""The helpers on leading axes, against NumPy."""

import itertools
import re

import numpy as np
import pytest

from everygrad.errors import InputError
from everygrad.jacobians import shapes

SHAPES = [(), (1,), (3,), (2, 3), (2, 1), (1, 3), (4, 2, 3), (4, 1, 1), (2,), (0,), (0, 3)]


@pytest.mark.parametrize(("a", "b"), list(itertools.product(SHAPES, SHAPES)))
def test_broadcast(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        text = f"leading axes {a} and {b} do not broadcast: give both the same batch, or leave one without"
        with pytest.raises(InputError, match="^" + re.escape(text) + "$"):
            shapes.broadcast(a, b)
    else:
        assert shapes.broadcast(a, b) == expected


def test_flatten_and_unflatten():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert shapes.flatten(x, 1) is x
    for ndim, shape in ((0, (2, 3, 4, 1)), (2, (2, 12)), (3, (24,))):
        flat = shapes.flatten(x, ndim)
        assert flat.shape == shape
        assert flat.ravel().tolist() == x.ravel().tolist()
        features = x.shape[3 - ndim :]
        np.testing.assert_array_equal(shapes.unflatten(flat, features), x)
    assert shapes.unflatten(x, (4,)) is x
    assert shapes.flatten(np.zeros((0, 3, 4)), 2).shape == (0, 12)


def test_sum_leading():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert shapes.sum_leading(x).tolist() == x.sum((0, 1)).tolist()
    row = x[0, 0]
    assert shapes.sum_leading(row) is row


def test_spread_is_a_view():
    x = np.arange(4.0)
    wide = shapes.spread(x, (2, 3))
    assert wide.shape == (2, 3, 4)
    assert np.shares_memory(wide, x)
    assert shapes.spread(wide, (2, 3)) is wide


def test_pick():
    x = np.arange(6.0).reshape(1, 3, 2)
    assert shapes.pick(x, 1, (5, 7, 2)).tolist() == [4.0, 5.0]
    assert shapes.pick(x[0, 0], 1, (5, 7)).tolist() == [0.0, 1.0]
    assert shapes.pick(x, 0, (0, 2, 1)).shape == ()


def test_flat_index():
    for place in np.ndindex(2, 3, 4):
        assert shapes.flat_index(place, (2, 3, 4)) == np.ravel_multi_index(place, (2, 3, 4))
    assert shapes.flat_index((), ()) == 0


def test_show():
    assert shapes.show((128, 64)) == "128×64"
    assert shapes.show((3,)) == "3"
    assert shapes.show(()) == "()"
