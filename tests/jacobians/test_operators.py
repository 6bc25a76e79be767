"""What is not defined is refused, and every message says what came, what was expected and what to do."""

import dataclasses
import operator
import re

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.engines import kind_of
from everygrad.errors import InputError, UnsupportedError
from everygrad.jacobians import Dense, Diagonal, Identity, Product, Row, Selection, Sum, Weight, Zero
from everygrad.jacobians.base import _real_scalar
from tests.jacobians.cases import NAMES, Maker

OPERATORS = (operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul, operator.pow)
KIND = kind_of(np.zeros(1))


def example(name):
    outs, ins = {"Row": ((1,), (3,)), "Weight": ((3,), (3, 2))}.get(name, ((3,), (3,)))
    return Maker().of(name, (2,), outs, ins).J


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [None, "x", [1.0], 1j, np.complex128(1j), {}], ids=repr)
def test_other_things_are_refused(name, other):
    J = example(name)
    for op in OPERATORS:
        if op is operator.matmul and isinstance(other, np.generic):
            continue  # a NumPy scalar is an array without axes
        with pytest.raises(TypeError):
            op(J, other)
        with pytest.raises(TypeError):
            op(other, J)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_mathematics_does_not_define_is_refused(name):
    J, A = example(name), np.ones((3, 3))
    for other in (3, 0.5, np.float64(2.0), A):
        for op in (operator.add, operator.sub, operator.pow):
            with pytest.raises(TypeError):
                op(J, other)
            with pytest.raises(TypeError):
                op(other, J)
    for op in (operator.mul, operator.truediv, operator.pow):
        with pytest.raises(TypeError):
            op(J, J)
    for op in (operator.mul, operator.truediv):
        with pytest.raises(TypeError):
            op(J, A)
        with pytest.raises(TypeError):
            op(A, J)
    with pytest.raises(TypeError):
        2 / J
    with pytest.raises(TypeError):
        J @ 3.0
    with pytest.raises(TypeError, match="not iterable"):
        iter(J)


def test_the_methods_return_notimplemented():
    J = example("Dense")
    assert J.__matmul__("x") is NotImplemented
    assert J.__rmatmul__("x") is NotImplemented
    assert J.__add__(3) is NotImplemented
    assert J.__sub__(3) is NotImplemented
    assert J.__mul__(J) is NotImplemented
    assert J.__rmul__(J) is NotImplemented
    assert J.__truediv__(J) is NotImplemented


@pytest.mark.parametrize("scalar", [2, 0.25, np.float64(2.5), np.float32(0.5), np.int64(3), np.array(1.5), np.array(2)])
def test_scalars_keep_float32(scalar):
    x = np.ones((2, 3), np.float32)
    for J in (Diagonal(x), Dense(x), Row(x), Weight(Identity(kind_of(x), (4,)), x), Identity(kind_of(x), (3,))):
        for scaled, factor in (
            (scalar * J, float(scalar)),
            (J * scalar, float(scalar)),
            (J / scalar, 1 / float(scalar)),
        ):
            dense = scaled.dense()
            assert dense.dtype == np.float32
            assert_close(dense, factor * J.dense().astype(np.float64), 1e-7)


def test_what_a_real_scalar_is():
    assert _real_scalar(np.float64(0.5), KIND) == 0.5
    assert type(_real_scalar(np.float32(0.5), KIND)) is float
    assert type(_real_scalar(np.array(0.5, np.float32), KIND)) is float
    assert type(_real_scalar(3, KIND)) is float
    assert _real_scalar(np.ones(1), KIND) is None
    assert _real_scalar(np.array(1j), KIND) is None
    assert _real_scalar(1j, KIND) is None
    assert _real_scalar("2", KIND) is None


def test_division_by_zero_is_an_error():
    with pytest.raises(ZeroDivisionError):
        example("Dense") / 0


def raises(error, text):
    return pytest.raises(error, match="^" + re.escape(text) + "$")


