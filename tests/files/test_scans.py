"""Graphs with scans, and cells of one's own, in a file: the same graph again, each cell once, and clear refusals."""

import contextlib
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.errors import EverygradError, FileFormatError, InputError, UnsupportedError
from everygrad.files import load, save
from everygrad.files.architecture import build, describe
from tests.files.forge import document_for, forge
from tests.files.test_fuzz import json_values
from tests.files.test_round_trip import assert_same_graph, same_bits
from tests.files.test_save_errors import Swish
from tests.networks.recurrent_cases import cases, made
from tests.networks.recurrent_library import data, network


def again(path, net, params):
    save(path, net, params)
    found, arrays = load(path)
    assert describe(found) == describe(net)
    return found, arrays


@settings(max_examples=20)
@given(cases(longest=3, batch=2, units=3))
def test_any_graph_with_scans(tmp_path_factory, case):
    net, numbers = network(case), made(case)
    path = tmp_path_factory.getbasetemp() / "graph.safetensors"
    graph, params = again(path, net.graph, numbers.params)
    assert graph == net.graph
    assert_same_graph(graph, net.graph)
    before, after = eg.gradients(net, numbers.params, *data(numbers)), eg.gradients(graph, params, *data(numbers))
    assert list(before) == list(after)
    assert all(same_bits(before[name], after[name]) for name in before)
    assert all(same_bits(before.direct[name], after.direct[name]) for name in before.direct)


def test_a_cell_is_written_once():
    """Eleven quantities and two last states of each of six scans, and one LSTM."""
    net = eg.Recurrent(eg.LSTM(2, 3), 2, layers=3, bidirectional=True)
    described = describe(net.graph)["graph"]
    scans = [n["operation"] for n in described["nodes"] if n.get("operation", {}).get("name") == "scan"]
    assert len(scans) == 6 * 12
    assert {op["attributes"]["cell"] for op in scans} == {0}
    assert len(described["cells"]) == 1
    assert len(json.dumps(described)) < 60_000


def two_cells(x, y, *, U, W, V):
    first = eg.ops.scan(eg.Elman(2, 3, bias=False).cell, x, {"U": U, "W": W}, {"h": 3}, label="one", suffix="_1")
    slow = eg.Cell(leaky, 3, {"s": 3}, {"V": (3, 3)}).cell
    second = eg.ops.scan(slow, first["h"], {"V": V}, {"s": first.end["h"]}, reverse=True, label="two", remember="sqrt")
    return eg.ops.squared_error(second["s"], y)


def leaky(x, states, p):
    drive = eg.ops.tanh(p.V @ x)
    return 0.75 * states.s + 0.25 * drive


def test_two_cells_in_a_graph_network(tmp_path):
    graph = eg.graph(two_cells, sequences=("x", "y"))
    shapes = {"U": (3, 2), "W": (3, 3), "V": (3, 3)}
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    net, found = again(tmp_path / "net", eg.GraphNetwork(graph, "s", shapes), params)
    assert net.graph == graph
    assert len(describe(net)["graph"]["cells"]) == 2
    x, y = rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 4, 3))
    for name, g in eg.gradients(graph, params, x, y).items():
        np.testing.assert_array_equal(eg.gradients(net, found, x, y)[name], g)


def test_an_unrolled_graph(tmp_path):
    net = eg.Recurrent(eg.Elman(2, 3), 2, lengths=True)
    u = eg.unroll(net, net.init(0), np.ones((2, 4, 2)), np.array([0, 1]), np.array([4, 2]))
    assert again(tmp_path / "net", u.graph, u.params)[0] == u.graph


# ---------------------------------------------------------------------------------------------- cells of one's own


def odd(x, states, p):
    """States that are copied, delayed, or need no state; numbers; a parameter of parameters; selections."""
    s, delayed, free = states
    rate = eg.ops.sigmoid(p.r)
    free = eg.ops.tanh(p.Q @ x)
    mixed = eg.ops.concatenate(s[1:], s[:1]) * rate
    a = p.U @ x + p.W @ mixed + 0.5 * delayed
    (eg.ops.square(a) / (1.0 + eg.ops.exp(s))).named("watched")
    return {"s": s + rate * (eg.ops.tanh(a) * eg.ops.dot(mixed, free) - s), "delayed": s, "free": free}


