"""A Jacobian read by column, against its dense form and its structure, for every type and for chains of them."""

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.engines.arrays import NUMPY_FLOAT64 as KIND
from everygrad.jacobians import Dense, Diagonal, Identity, Product, Row, Selection, Sum, Weight, Zero
from everygrad.paths.readers import readers

B, N = 3, 4
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape)


PADDED = Selection(KIND, np.array([2, -1, 0, 2, 2]), (N,))
CASES = {
    "identity": Identity(KIND, (2, 2)),
    "zero": Zero(KIND, (3,), (N,)),
    "diagonal": Diagonal(normal(N)),
    "diagonal of a number": Diagonal(normal(B), 0),
    "diagonal, batch": Diagonal(normal(B, 2, 2), 2),
    "dense": Dense(normal(3, N)),
    "dense, batch": Dense(normal(B, 3, N)),
    "selection": PADDED,
    "row": Row(normal(N)),
    "row, batch": Row(normal(B, N), 1, ()),
    "row of a number": Row(normal(B), 0, ()),
    "weight": Weight(Identity(KIND, (2,)), normal(B, 3)),
    "weight, diagonal": Weight(Diagonal(normal(B, 2)), normal(3)),
    "weight, dense": Weight(Dense(normal(B, 3, 2)), normal(B, 2)),
    "weight, selection": Weight(PADDED, normal(3)),
    "diagonal after selection": Product((Diagonal(normal(B, 5)), PADDED)),
    "selection after diagonal": Product((PADDED, Diagonal(normal(B, N)))),
    "selection after selection": Product((Selection(KIND, np.array([1, 0, 3, -1]), (5,)), PADDED)),
    "selection, zero": Product((Selection(KIND, np.array([1, 0, 2]), (3,)), Zero(KIND, (3,), (N,)))),
    "three": Product(
        (Diagonal(normal(4)), Selection(KIND, np.array([3, 1, 0, 0]), (5,)), Diagonal(normal(B, 5)), PADDED)
    ),
    "dense after selection": Product((Dense(normal(B, 2, 5)), PADDED)),
    "sum": Sum((Diagonal(normal(B, 5)) @ PADDED, Selection(KIND, np.array([-1, 0, 1, 1, 3]), (N,)))),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lanes", [[0, 1, 2], [2], [1, 2]])
def test_columns(name, lanes):
    J = CASES[name]
    read = readers(J, np.array(lanes) if J.batch else None)
    dense = np.broadcast_to(J.dense().reshape(*J.batch, J.out_size, J.in_size), (B, J.out_size, J.in_size))[lanes]
    structure = np.zeros((J.out_size, J.in_size), bool)
    p, q, _ = (J.sample(0) if J.batch else J).entries()
    structure[p, q] = True
    for inputs in ([0], list(range(J.in_size)), list(range(1, J.in_size, 2)), [0, J.in_size - 1]):
        if not inputs or len(set(inputs)) != len(inputs):
            continue
        outs, values = read.columns(np.array(inputs))
        assert values.shape[-1] <= read.width
        found = np.zeros((len(lanes), J.out_size, len(inputs)))
        seen = np.zeros((J.out_size, len(inputs)), int)
        for i in range(len(inputs)):
            row = outs if outs.ndim == 1 else outs[i]
            assert list(row[row >= 0]) == sorted(row[row >= 0])
            for m, out in enumerate(row):
                if out < 0:
                    assert np.isnan(values[:, i, m]).all()
                else:
                    found[:, out, i] += values[:, i, m]
                    seen[out, i] += 1
        np.testing.assert_array_equal(seen, structure[:, inputs])
        assert_close(found, dense[:, :, inputs])
        np.testing.assert_array_equal(read.reach(np.array(inputs)), np.flatnonzero(structure[:, inputs].any(axis=1)))
