"""What cannot be saved is said before anything is written, and the old file stays."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torch

import everygrad as eg
from everygrad.errors import FileFormatError, InputError, UnsupportedError
from everygrad.files import load, save
from everygrad.graph import Graph, Node, Operation
from everygrad.graph.arrange import Select
from everygrad.graph.elementwise import Elementwise
from everygrad.networks import GraphNetwork

NET = eg.FeedForward([3, 4, 2])
PARAMS = NET.init(0)


class Swish(Operation):
    """An operation of one's own; it may even borrow the name of another."""

    def __init__(self, name: str = "swish") -> None:
        self.name = name

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return xs[0]

    def local(self, slot, xs, y, leads):
        raise NotImplementedError

    def formula(self, *operands):
        return "swish"

    def local_formula(self, slot, *operands):
        return "1"


def chain(*operations: Operation) -> Graph:
    nodes = [Node("x", "data", lead=1)]
    for i, op in enumerate(operations):
        nodes.append(Node(f"h{i}", "quantity", op, (nodes[-1].name,), (1,), 1))
    return Graph(tuple(nodes), nodes[-1].name)


def refused(path, error, message, net, params, **more):
    with pytest.raises(error, match=message):
        save(path, net, params, **more)
    assert not path.exists()
    assert list(path.parent.iterdir()) == []


def test_every_operation_of_ones_own_is_named(tmp_path):
    graph = chain(Swish(), Elementwise("tanh"), Swish("tanh"))
    with pytest.raises(UnsupportedError) as caught:
        save(tmp_path / "net", graph, {})
    assert "2 problems" in str(caught.value)
    assert re.search(r"node 'h0'.*'swish' \(Swish\)", str(caught.value))
    assert re.search(r"node 'h2'.*'tanh' \(Swish\)", str(caught.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (chain(Elementwise("leaky_relu", slope=np.inf)), "slope is inf"),
        (chain(Select(part=(0, 5, 0))), "step that is not 0"),
        (Graph((Node("x/y", "data", lead=1),), "x/y"), "no path"),
        (Graph((Node("..", "parameter"),), ".."), "no path"),
        (Graph((Node("a\nb", "parameter"),), "a\nb"), "printable"),
        (Graph((Node("n" * 201, "parameter"),), "n" * 201), "1 to 200 characters"),
        (Graph((Node("c", "constant", constant=float("nan")),), "c"), "finite constants"),
        (Graph((Node("x", "data", lead=0),), "x"), r"nodes\[0\].lead"),
        (Graph((Node("x", "data", lead=1),), "x", {"y": "nothing"}), "aliases"),
        (Graph((Node("W", "parameter", lead=2),), "W"), "do not follow"),
        (
            Graph((Node("x", "data", lead=1), Node("h", "quantity", Elementwise("tanh"), ("x",), (1,), 0)), "h"),
            "do not",
        ),
        (
            Graph((Node("x", "data", lead=1), Node("h", "quantity", Elementwise("tanh"), ("x", "x"), (1, 1), 1)), "h"),
            "takes 1",
        ),
        (Graph((Node("q", "quantity"),), "q"), "do not follow"),
    ],
)
def test_what_a_file_cannot_hold(tmp_path, graph, message):
    params = {name: np.zeros(2) for name in graph.parameters}
    refused(tmp_path / "net", UnsupportedError, message, graph, params)


@pytest.mark.parametrize("net", [None, 3, {}, torch.nn.Linear(2, 2), "net"])
def test_what_is_no_network(tmp_path, net):
    refused(tmp_path / "net", InputError, "expected a FeedForward, a Recurrent, a GraphNetwork or a Graph", net, PARAMS)


