"""Scans as nodes of a graph: how they read, and what does not fit."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError
from everygrad.graph import Graph, Node
from everygrad.graph.time import Cell, Scan, run
from tests.graph.time.cells import elman, lstm


def test_a_graph_shows_the_cells_equations_once() -> None:
    net = eg.Recurrent(eg.LSTM(3, 4), outputs=2, lengths=True)
    assert str(net.graph).splitlines() == [
        "x_kept = x where t counts, else 0",
        "scan l0 over x_kept, from zero, the steps that count by lengths:",
        "    a_i = U_i x_kept + b_i + W_i h[t-1]",
        "    a_f = U_f x_kept + b_f + W_f h[t-1]",
        "    a_g = U_g x_kept + b_g + W_g h[t-1]",
        "    a_o = U_o x_kept + b_o + W_o h[t-1]",
        "    i = sigmoid(a_i)",
        "    f = sigmoid(a_f)",
        "    g = tanh(a_g)",
        "    o = sigmoid(a_o)",
        "    c = f*c[t-1] + i*g",
        "    h = o*tanh(c)",
        "    h_end = h after the last step",
        "    c_end = c after the last step",
        "out = V h_end + b_V",
        "loss = softmax_cross_entropy(out, y)",
    ]


def test_layers_and_directions_are_told_apart() -> None:
    net = eg.Recurrent(eg.GRU(3, 4, bias=False), outputs=2, layers=2, bidirectional=True, initial=True)
    lines = str(net.graph).splitlines()
    at = lines.index("scan l1_reverse over h_l0_both backwards, from h0_l1_reverse:")
    assert lines[at + 5] == (
        "    a_n_l1_reverse = U_n_l1_reverse h_l0_both + r_l1_reverse*(W_n_l1_reverse h_l1_reverse[t+1])"
    )
    assert lines[at + 7] == "    h_l1_reverse = (1 - z_l1_reverse)*n_l1_reverse + z_l1_reverse*h_l1_reverse[t+1]"
    assert lines[at + 9] == "h_l1_both = [h_l1; h_l1_reverse]"
    assert [line for line in lines if line.startswith("scan ")] == [
        "scan l0 over x, from h0_l0:",
        "scan l0_reverse over x backwards, from h0_l0_reverse:",
        "scan l1 over h_l0_both, from h0_l1:",
        "scan l1_reverse over h_l0_both backwards, from h0_l1_reverse:",
    ]


def test_two_scans_that_share_weights_and_hand_over_a_state() -> None:
    def both(x, y, *, U, b, W):
        own = {"U": U, "b": b, "W": W}
        first = eg.ops.scan(elman(), x, own, {"h": 3}, label="coder", suffix="_c")
        second = eg.ops.scan(elman(), y, own, first.end, label="reader", suffix="_r")
        return eg.ops.reduce(eg.ops.sum(second["h"]))

    lines = str(eg.graph(both, sequences=("x", "y"))).splitlines()
    assert lines[:4] == [
        "scan coder over x, from zero:",
        "    a_c = U x + b + W h_c[t-1]",
        "    h_c = tanh(a_c)",
        "    h_c_end = h_c after the last step",
    ]
    assert lines[4:6] == ["scan reader over y, from h_c_end:", "    a_r = U y + b + W h_r[t-1]"]


def test_the_repr_is_short() -> None:
    net = eg.Recurrent(eg.LSTM(3, 4), outputs=2)
    assert repr(net.graph).startswith("Graph(30 nodes; data x, y; parameters U_i, b_i")
    assert len(repr(net.graph.by_name["h"])) < 1000


def scan_graph(**leads: int) -> Graph:
    given = {"x": 2, "h0": 1, "c0": 1} | dict.fromkeys(lstm().parameters, 0) | leads
    nodes = [Node(name, "parameter" if lead == 0 else "data", lead=lead) for name, lead in given.items()]
    scan = Scan(lstm(), "h")
    inputs = tuple(given)
    node = Node("h", "quantity", scan, inputs, tuple(given.values()), 2)
    return Graph((*nodes, node), "h")


@pytest.mark.parametrize(
    ("leads", "message"),
    [
        ({"x": 1}, "the input must be a sequence"),
        ({"h0": 2}, "the initial state 'h_prev' must be one of each sample"),
        ({"c0": 0}, "the initial state 'c_prev' must be one of each sample"),
        ({"U_f": 1}, "'U_f' must be a parameter, the same for all samples and steps"),
        ({"b_o": 2}, "'b_o' must be a parameter"),
    ],
)
def test_what_goes_into_a_scan_must_be_of_the_right_kind(leads: dict[str, int], message: str) -> None:
    graph = scan_graph(**leads)
    shapes = {"x": (3,), "h0": (4,), "c0": (4,), "U": (4, 3), "W": (4, 4), "b": (4,)}
    arrays = {}
    for node in graph.nodes[:-1]:
        own = shapes.get(node.name, shapes.get(node.name[0], ()))
        arrays[node.name] = np.zeros(((2, 5)[: node.lead]) + own)
    params = {name: arrays[name] for name in graph.parameters}
    with pytest.raises(InputError, match=message):
        eg.forward(graph, params, **{name: arrays[name] for name in graph.data})


def test_a_parameter_called_mask_is_not_the_mask() -> None:
    def step(x, states, p):
        return eg.ops.tanh(p.mask @ x + states.h)

    own = eg.Cell(step, 2, {"h": 3}, {"mask": (3, 2)}).cell

    def network(x, lengths, *, mask):
        return eg.ops.reduce(eg.ops.sum(eg.ops.scan(own, x, {"mask": mask}, {"h": 3}, lengths).end["h"]))

    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(2, 4, 2)), rng.normal(size=(3, 2))
    g = eg.gradients(eg.graph(network, sequences=("x",)), {"mask": mask}, x, np.array([4, 2]))
    h = np.zeros((2, 3))
    for t in range(4):
        h = np.where((t < np.array([4, 2]))[:, None], np.tanh(x[:, t] @ mask.T + h), h)
    assert_close(g.loss, h.sum(1).mean())


@pytest.mark.parametrize(
    ("states", "data", "message"),
    [
        ((("z", "h_prev"),), 1, "the state 'z' after the step is not computed by the cell"),
        ((("x", "h_prev"),), 1, "the state 'x' after the step is not computed by the cell"),
        ((("rate", "h_prev"),), 1, "the state 'rate' after the step is not computed by the cell for each sample"),
        ((("h", "x"),), 1, "must be the input and the previous states"),
        ((("h", "h_prev"), ("h", "h_prev")), 1, "two states have one name"),
        ((("h", "h_prev"),), 2, "'x' has 2 leading axes: a cell sees one step"),
        ((), 1, "a cell needs at least one state"),
    ],
)
def test_cells_that_are_none(states, data, message) -> None:
    def step(x, s, p):
        rate = eg.ops.sigmoid(p.r)
        return eg.ops.tanh(rate * x) + s.h

    graph = eg.Cell(step, 2, {"h": 2}, {"r": (2,)}).cell.graph
    nodes = [Node("x", "data", lead=data), *graph.nodes[1:]] if data > 1 else list(graph.nodes)
    with pytest.raises(InputError, match=message):
        Cell(Graph(tuple(nodes), graph.output), states)


def test_a_state_that_needs_no_sample_is_refused() -> None:
    with pytest.raises(InputError, match="the state 'h' after the step is not computed by the cell for each sample"):
        eg.Cell(lambda x, s, p: p.b * 2.0, 2, {"h": 2}, {"b": (2,)})
    made = eg.Cell(lambda x, s, p: p.b + 0.0 * s.h, 2, {"h": 2}, {"b": (2,)}).cell
    assert run(made, np.zeros((3, 1, 2)), {"h": np.zeros((1, 2))}, {"b": np.ones(2)}).final["h"].tolist() == [
        [1.0, 1.0]
    ]
