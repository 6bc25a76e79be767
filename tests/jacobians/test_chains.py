"""Drawn chains of products and sums of any types equal the chain of the matrices."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.jacobians import Diagonal, Product
from tests.jacobians import oracle
from tests.jacobians.cases import Maker

BATCHES = st.sampled_from([(), (3,), (2, 3), (2, 1)])
SIZES = st.integers(1, 4)


@st.composite
def recipes(draw, outs, ins, depth):
    """How to make an operator of the shapes (outs,) <- (ins,): one type, or several put together."""
    choices = ["Dense", "Selection", "Zero"]
    if outs == ins:
        choices += ["Identity", "Diagonal", "Diagonal"]
    if outs == 1:
        choices.append("Row")
    if depth:
        choices += ["+", "-", "@", "@", "c"] * 2
    name = draw(st.sampled_from(choices))
    if name in ("+", "-"):
        return name, draw(recipes(outs, ins, depth - 1)), draw(recipes(outs, ins, depth - 1))
    if name == "@":
        mid = draw(SIZES)
        return name, draw(recipes(outs, mid, depth - 1)), draw(recipes(mid, ins, depth - 1))
    if name == "c":
        return name, draw(st.sampled_from([-1.5, 0.25, 3])), draw(recipes(outs, ins, depth - 1))
    return name, draw(BATCHES), (outs,), (ins,)


def follow(maker, recipe):
    """The operator of a recipe and its matrix."""
    name, *rest = recipe
    if name == "c":
        J, A = follow(maker, rest[1])
        return rest[0] * J, rest[0] * A
    if name in ("+", "-", "@"):
        (J, A), (K, B) = follow(maker, rest[0]), follow(maker, rest[1])
        match name:
            case "+":
                return J + K, oracle.total(A, B)
            case "-":
                return J - K, oracle.total(A, -B)
            case _:
                return J @ K, oracle.chain(A, B)
    case = maker.of(name, *rest)
    return case.J, case.A


def scaled_tolerance(A):
    """The oracle's own sums cancel: the error is measured against the size of what was added."""
    return max(1.0, np.linalg.norm(A))


@settings(max_examples=150)
@given(st.data())
def test_chains_equal_the_chains_of_matrices(data):
    maker = Maker(seed=data.draw(st.integers(0, 2**16)))
    outs, ins = data.draw(SIZES), data.draw(SIZES)
    J, A = follow(maker, data.draw(recipes(outs, ins, 4)))
    A = np.broadcast_to(A, (*np.broadcast_shapes(A.shape[:-2], J.batch), *A.shape[-2:]))
    dense = np.broadcast_to(J.dense(), A.shape)  # a Zero on the way may have lost the batch
    unit = scaled_tolerance(A)
    assert np.linalg.norm(dense - A) <= 1e-13 * unit

    g = maker.values((*A.shape[:-2], outs))
    assert np.linalg.norm(J.pull(g) - oracle.pull(A, g)) <= 1e-13 * unit * np.linalg.norm(g)
    assert np.linalg.norm(J.pull(g, total=True) - oracle.pull_total(A, g)) <= 1e-13 * unit * np.linalg.norm(g)
    v = maker.values((*A.shape[:-2], ins))
    assert np.linalg.norm(J.push(v) - oracle.push(A, v)) <= 1e-13 * unit * np.linalg.norm(v)


@settings(max_examples=100)
@given(st.data())
def test_a_weight_behind_a_chain_is_a_weight(data):
    maker = Maker(seed=data.draw(st.integers(0, 2**16)))
    outs, rows, columns = data.draw(SIZES), data.draw(SIZES), data.draw(SIZES)
    J, A = follow(maker, data.draw(recipes(outs, rows, 3)))
    unit = maker.identity((rows,))
    w = maker.weight(unit, data.draw(BATCHES), columns)
    T = J @ w.J
    expected = oracle.chain(A, w.A)
    assert type(T).__name__ in ("Weight", "Zero")
    found = np.broadcast_to(T.dense().reshape(*T.batch, outs, rows * columns), expected.shape)
    assert np.linalg.norm(found - expected) <= 1e-13 * scaled_tolerance(expected)
    g = maker.values((*expected.shape[:-2], outs))
    total, reference = T.pull(g, total=True), oracle.pull_total(expected, g).reshape(rows, columns)
    assert np.linalg.norm(total - reference) <= 1e-13 * scaled_tolerance(expected) * np.linalg.norm(g)


def test_a_long_chain_needs_no_recursion():
    pick = Maker().selection([1, 0], (2,)).J
    flip = Diagonal(np.array([1.0, -1.0]))
    J = pick
    for _ in range(100):
        J = pick @ (flip @ J)
    assert len(J.factors) == 2 * 100 + 1
    assert_close(J.push(np.array([1.0, 2.0])), np.array([2.0, 1.0]))
    long = Product((pick, flip) * 1000)  # a quarter turn, many times around
    assert_close(long.pull(np.array([1.0, 2.0])), np.array([1.0, 2.0]))
    assert_close(long.push(np.array([1.0, 2.0])), np.array([1.0, 2.0]))
    assert_close(long.T.pull(np.array([1.0, 2.0])), np.array([1.0, 2.0]))
    assert_close((long @ long).norm(), np.asarray(2**0.5))