def test_shapes_that_do_not_compose():
    J, K = Dense(np.ones((2, 3))), Dense(np.ones((4, 5)))
    with raises(
        InputError,
        "J @ K: the input of J has shape (3,), the output of K has shape (4,), in "
        f"{J!r} @ {K!r}; they must be the same quantity",
    ):
        J @ K
    with raises(
        InputError, "leading axes (2,) and (3,) do not broadcast: give both the same batch, or leave one without"
    ):
        Diagonal(np.ones((2, 4))) @ Diagonal(np.ones((3, 4)))


@pytest.mark.parametrize("K", [Dense(np.ones((2, 4))), Dense(np.ones((4, 3)))])
def test_shapes_that_do_not_add(K):
    with raises(
        InputError,
        f"J + K: J has shape (2,) <- (3,), K has shape {K.out_shape} <- {K.in_shape}, in "
        f"Dense(2 <- 3, batch (), stored 6 of 6) + {K!r}; both must be of the same quantities",
    ):
        Dense(np.ones((2, 3))) + K


def test_batches_that_do_not_add():
    with pytest.raises(InputError, match=re.escape("leading axes (2,) and (3,) do not broadcast")):
        Diagonal(np.ones((2, 4))) - Diagonal(np.ones((3, 4)))


def test_vectors_that_do_not_fit():
    J = Dense(np.ones((2, 3, 4)))
    with raises(
        InputError,
        "Dense.push: the array has shape (2, 3), its last axes must be (4,), the shape of the input; "
        "axes before them broadcast with the batch (2,)",
    ):
        J.push(np.ones((2, 3)))
    with raises(
        InputError,
        "Dense.pull: the array has shape (2, 4), its last axes must be (3,), the shape of the output; "
        "axes before them broadcast with the batch (2,)",
    ):
        np.ones((2, 4)) @ J
    with pytest.raises(InputError, match=re.escape("the array has shape (), its last axes must be (3,)")):
        J.pull(np.array(1.0))
    matrix = Weight(Identity(KIND, (2,)), np.ones(3))
    with pytest.raises(InputError, match=re.escape("shape (3,), its last axes must be (2, 3)")):
        matrix.push(np.ones(3))
    with pytest.raises(InputError, match=re.escape("shape (2, 2), its last axes must be (2, 3)")):
        matrix.push(np.ones((2, 2)))
    folded = Weight(Identity(KIND, (2,)), np.ones((4, 3)))
    with pytest.raises(InputError, match=re.escape("leading axes (5,) and (4,) do not broadcast")):
        folded.push(np.ones((5, 2, 3)))
    for verb in (J.push, J.pull):
        with pytest.raises(InputError, match=re.escape("leading axes (5,) and (2,) do not broadcast")):
            verb(np.ones((5, 4 if verb == J.push else 3)))


def test_shapes_of_a_dense():
    with raises(InputError, "Dense: A has shape (3,), expected (*batch, out_size, in_size)"):
        Dense(np.ones(3))
    with raises(
        InputError,
        "Dense: A has shape (2, 6), but the output (2,) and the input (2, 2) ask for (*batch, 2, 4)",
    ):
        Dense(np.ones((2, 6)), in_shape=(2, 2))
    with raises(
        InputError,
        "Dense: A has shape (5, 2, 6), but the output (3,) and the input (6,) ask for (*batch, 3, 6)",
    ):
        Dense(np.ones((5, 2, 6)), (3,))


def test_a_weight_has_no_transpose():
    with raises(
        UnsupportedError,
        "Weight(3 <- 3×2, batch (4,), M=Identity, stored 8 of 72) has no transpose of this family: "
        "use pull(g), which applies it",
    ):
        _ = Weight(Identity(KIND, (3,)), np.ones((4, 2))).T


def test_entries_want_one_sample():
    with raises(
        InputError,
        "entries() of Diagonal(3 <- 3, batch (2,), stored 6 of 18): it has the batch (2,), take one sample(b) first",
    ):
        Diagonal(np.ones((2, 3))).entries()


