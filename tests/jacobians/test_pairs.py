"""Every pair of types, composed and added, against the matrices; with every meeting of batches."""

import itertools

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from tests.jacobians import oracle
from tests.jacobians.cases import NAMES, Maker, common, fitting

MEETINGS = [((), ()), ((3,), ()), ((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (2, 3))]
PAIRS = list(itertools.product(NAMES, NAMES))


def unchanged(maker):
    return all(np.array_equal(numbers, own) for numbers, own in maker.made)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("batches", MEETINGS)
def test_composition(left, right, batches):
    maker = Maker(seed=7)
    outs, mid, ins = fitting(left, right)
    J, K = maker.of(left, batches[0], outs, mid), maker.of(right, batches[1], mid, ins)
    result, expected = J.J @ K.J, oracle.chain(J.A, K.A)
    assert (result.out_shape, result.in_shape) == (outs, ins)
    if "Zero" in (left, right):
        assert result.batch == ()
        expected = expected[(0,) * (expected.ndim - 2)]
    assert_close(result.dense(), expected.reshape(result.shape))

    g = maker.values((*expected.shape[:-2], *outs))
    pulled = oracle.pull(expected, g.reshape(*expected.shape[:-2], -1))
    assert_close(result.pull(g), pulled.reshape(*expected.shape[:-2], *ins))
    assert unchanged(maker)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("batches", MEETINGS)
def test_sum_and_difference(left, right, batches):
    maker = Maker(seed=8)
    outs, ins = common(left, right)
    J, K = maker.of(left, batches[0], outs, ins), maker.of(right, batches[1], outs, ins)
    for result, expected in ((J.J + K.J, oracle.total(J.A, K.A)), (J.J - K.J, oracle.total(J.A, -K.A))):
        assert (result.out_shape, result.in_shape) == (outs, ins)
        assert_close(result.dense(), expected.reshape(result.shape))

        g = maker.values((*expected.shape[:-2], *outs))
        pulled = oracle.pull(expected, g.reshape(*expected.shape[:-2], -1))
        assert_close(result.pull(g), pulled.reshape(*expected.shape[:-2], *ins))
        assert_close(
            result.pull(g, total=True), oracle.pull_total(expected, g.reshape(*expected.shape[:-2], -1)).reshape(ins)
        )
    assert unchanged(maker)


@pytest.mark.parametrize("outs", [(), (1,), (1, 1)])
@pytest.mark.parametrize("ins", [(), (2,), (2, 3)])
def test_the_shapes_of_a_row_stay(outs, ins):
    maker = Maker(seed=3)
    one, many = maker.row((3,), (4,), outs), maker.row((), (4,), outs)
    added = one.J + many.J
    assert (type(added).__name__, added.out_shape, added.in_shape) == ("Row", outs, (4,))
    assert_close(added.dense(), oracle.total(one.A, many.A).reshape(added.shape))

    behind = maker.dense((3,), (4,), ins)
    chained = one.J @ behind.J
    assert (type(chained).__name__, chained.out_shape, chained.in_shape) == ("Row", outs, ins)
    assert_close(chained.dense(), oracle.chain(one.A, behind.A).reshape(chained.shape))

    front = maker.diagonal((3,), outs)
    scaled = front.J @ maker.row((), ins, outs).J
    assert (type(scaled).__name__, scaled.out_shape, scaled.in_shape) == ("Row", outs, ins)
    assert_close(scaled.dense(), oracle.chain(front.A, maker.made[-1][0].reshape(1, -1)).reshape(scaled.shape))


@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
def test_diagonals_of_any_shape(shape):
    maker = Maker(seed=4)
    one, two, unit = maker.diagonal((3,), shape), maker.diagonal((), shape), maker.identity(shape)
    square = maker.dense((3,), shape, shape)
    for result, expected in (
        (one.J @ two.J, oracle.chain(one.A, two.A)),
        (one.J + two.J, oracle.total(one.A, two.A)),
        (one.J + unit.J, oracle.total(one.A, unit.A)),
        (unit.J + unit.J, oracle.total(unit.A, unit.A)),
        (one.J @ square.J, oracle.chain(one.A, square.A)),
        (square.J @ one.J, oracle.chain(square.A, one.A)),
        (square.J + unit.J, oracle.total(square.A, unit.A)),
    ):
        assert (result.out_shape, result.in_shape) == (shape, shape)
        assert_close(result.dense(), expected.reshape(result.shape))


def test_matrix_shaped_quantities_are_selected_from():
    maker = Maker(seed=5)
    swap = maker.selection([0, 2, 4, 1, 3, 5], (3, 2), (2, 3))
    hole = maker.selection([5, -1, 0, 0], (2, 3), (2, 2))
    A, B = maker.dense((3,), (2, 2), (2, 3)), maker.dense((3,), (3, 2), (1, 7))
    for result, expected, name in (
        (A.J @ swap.J, oracle.chain(A.A, swap.A), "Dense"),
        (swap.J @ B.J, oracle.chain(swap.A, B.A), "Dense"),
        (hole.J @ swap.J, oracle.chain(hole.A, swap.A), "Selection"),
    ):
        assert type(result).__name__ == name
        assert_close(result.dense(), expected.reshape(result.shape))
    assert (hole.J @ swap.J).shape == (2, 2, 3, 2)
    assert (A.J @ swap.J).shape == (3, 2, 2, 3, 2)
    assert (swap.J @ B.J).shape == (3, 2, 3, 1, 7)