def odd_shapes(inputs):
    return {"Q": (3, inputs), "r": (3,), "W": (3, 3), "U": (3, inputs)}


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_cell_of_ones_own(tmp_path, layers, bidirectional):
    cell = eg.Cell(odd, 2, {"s": 3, "delayed": 3, "free": 3}, odd_shapes)
    net = eg.Recurrent(cell, 2, layers=layers, bidirectional=bidirectional, read="mean")
    params = net.init(1)
    found, arrays = again(tmp_path / "net", net, params)
    assert type(found) is eg.Recurrent
    assert str(found) == str(net)
    assert str(found.cell).startswith("odd 2-(s 3")
    assert found.graph == net.graph
    assert found.shapes == net.shapes
    assert list(arrays) == list(params)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 4, 2)), np.array([0, 1, 1])
    before, after = eg.gradients(net, params, x, y), eg.gradients(found, arrays, x, y)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    assert again(tmp_path / "twice", found, arrays)[0].graph == net.graph  # what was loaded can be saved


def test_a_loaded_cell_knows_the_shapes_that_were_saved(tmp_path):
    net = eg.Recurrent(eg.Cell(odd, 2, {"s": 3, "delayed": 3, "free": 3}, odd_shapes), 2, layers=2)
    found, _ = again(tmp_path / "net", net, net.init(0))
    assert eg.Recurrent(found.cell, 2, layers=3).shapes["U_l2"] == (3, 3)
    with pytest.raises(InputError, match="from a file, which has its shapes for 2, 3 inputs, not for 6"):
        str(eg.Recurrent(found.cell, 2, layers=2, bidirectional=True))


def test_an_operation_of_ones_own_in_a_cell(tmp_path):
    def step(x, states, p):
        return eg.ops.apply(Swish(), p.U @ x + states.h)

    net = eg.Recurrent(eg.Cell(step, 2, {"h": 2}, {"U": (2, 2)}), 2)
    for what in (net, net.graph):
        with pytest.raises(UnsupportedError, match=r"node 'h': the operation 'swish' \(Swish\) is not in the table"):
            save(tmp_path / "net", what, net.init(0))
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- hostile files


GRAPH = eg.graph(two_cells, sequences=("x", "y"))
PARAMS = {"U": np.zeros((3, 2)), "W": np.zeros((3, 3)), "V": np.zeros((3, 3))}
OWN = eg.Recurrent(eg.Cell(leaky, 2, {"s": 3}, lambda inputs: {"V": (3, inputs)}), 2, layers=2)


def graph_document():
    return document_for(copy.deepcopy(describe(GRAPH)))


def scan_of(network, quantity="h"):
    for node in network["graph"]["nodes"]:
        operation = node.get("operation", {})
        if operation.get("name") == "scan" and operation["attributes"]["quantity"] == quantity:
            return node
    raise AssertionError


def attribute(key, value, quantity="h"):
    return lambda n: scan_of(n, quantity)["operation"]["attributes"].update({key: value})


def in_cell(change):
    return lambda n: change(n["graph"]["cells"][0])