J32 = Dense(np.arange(12.0).reshape(2, 3, 2))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((3, 0), "index 3 is out of range for size 3, in (3, 0) of the sizes (3, 2) of {}"),
        ((0, 2), "index 2 is out of range for size 2, in (0, 2) of the sizes (3, 2) of {}"),
        ((-4, 0), "index -4 is out of range for size 3, in (-4, 0) of the sizes (3, 2) of {}"),
        ((2, 0, 0), "index 2 is out of range for size 2, in (2, 0, 0) of the sizes (2, 3, 2) of {}"),
        (0, "{} takes 2 indices, or 3 with those of the batch (2,) first; got 1"),
        ((0, 0, 0, 0), "{} takes 2 indices, or 3 with those of the batch (2,) first; got 4"),
        (
            (0, slice(None)),
            "slice(None, None, None) is not an integer, in an index of {}: for slices take dense()[...]",
        ),
        ((0, 1.0), "1.0 is not an integer, in an index of {}: for slices take dense()[...]"),
        ((..., 0), "Ellipsis is not an integer, in an index of {}: for slices take dense()[...]"),
    ],
)
def test_indices_that_do_not_fit(key, text):
    with raises(IndexError, text.format("Dense(3 <- 2, batch (2,), stored 12 of 12)")):
        J32[key]


def test_the_edges_of_an_index():
    assert J32[2, 1].tolist() == [5.0, 11.0]
    assert J32[-3, -2].tolist() == [0.0, 6.0]
    assert J32[np.int64(1), 2 - 1, 1] == 9.0
    assert Diagonal(np.array(2.5), 0)[()] == 2.5
    assert Row(np.arange(3.0), out_shape=())[2] == 2.0


def test_samples_that_do_not_fit():
    text = "Dense(3 <- 2, batch (2,), stored 12 of 12)"
    with raises(IndexError, f"index 2 is out of range for size 2, in (2,) of the sizes (2,) of {text}"):
        J32.sample(2)
    with raises(IndexError, f"index -3 is out of range for size 2, in (-3,) of the sizes (2,) of {text}"):
        J32.sample(-3)
    with raises(IndexError, "sample((0, 1)): the batch (2,) takes 1 indices, got 2"):
        J32.sample((0, 1))
    with raises(IndexError, "sample(0): the batch (2, 3) takes 2 indices, got 1"):
        Diagonal(np.ones((2, 3, 4))).sample(0)
    with raises(IndexError, f"index 2 is out of range for size 2, in (2,) of the sizes (2,) of {text}"):
        J32.at(2)
    with raises(
        IndexError, f"slice(0, 1, None) is not an integer, in an index of {text}: for slices take dense()[...]"
    ):
        J32.at(slice(0, 1))
    shared = Dense(np.ones((3, 2)))
    assert shared.sample(17) is shared
    assert shared.sample(()) is shared


REPRS = {
    "Identity(3 <- 3, batch (), stored 0 of 9)": Identity(KIND, (3,)),
    "Identity(() <- (), batch (), stored 0 of 1)": Identity(KIND, ()),
    "Zero(3 <- 2×2, batch (), stored 0 of 12)": Zero(KIND, (3,), (2, 2)),
    "Diagonal(2×3 <- 2×3, batch (4,), stored 24 of 144)": Diagonal(np.ones((4, 2, 3)), 2),
    "Selection(3 <- 4, batch (), stored 3 of 12)": Selection(KIND, np.array([0, 1, -1]), (4,)),
    "Row(() <- 4, batch (2, 3), stored 24 of 24)": Row(np.ones((2, 3, 4)), 1, ()),
    "Weight(128 <- 128×64, batch (32,), M=Diagonal, stored 6,144 of 33,554,432)": Weight(
        Diagonal(np.ones((32, 128))), np.ones((32, 64))
    ),
    "Sum(2 <- 2, batch (), Identity + Identity, stored 0 of 4)": Sum((Identity(KIND, (2,)),) * 2),
    "Sum(2 <- 2, batch (), Identity + Identity + Identity + Identity, stored 0 of 4)": Sum((Identity(KIND, (2,)),) * 4),
    "Sum(2 <- 2, batch (), Identity + Identity + Identity + ... (5 in all), stored 0 of 4)": Sum(
        (Identity(KIND, (2,)),) * 5
    ),
    "Product(2 <- 4, batch (), Dense ∘ Row, stored 6 of 8)": Product((Dense(np.ones((2, 1))), Row(np.ones(4)))),
}


