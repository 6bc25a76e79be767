"""Formulas for people, parsed to trees, mean what the operations compute; printed, they still mean it."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.derive import expr as e
from everygrad.derive.evaluate import evaluate, fraction, fractions
from everygrad.derive.expr import Expr, Name
from everygrad.derive.parse import marks, parse
from everygrad.derive.text import inline
from everygrad.engines.numerics import normal_cdf
from everygrad.errors import UnsupportedError
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.arrange import Concatenate, Dot, Flatten, Select, Sum, Transpose
from everygrad.graph.elementwise import RULES, Elementwise
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from everygrad.graph.operation import Operation

RNG = np.random.default_rng(3)


def tree_of(operation: Operation, count: int) -> tuple[Expr, list[Name]]:
    names = [Name(f"u{i}", shape=(3,)) for i in range(count)]
    return parse(operation.formula(*marks(count)), names), names


@pytest.mark.parametrize("rule", RULES)
def test_elementwise_formulas_and_slopes(rule: str):
    operation = Elementwise(rule)
    a = np.array([0.3, 1.7, 2.4]) if rule in ("log", "sqrt", "power") else np.array([-1.3, 0.4, 2.1])
    tree, names = tree_of(operation, 1)
    h = operation.value([a], [0])
    assert_close(evaluate(tree, {("u0", ""): a}), h, name=rule)
    slope = parse(operation.local_formula(0, *marks(1)), names)
    dense = operation.local(0, [a], h, [0]).dense()
    assert_close(np.diag(np.broadcast_to(evaluate(slope, {("u0", ""): a}), (3,))), dense, name=f"slope of {rule}")


OTHERS: list[tuple[Operation, list[tuple[int, ...]]]] = [
    (Add(), [(3,), (3,)]),
    (Subtract(), [(3,), (3,)]),
    (Multiply(), [(3,), (3,)]),
    (Divide(), [(3,), (3,)]),
    (Affine(), [(3,), (2, 3), (2,)]),
    (Affine(), [(3,), (2, 3)]),
    (Select([2, 0]), [(3,)]),
    (Select([1], scalar=True), [(3,)]),
    (Select(part=(0, 2, None)), [(3,)]),
    (Concatenate(), [(3,), (2,)]),
    (Flatten(), [(2, 3)]),
    (Transpose(), [(2, 3)]),
    (Sum(), [(3,)]),
    (Dot(), [(3,), (3,)]),
]


@pytest.mark.parametrize(("operation", "shapes"), OTHERS, ids=[f"{o!r}{s}" for o, s in OTHERS])
def test_other_formulas(operation: Operation, shapes: list[tuple[int, ...]]):
    xs = [RNG.normal(size=shape) for shape in shapes]
    tree, _ = tree_of(operation, len(xs))
    values = {(f"u{i}", ""): x for i, x in enumerate(xs)}
    assert_close(np.asarray(evaluate(tree, values)), operation.value(xs, [0] * len(xs)), name=operation.name)


@pytest.mark.parametrize(
    "loss",
    [
        SoftmaxCrossEntropy(),
        SoftmaxCrossEntropy(smoothing=0.1),
        BinaryCrossEntropy(),
        BinaryCrossEntropy(outputs="mean"),
        SquaredError(),
        SquaredError(half=True),
        SquaredError(outputs="mean", half=True),
    ],
    ids=str,
)
def test_losses_written_out_and_their_slopes(loss):
    z, t = RNG.normal(size=4), np.array([0.1, 0.2, 0.3, 0.4])
    names = [Name("z", shape=(4,)), Name("t", shape=(4,))]
    values = {("z", ""): z, ("t", ""): t, ("K", ""): 4.0, ("B", ""): 1.0}
    written = evaluate(parse(loss.written(*marks(2)), names), values)
    value = loss.value([z[None], t[None]], [1, 1])
    assert_close(np.asarray(written), value, name=str(loss))
    for slot in (0, 1):
        slope = evaluate(parse(loss.local_formula(slot, *marks(2)), names), values)
        dense = loss.local(slot, [z[None], t[None]], value, [1, 1]).dense()
        if not (isinstance(loss, SoftmaxCrossEntropy) and slot == 0):
            assert_close(np.asarray(slope), dense.reshape(-1), name=f"{loss}, slot {slot}")
        else:  # ŷ Σt − t with Σt = 1, which for people is left out
            assert_close(np.asarray(slope), dense.reshape(-1), tol=1e-12)


def test_what_is_not_understood_stays_words():
    shown = parse(f"rotated({marks(1)[0]} by % degrees", [Name("x")])
    assert isinstance(shown, e.Phrase)
    assert inline(shown) == "rotated(x by % degrees"


def test_names_are_never_syntax():
    hostile = Name("x) + exp(y")
    assert parse(f"tanh({marks(1)[0]})", [hostile]) == e.Call("tanh", (hostile,))


# ------------------------------------------------------------- printed, a tree still means the same

LEAVES = st.one_of(
    st.sampled_from([Name("x"), Name("y"), Name("w")]),
    st.sampled_from([e.Number(2), e.Number(-3), e.Number(0.5), e.Number(-1.25)]),
)
VALUES = {"x": 1.3, "y": -0.7, "w": 2.2}


def _more(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    two, positive = st.tuples(inner, inner), inner.map(lambda u: e.Call("exp", (e.Call("tanh", (u,)),)))
    return st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(lambda terms: e.plus(*terms)),
        st.lists(inner, min_size=2, max_size=3).map(lambda factors: e.Product(tuple(factors))),
        inner.map(e.minus),
        st.tuples(inner, positive).map(lambda p: e.Quotient(*p)),
        positive.map(lambda u: e.Power(u, e.Number(2))),
        positive.map(lambda u: e.Power(u, e.Minus(Name("x")))),
        inner.map(lambda u: e.Call("tanh", (u,))),
        two.map(lambda p: e.Call("max", p)),
        two.map(lambda p: e.Sum((p[0], e.Minus(p[1])))),
    )


@given(st.recursive(LEAVES, _more, max_leaves=12))
def test_parentheses_keep_the_meaning(tree: Expr):
    """The text, read by Python's own parser, has the value of the tree."""
    text = inline(tree).replace("·", "*").replace("^", "**")
    functions = {"exp": math.exp, "tanh": math.tanh, "max": max}
    mine = float(evaluate(tree, {(name, ""): value for name, value in VALUES.items()}))
    assert eval(text, {"__builtins__": {}, **functions, **VALUES}) == pytest.approx(mine, rel=1e-12, abs=1e-12)


