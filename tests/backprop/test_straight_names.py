"""Straight-line code is text: no name, constant or operation from outside may become part of what it does."""

from typing import ClassVar

import numpy as np
import pytest

import everygrad as eg
from everygrad.backprop import backward, forward, gradients, source
from everygrad.backprop.plan import plan
from everygrad.graph import Graph, Node, Operation, ops
from everygrad.graph.affine import Affine
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import SquaredError
from everygrad.jacobians import Diagonal
from everygrad.networks import Cell, Recurrent
from tests.backprop.test_straight import assert_same_bits

RAN = []
HOSTILE = [
    '"z": __import__("tests.backprop.test_straight_names").backprop.test_straight_names.RAN.append(1) or x, "w',
    "': RAN.append(1), '",
    '"""\nRAN.append(1)\n"""',
    "a\\",
    "long, " * 60,
    "\n    RAN.append(1)",
    "gradients",
    "values",
    "with_small_slopes",
    "forward_1",
    "np",
]


def chain(hidden, given="x", weight="W"):
    nodes = (
        Node(given, "data", lead=1),
        Node("y", "data", lead=1),
        Node(weight, "parameter"),
        Node("a", "quantity", Affine(), (given, weight), (1, 0), 1),
        Node(hidden, "quantity", Elementwise("tanh"), ("a",), (1,), 1),
        Node("L", "quantity", SquaredError(), (hidden, "y"), (1, 1), 0),
    )
    return Graph(nodes, "L")


@pytest.mark.parametrize("place", ["hidden", "given", "weight"])
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_a_name(name, place):
    net = chain(**{"hidden": "h", place: name})
    x = np.arange(6.0).reshape(2, 3) / 7
    params = {name if place == "weight" else "W": np.eye(3)}
    reference = backward(forward(net, params, x, x))
    for _ in range(3):
        found = gradients(net, params, x, x)
    assert_same_bits(found, reference)
    assert plan(net).codes[next(iter(plan(net).codes))] is not None
    assert RAN == []


@pytest.mark.parametrize(
    "name", ["buffer", "buffer_1", "buffer_2", "steps", "part", "h_all", "forward_1", "sums_of_rows"]
)
def test_names_within_a_loop(name):
    def cell(x, s, p):
        quantity = ops.tanh(ops.tanh(p["U"] @ x + s.h * p[name])) * s.h
        return (quantity + ops.sigmoid(s.h * s.h),)

    net, plain = (
        Recurrent(
            Cell(
                lambda x, s, p, n=n: cell(x, s, {"U": p.U, name: p[n]}),
                inputs=3,
                states={"h": 4},
                parameters={"U": (4, 3), n: (4,)},
            ),
            outputs=2,
        )
        for n in (name, "k")
    )
    params = plain.init(1)
    mine = {name if n == "k" else n: v for n, v in params.items()}
    x, y = np.random.default_rng(3).normal(size=(2, 5, 3)), np.array([0, 1])
    for _ in range(3):
        np.testing.assert_array_equal(gradients(net, mine, x, y)["x"], gradients(plain, params, x, y)["x"], strict=True)


def test_numpy_numbers_as_constants_do_not_widen():
    net = eg.graph(lambda x, y, *, W: ops.squared_error(ops.leaky_relu(W @ x, np.float64(0.2)), y))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    found = [gradients(net, {"W": np.eye(3, dtype=np.float32)}, x, x) for _ in range(3)]
    for each in found:
        assert each["W"].dtype == np.float32
        np.testing.assert_array_equal(each["W"], found[0]["W"])


def test_one_cell_with_states_of_two_sizes():
    cell = Cell(
        lambda x, s, p: (ops.tanh(p.U @ x + s.h), (s.c * 0.5 + 0.1) * s.c),
        inputs=3,
        states={"h": 4, "c": 2},
        parameters={"U": (4, 3)},
    ).cell

    def f(x, h0, c0, y, *, U):
        return ops.squared_error(ops.scan(cell, x, {"U": U}, {"h": h0, "c": c0}).end["c"], y)

    for size in (2, 5, 2):
        c = np.ones((4, size))
        g = gradients(eg.graph(f, sequences=["x"]), {"U": np.ones((4, 3))}, np.ones((4, 6, 3)), np.ones((4, 4)), c, c)
        assert g["c0"].shape == (4, size)
        np.testing.assert_array_equal(g["c0"][:, 0], g["c0"][:, -1])


def test_codes_of_ever_new_sizes_do_not_fill_the_memory():
    net = Recurrent(eg.Elman(2, 3), outputs=2)
    params = net.init(0)
    for batch in range(1, 90):
        gradients(net, params, np.ones((batch, 4, 2)), np.zeros(batch, int))
    assert len(net.cell.cell.graph.memo["loops"]) <= 64
    assert len(plan(net.graph).codes) <= 64


class Mine(Operation):
    """Multiplies by what stands in a box."""

    name = "mine"
    box: ClassVar[list[float]] = [1.0]

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return xs[0] * self.box[0]

    def local(self, slot, xs, y, leads):
        return Diagonal(self.box[0] + 0 * xs[0], xs[0].ndim - leads[0])

    def formula(self, *operands):
        return "mine"

    def local_formula(self, slot, *operands):
        return "box"


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_an_own_operation_in_a_cell_is_done_anew_each_time(library, monkeypatch):
    make = np.asarray if library == "numpy" else pytest.importorskip("jax.numpy").asarray
    cell = Cell(
        lambda x, s, p: (ops.apply(Mine(), ops.tanh(p.U @ x + p.W @ s.h)),),
        inputs=3,
        states={"h": 4},
        parameters={"U": (4, 3), "W": (4, 4)},
    )
    net = Recurrent(cell, outputs=2)
    params = {name: make(p) for name, p in net.init(0, np.float32).items()}
    x, y = make(np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)), make(np.array([0, 1, 1, 0, 1]))
    losses = []
    for factor in (1.0, 2.0, 3.0):
        monkeypatch.setattr(Mine, "box", [factor])
        losses.append(float(gradients(net, params, x, y).loss))
    assert len(set(losses)) == 3


def test_ten_thousand_nodes_are_recorded_in_a_moment():
    def deep(x, y, *, W):
        for _ in range(2000):
            x = ops.tanh(W @ x)
        return ops.squared_error(x, y)

    net = eg.graph(deep)
    text = source(net, {"W": np.eye(2) / 2}, np.ones((1, 2)), np.ones((1, 2)))
    assert text.count("tanh(") == 2000