@pytest.mark.parametrize("text", REPRS)
def test_printed_line(text):
    assert repr(REPRS[text]) == text


def test_defaults():
    d, A, r = np.ones((2, 3)), np.ones((2, 3, 4)), np.ones((2, 3))
    assert (Diagonal(d).batch, Diagonal(d).out_shape, Diagonal(d).in_shape) == ((2,), (3,), (3,))
    assert (Dense(A).batch, Dense(A).out_shape, Dense(A).in_shape) == ((2,), (3,), (4,))
    assert (Row(r).batch, Row(r).out_shape, Row(r).in_shape) == ((2,), (1,), (3,))
    S = Selection(KIND, np.array([0, 1]), (3,))
    assert (S.batch, S.out_shape, S.in_shape) == ((), (2,), (3,))
    W = Weight(Diagonal(d), np.ones((2, 5)))
    assert (W.batch, W.out_shape, W.in_shape) == ((2,), (3,), (3, 5))


@pytest.mark.parametrize("name", NAMES)
def test_operators_are_frozen_and_equal_only_to_themselves(name):
    J = example(name)
    for field in dataclasses.fields(J):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(J, field.name, None)
    twin = example(name)
    assert J == J
    assert twin != J
    assert len({J, J, twin}) == 2
    assert not hasattr(J, "__dict__")


@pytest.mark.parametrize("name", NAMES)
def test_pull_of_an_identity_is_the_array_itself(name):
    g = np.ones((4, 3))
    assert Identity(KIND, (3,)).pull(g) is g
    assert Identity(KIND, (3,)).push(g) is g


def test_transposes_of_selections():
    once = Selection(KIND, np.array([2, -1, 0]), (4,), (3,))
    assert type(once.T) is Selection
    assert once.T.index.tolist() == [2, -1, 0, -1]
    spread = Selection(KIND, np.array([0, -1, 0, 0]), (1,), (2, 2))
    assert type(spread.T) is Row
    assert (spread.T.out_shape, spread.T.in_shape) == ((1,), (2, 2))
    assert spread.T.dense().tolist() == [[[1.0, 0.0], [1.0, 1.0]]]
    one = Selection(KIND, np.array([0]), (), (1,))
    assert type(one.T) is Selection
    assert (one.T.out_shape, one.T.in_shape) == ((), (1,))
    assert type(Selection(KIND, np.array([1, 1]), (2,)).T) is Dense
    assert type(Row(np.ones((5, 3)), 1, ()).T) is Dense
    assert Row(np.ones((5, 3)), 1, ()).T.shape == (5, 3)


def test_structure_counts_whatever_the_values():
    zeros = np.zeros(3)
    assert Diagonal(zeros).nnz == 3
    assert Row(zeros).nnz == 3
    assert Dense(np.zeros((2, 3))).nnz == 6
    assert Weight(Diagonal(zeros), np.zeros(4)).nnz == 12
    chain = Product((Dense(np.zeros((2, 3))), Diagonal(zeros), Selection(KIND, np.array([0, 0, -1]), (5,))))
    assert chain.nnz == 2
    p, q, value = chain.entries()
    assert (p.tolist(), q.tolist(), value.tolist()) == ([0, 1], [0, 0], [0.0, 0.0])
    cancelling = Sum((Diagonal(np.ones(3)), Diagonal(-np.ones(3))))
    assert cancelling.nnz == 3
    assert cancelling.entries()[2].tolist() == [0.0, 0.0, 0.0]
    assert Sum((Zero(KIND, (2,), (3,)), Zero(KIND, (2,), (3,)))).nnz == 0


def test_a_diagonal_with_infinities_is_zero_beside_them():
    d = np.array([np.inf, np.nan, 1.0])
    dense = Diagonal(d).dense()
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_array_equal(dense[off], 0.0)
    np.testing.assert_array_equal(np.diagonal(dense), d)