@given(st.recursive(LEAVES, _more, max_leaves=12))
def test_parsing_what_was_printed(tree: Expr):
    text = re.sub(r" · ", "*", inline(tree)).replace("^", "**")
    values = {(name, ""): value for name, value in VALUES.items()}
    assert float(evaluate(parse(text), values)) == pytest.approx(float(evaluate(tree, values)), rel=1e-12, abs=1e-12)


# ------------------------------------------------------------------------------------- fractions


def test_fractions_of_floating_point_numbers():
    assert [str(fraction(x)) for x in (0.1, 1 / 3, -2.5, 7, 1e-3)] == ["1/10", "1/3", "-5/2", "7", "1/1000"]
    assert float(fraction(math.pi)) == math.pi


def test_exact_evaluation():
    tree = parse(f"({marks(1)[0]}**2 - 1/3)/4", [Name("x")])
    assert str(evaluate(tree, {("x", ""): fraction(0.5)}, exact=True)) == "-1/48"
    W, h = fractions([[1, 2], [3, 4]]), fractions([0.5, 0.25])
    found = evaluate(e.Product((Name("W"), Name("h")), "@"), {("W", ""): W, ("h", ""): h}, exact=True)
    assert [str(x) for x in found] == ["1", "5/2"]
    for text in ("exp(x)", "x**(1/2)", "pi"):
        with pytest.raises(UnsupportedError):
            evaluate(parse(text), {("x", ""): fraction(2)}, exact=True)


def test_normal_distribution_is_written_as_it_is_computed():
    assert_close(evaluate(parse("Phi(x)"), {("x", ""): 0.4}), normal_cdf(np.array(0.4)))
