"""The tree of sums, against one written down from its definition."""

import numpy as np
import pytest

from everygrad.batches.tree import PairwiseSum, Part


def leaf(value, chunks=1):
    return Part(np.float32(value), 1, 2, chunks, {"W": np.float32([value, -value])})


def tree(values):
    """A complete tree over the largest power of two that is smaller than their number, then the rest."""
    if len(values) == 1:
        return values[0]
    left = 1
    while 2 * left < len(values):
        left *= 2
    return tree(values[:left]) + tree(values[left:])


@pytest.mark.parametrize("n", [*range(1, 34), 100, 1023, 1025])
def test_the_tree(n):
    rng = np.random.default_rng(n)
    values = (rng.normal(size=n) * 10.0 ** rng.integers(-4, 5, n)).astype(np.float32)
    sums = PairwiseSum()
    for i, value in enumerate(values):
        assert sums.chunks == i
        sums = sums.plus(leaf(value))
        assert len(sums.parts) <= (i + 1).bit_length()
    total = sums.total()
    assert (total.chunks, total.samples, total.share) == (n, 2 * n, n)
    assert total.loss.tobytes() == np.float32(tree(list(values))).tobytes()
    assert total.gradients["W"].tobytes() == np.float32([total.loss, -total.loss]).tobytes()
    assert sums.total().loss == total.loss  # looking does not change it


def test_the_order_of_sums_shows_in_the_bits():
    """What the test above compares would not be the same one by one."""
    values = np.float32([1e8, 1.0, -1e8, 1.0])
    sums = PairwiseSum()
    for value in values:
        sums = sums.plus(leaf(value))
    assert sums.total().loss == (values[0] + values[1]) + (values[2] + values[3]) == 0.0
    assert ((values[0] + values[1]) + values[2]) + values[3] == 1.0


def test_rounding_grows_with_the_logarithm():
    n = 4096
    sums, one = PairwiseSum(), np.float32(0.1)
    for _ in range(n):
        sums = sums.plus(leaf(one))
    assert abs(float(sums.total().loss) / (n * float(one)) - 1) < 12 * 2**-24


def test_earlier_sums_stay_as_they_are():
    a = PairwiseSum().plus(leaf(1.0))
    b = a.plus(leaf(2.0))
    assert (a.total().loss, b.total().loss, len(a.parts), len(b.parts)) == (1.0, 3.0, 1, 1)
