import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract, spread
from everygrad.graph.operation import ShapeProblem
from tests.graph.oracle import assert_local

OPERATIONS = (Add(), Subtract(), Multiply(), Divide())
BY_HAND = {
    "add": lambda u, v: u + v,
    "subtract": lambda u, v: u - v,
    "multiply": lambda u, v: u * v,
    "divide": lambda u, v: u / v,
}
B, n, m = 3, 4, 2
# (shape of u, leads of u, shape of v, leads of v)
SHAPES = [
    ((B, n), 1, (B, n), 1),
    ((B, n), 1, (n,), 0),
    ((n,), 0, (B, n), 1),
    ((B, n), 1, (), 0),
    ((), 0, (B, n), 1),
    ((B,), 1, (B, n), 1),
    ((B, n), 1, (B,), 1),
    ((B,), 1, (B,), 1),
    ((B, 1), 1, (B, n), 1),
    ((B, n), 1, (1,), 0),
    ((B, 1), 1, (n,), 0),
    ((n,), 0, (n,), 0),
    ((m, n), 0, (m, n), 0),
    ((m, n), 0, (n,), 0),
    ((m, 1), 0, (1, n), 0),
    ((), 0, (), 0),
    ((1, 1), 1, (1, 1), 1),
    ((n, n), 1, (n,), 1),  # as many samples as components: must not be mixed up
    ((n,), 1, (n, n), 1),
    ((n, n), 1, (n, n), 0),  # nor samples with the rows of a parameter
    ((n, n), 0, (n, n), 1),
    ((B, m, n), 1, (B, n), 1),
    ((B, m, n), 1, (m, 1), 0),
    ((B, m, n), 2, (n,), 0),
    ((B, m), 2, (B, m, n), 2),
]


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_value_and_derivatives(op, case):
    rng = np.random.default_rng(0)
    u = rng.normal(size=case[0])
    v = rng.normal(size=case[2]) + np.where(rng.normal(size=case[2]) > 0, 2.0, -2.0)
    leads = [case[1], case[3]]
    assert_local(op, [u, v], leads)
    y = np.asarray(op.value([u, v], leads))
    samples = y.shape[: max(leads)]
    for b in np.ndindex(samples):  # sample by sample, as the definition says
        reference = BY_HAND[op.name](u[b] if leads[0] else u, v[b] if leads[1] else v)
        assert_close(y[b], reference)


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_shapes_that_do_not_fit(op):
    with pytest.raises(ShapeProblem) as error:
        op.shape([(3,), (4,)], [1, 1])
    assert str(error.value) == f"{op.name} needs equal shapes (or 1 against n), got (3,) and (4,)"


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.name)
def test_dtype_is_kept(op):
    u, v = np.ones((2, 3), np.float32), np.full(3, 2.0, np.float32)
    y = op.value([u, v], [1, 0])
    assert y.dtype == np.float32
    for slot in (0, 1):
        assert op.local(slot, [u, v], y, [1, 0]).dense().dtype == np.float32


def test_the_factor_minus_one_is_stored_once_for_all_samples():
    u, v = np.ones((5, 3)), np.ones((5, 3))
    J = Subtract().local(1, [u, v], u - v, [1, 1])
    assert J.batch == ()
    np.testing.assert_array_equal(J.dense(), -np.eye(3))


def test_adding_keeps_an_identity():
    u = np.ones((5, 3))
    assert type(Add().local(0, [u, u], u, [1, 1])).__name__ == "Identity"


def test_spread_puts_new_axes_behind_the_leading_ones():
    x = np.arange(3.0)
    np.testing.assert_array_equal(spread(x, 1, 2), x.reshape(3, 1, 1))
    assert spread(x, 0, 2) is x
    assert spread(x, 1, 0) is x


def test_formulas():
    formulas = {
        op.name: (op.formula("u", "v"), op.local_formula(0, "u", "v"), op.local_formula(1, "u", "v"))
        for op in OPERATIONS
    }
    assert formulas == {
        "add": ("u + v", "1", "1"),
        "subtract": ("u - v", "1", "-1"),
        "multiply": ("u*v", "v", "u"),
        "divide": ("u/v", "1/v", "-u/v**2"),
    }


def test_what_shows_a_non_finite_input():
    assert [op.shows_nonfinite for op in OPERATIONS] == [True, True, True, False]
    assert [op.keeps_finite for op in OPERATIONS] == [False] * 4
    bad = np.array([np.nan, np.inf, -np.inf])
    with np.errstate(all="ignore"):
        for op in OPERATIONS[:3]:
            for other in (0.0, 1.0, -2.0):
                assert not np.isfinite(op.value([bad, np.full(3, other)], [0, 0])).any()
                assert not np.isfinite(op.value([np.full(3, other), bad], [0, 0])).any()
    assert Divide().value([np.ones(1), np.array([np.inf])], [0, 0]) == 0.0  # why division does not claim it


def test_no_attributes():
    assert all(dict(op.attributes) == {} for op in OPERATIONS)