SCANS = {
    "no cells": (lambda n: n["graph"].pop("cells"), "there is no cell 0, the graph has 0"),
    "cell text": (attribute("cell", "l0"), r"operation.cell: expected a whole number in \[0"),
    "cell negative": (attribute("cell", -1), r"operation.cell: expected a whole number"),
    "cell missing": (lambda n: scan_of(n)["operation"]["attributes"].pop("cell"), "missing (1|a) required"),
    "cell too far": (attribute("cell", 2), "there is no cell 2, the graph has 2"),
    "cell huge": (attribute("cell", 10**30), "operation.cell: expected a whole number"),
    "cell itself": (attribute("cell", {"graph": {}}), "operation.cell: expected a whole number"),
    "quantity": (attribute("quantity", "q"), r"the cell has no quantity 'q': \['a', 'h'\]"),
    "at the end": (attribute("at", "end", "a"), "the cell has no state 'a'"),
    "at": (attribute("at", "start"), "operation.at: expected all or end, got 'start'"),
    "reverse": (attribute("reverse", 1), "operation.reverse: expected true or false"),
    "remember": (attribute("remember", "log"), "operation.remember: expected all or sqrt"),
    "masked": (attribute("masked", True), "'scan' takes 4 inputs, got 3"),
    "sizes": (attribute("sizes", [3]), "operation.sizes: expected an object or null"),
    "size huge": (attribute("sizes", {"h": 10**12}), r"operation.sizes.h: expected a whole number in \[1, 10000000\]"),
    "size zero": (attribute("sizes", {"h": 0}), "operation.sizes.h"),
    "size of another": (attribute("sizes", {"c": 3}), r"sizes must give the size of each state, \['h'\]"),
    "sizes none": (attribute("sizes", None), "'scan' takes 4 inputs, got 3"),
    "label": (attribute("label", "../l0"), "operation.label: expected a name .a name is no path"),
    "label number": (attribute("label", 3), "operation.label: expected a text"),
    "another label": (attribute("label", "two"), "two different scans have the label 'two'"),
    "another size": (attribute("sizes", {"h": 4}), "two different scans have the label 'one'"),
    "other inputs": (lambda n: scan_of(n)["inputs"].reverse(), "two different scans have the label 'one'"),
    "extra": (attribute("hook", "os.system"), "an operation has no attribute 'hook'"),
    "cell of tanh": (
        lambda n: n["graph"]["nodes"].append(
            {"name": "t", "role": "quantity", "operation": {"name": "tanh", "attributes": {"cell": 0}}, "inputs": ["x"]}
        ),
        "tanh takes no constants, not",
    ),
    "cells text": (lambda n: n["graph"].update(cells="LSTM"), "network.graph.cells: expected a list"),
    "unused": (
        lambda n: n["graph"]["cells"].append(
            {**n["graph"]["cells"][0], "graph": {**n["graph"]["cells"][0]["graph"], "aliases": {"k": "h"}}}
        ),
        r"cells\[2\] is the cell of no scan",
    ),
    "the same twice": (lambda n: n["graph"]["cells"].append(n["graph"]["cells"][0]), "two are the same"),
    "cell list": (lambda n: n["graph"]["cells"].insert(0, []), r"cells\[0\]: expected an object"),
    "cell field": (in_cell(lambda c: c.update(code="x")), r"cells\[0\]: 'code' is unknown"),
    "no states": (in_cell(lambda c: c.update(states=[])), "a cell needs at least one state"),
    "states text": (in_cell(lambda c: c.update(states="h")), r"cells\[0\].states: expected a list"),
    "state of one": (in_cell(lambda c: c.update(states=[["h"]])), r"states\[0\]: expected .the name after the step"),
    "state of three": (
        in_cell(lambda c: c.update(states=[["h", "a", "b"]])),
        r"states\[0\] has 3 entries, the limit is 2",
    ),
    "state unknown": (
        in_cell(lambda c: c.update(states=[["z", "h_prev"]])),
        "the state 'z' after the step is not computed",
    ),
    "state given": (
        in_cell(lambda c: c.update(states=[["x", "h_prev"]])),
        "the state 'x' after the step is not computed",
    ),
    "state before": (in_cell(lambda c: c.update(states=[["h", "x"]])), "must be the input and the previous states"),
    "state twice": (in_cell(lambda c: c.update(states=[["h", "h_prev"]] * 2)), "two states have one name"),
    "a cell in a cell": (in_cell(lambda c: c["graph"].update(cells=[])), r"cells\[0\].graph: 'cells' is unknown"),
    "a scan in a cell": (
        lambda n: n["graph"]["cells"][0]["graph"]["nodes"].append(
            {**scan_of(n), "inputs": ["x", "U", "W"], "name": "q"}
        ),
        "there is no cell 0, the graph has 0",
    ),
    "time in a cell": (
        in_cell(lambda c: c["graph"]["nodes"][0].update(lead=2)),
        "joins a quantity of each sample with one of each sample and step|has 2 leading axes",
    ),
    "a mean in a cell": (
        in_cell(
            lambda c: c["graph"]["nodes"].append(
                {
                    "name": "m",
                    "role": "quantity",
                    "operation": {"name": "mean_over_time", "attributes": {}},
                    "inputs": ["h"],
                }
            )
        ),
        "mean_over_time reads a sequence",
    ),
    "a loss in a cell": (
        in_cell(
            lambda c: c["graph"]["nodes"].append(
                {
                    "name": "m",
                    "role": "quantity",
                    "operation": {"name": "reduce", "attributes": {"reduction": "mean"}},
                    "inputs": ["h"],
                }
            )
        ),
        "'m' mixes the samples of a batch",
    ),
    "many nodes": (
        in_cell(lambda c: c["graph"].update(nodes=[0] * 5001)),
        r"nodes has 5,001 entries, the limit is 5,000",
    ),
    "no nodes": (in_cell(lambda c: c["graph"].update(nodes=[])), "unknown output"),
}