def test_all_mismatches_at_once(tmp_path):
    params = {
        "W1": PARAMS["W1"].T,
        "b1": [0.0] * 4,
        "b2": PARAMS["b2"].astype(np.float32),
        "W3": np.zeros((2, 2)),
    }
    with pytest.raises(InputError) as caught:
        save(tmp_path / "net", NET, params)
    lines = str(caught.value).splitlines()
    assert lines[0] == "params: 5 problems"
    assert {line.removeprefix("  - ") for line in lines[1:]} == {
        "parameter 'W2' is missing",
        "parameter 'W3' is not one of this network's",
        "parameter 'W1' has shape (3, 4), the network needs (4, 3)",
        "parameter 'b1' is a list, expected an array",
        "parameters of different dtypes: 'W1' is float64, 'b2' is float32: use one for all",
    }


OTHERS = {
    "float16": lambda a: a.astype(np.float16),
    "whole": lambda a: a.astype(int),
    "complex": lambda a: a.astype(complex),
    "objects": lambda a: a.astype(object),
    "torch.bfloat16": lambda a: torch.tensor(a, dtype=torch.bfloat16),
    "jax.bfloat16": lambda a: jnp.asarray(a, dtype=jnp.bfloat16),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_dtypes_are_not_converted(tmp_path, change):
    params = {name: change(p) for name, p in PARAMS.items()}
    refused(tmp_path / "net", InputError, r"'W1'.*(expected float32 or float64|cannot be turned)", NET, params)


def test_shapes_of_a_graph_network(tmp_path):
    net = GraphNetwork(Graph((Node("W", "parameter"),), "W"), "W", {"W": (2, 3)})
    refused(
        tmp_path / "net",
        InputError,
        r"'W' has shape \(3, 2\), the network needs \(2, 3\)",
        net,
        {"W": np.zeros((3, 2))},
    )


@pytest.mark.parametrize("notes", [{1: "a"}, (1, 2), float("nan"), {"a": {1}}, {"a": np.int64(1)}, b"x"], ids=repr)
def test_notes_that_would_change(tmp_path, notes):
    refused(tmp_path / "net", InputError, "notes", NET, PARAMS, notes=notes)


def test_notes_without_end(tmp_path):
    notes = []
    for _ in range(100_000):
        notes = [notes]
    refused(tmp_path / "net", InputError, "nested too deeply", NET, PARAMS, notes=notes)
    while notes:  # taken apart here, since the interpreter would recurse
        notes = notes[0]


def test_a_header_above_the_limit(tmp_path):
    refused(tmp_path / "net", InputError, "33,554,432 bytes", NET, PARAMS, notes="x" * 33_600_000)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        save(tmp_path / "no" / "net", NET, PARAMS)


def test_the_old_file_stays_if_what_was_written_differs(tmp_path, monkeypatch):
    """A library that writes wrong numbers, as safetensors does for arrays that are not contiguous."""
    path = tmp_path / "net.safetensors"
    save(path, NET, PARAMS)
    before = path.read_bytes()
    true_save = safetensors.numpy.save
    wrong = {"W1": PARAMS["W1"] + 1e-9}
    monkeypatch.setattr(safetensors.numpy, "save", lambda arrays, metadata: true_save({**arrays, **wrong}, metadata))
    with pytest.raises(FileFormatError, match="checksum"):
        save(path, NET, {name: p * 2 for name, p in PARAMS.items()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert load(path)[1]["W1"].tolist() == PARAMS["W1"].tolist()


def test_what_was_read_back_is_compared(tmp_path, monkeypatch):
    """Even if the checksum were wrong in the same way."""
    save_module = __import__("sys").modules["everygrad.files.save"]
    true_read = save_module.read

    def another_sign(path, max_bytes):
        contents = true_read(path, max_bytes=max_bytes)
        params = {**contents.params, "b1": contents.params["b1"] * -1.0}  # 0 becomes −0: equal, but other bits
        return type(contents)(contents.network, params, contents.notes)

    monkeypatch.setattr(save_module, "read", another_sign)
    refused(tmp_path / "net", FileFormatError, "read back differs", NET, PARAMS)