@pytest.mark.parametrize(("change", "message"), SCANS.values(), ids=SCANS)
def test_a_hostile_scan(tmp_path, change, message):
    document = graph_document()
    assert load(forge(tmp_path / "net", document, PARAMS))[0] == GRAPH
    change(document["network"])
    with pytest.raises(FileFormatError, match=message):
        load(forge(tmp_path / "net", document, PARAMS))


def cell_of(change):
    return lambda n: change(n["cell"])


OWN_CELLS = {
    "states": (cell_of(lambda c: c.update(states=[["s"]])), "cell.states: expected a list of two"),
    "states twice": (cell_of(lambda c: c.update(states=[["s", 3], ["s", 3]])), "a state is there twice"),
    "state size": (cell_of(lambda c: c.update(states=[["s", 4]])), "the state 's' has 4 units|needs equal shapes"),
    "state zero": (cell_of(lambda c: c.update(states=[["s", 0]])), "cell.states: expected a whole number in .1"),
    "state name": (cell_of(lambda c: c.update(states=[["z", 3]])), "the state|no state is named|states"),
    "shapes": (cell_of(lambda c: c.update(shapes=[])), "cell.shapes is empty"),
    "shapes object": (cell_of(lambda c: c.update(shapes={"V": [3, 2]})), "cell.shapes: expected a list"),
    "shape unknown": (cell_of(lambda c: c["shapes"][0][1].append(["Q", [2]])), "does not use the parameter 'Q'"),
    "shape twice": (cell_of(lambda c: c["shapes"][0][1].append(["V", [3, 2]])), "the parameter 'V' is there twice"),
    "shape wrong": (cell_of(lambda c: c["shapes"][0][1][0].__setitem__(1, [2, 2])), "needs equal shapes"),
    "shape rank": (cell_of(lambda c: c["shapes"][0][1][0].__setitem__(1, [1] * 9)), "has 9 entries, the limit is 8"),
    "layer missing": (cell_of(lambda c: c["shapes"].pop()), "the layers above the first have 3"),
    "called": (cell_of(lambda c: c.update(called="a/b")), "a name is no path"),
    "no graph": (cell_of(lambda c: c.update(cell=None)), "network.cell.cell: expected an object"),
    "an other name before": (
        cell_of(lambda c: c.update(cell=json.loads(json.dumps(c["cell"]).replace("s_prev", "before")))),
        "are not named as those of a cell",
    ),
}


@pytest.mark.parametrize(("change", "message"), OWN_CELLS.values(), ids=OWN_CELLS)
def test_a_hostile_cell_of_ones_own(tmp_path, change, message):
    document = document_for(copy.deepcopy(describe(OWN)))
    assert load(forge(tmp_path / "net", document, OWN.init(0)))[0].graph == OWN.graph
    change(document["network"])
    with pytest.raises(FileFormatError, match=message):
        load(forge(tmp_path / "net", document, OWN.init(0)))


@st.composite
def spoilt(draw):
    """A good description in which any one value was replaced by any other."""
    network = copy.deepcopy(describe(draw(st.sampled_from([GRAPH, OWN]))))
    place = network
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return network
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or draw(st.integers(0, 7)) == 0:
            place[key] = draw(json_values | st.sampled_from(["h", "s", "x", "scan", "U", 0, 1, 2, [["h", "x"]]]))
            return network
        place = place[key]


@settings(max_examples=300)
@given(spoilt())
def test_any_value_anywhere(network):
    try:
        found = build(network, "network")
    except FileFormatError:
        return
    assert describe(found)  # whatever was accepted is a network that can be saved
    graph = found if isinstance(found, eg.Graph) else found.graph
    rng = np.random.default_rng(0)
    shapes = {"U": (3, 2), "W": (3, 3), "V": (3, 3)} if isinstance(found, eg.Graph) else found.shapes
    params = {name: rng.normal(size=shapes.get(name, (3, 3))) for name in graph.parameters}
    if all(p.size < 1000 for p in params.values()):
        y = rng.normal(size=(2, 4, 3)) if isinstance(found, eg.Graph) else np.zeros(2, int)
        with contextlib.suppress(EverygradError):  # it computes, or says what is missing
            eg.gradients(graph, params, rng.normal(size=(2, 4, 2)), y)
