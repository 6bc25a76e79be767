from dataclasses import FrozenInstanceError

import pytest

from everygrad.errors import InputError, UnknownNameError
from everygrad.graph import ELEMENTWISE, LOSSES, OPERATIONS, Graph, Node, graph, operation, ops
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add
from everygrad.graph.elementwise import RULES
from everygrad.graph.losses import Reduce, SquaredError
from everygrad.graph.reduction import Reduction
from everygrad.graph.time import Scan
from tests.graph.time.cells import elman


def diamond():
    def f(x, y, *, W1, W2):
        a1 = W1 @ x
        h1 = ops.tanh(a1)
        a2 = W2 @ h1 + x
        return ops.squared_error(a2, y)

    return graph(f)


def test_roles_consumers_and_order():
    g = diamond()
    assert [n.name for n in g.nodes] == ["x", "y", "W1", "W2", "a1", "h1", "affine_1", "a2", "loss"]
    assert g.data == ("x", "y")
    assert g.parameters == ("W1", "W2")
    assert g.output == "loss"
    assert dict(g.consumers) == {
        "x": (("a1", 0), ("a2", 1)),
        "y": (("loss", 1),),
        "W1": (("a1", 1),),
        "W2": (("affine_1", 1),),
        "a1": (("h1", 0),),
        "h1": (("affine_1", 0),),
        "affine_1": (("a2", 0),),
        "a2": (("loss", 0),),
        "loss": (),
    }
    assert [n.lead for n in g.nodes] == [1, 1, 0, 0, 1, 1, 1, 1, 0]
    assert g.by_name["a1"].leads == (1, 0)


def test_ancestors_and_between():
    g = diamond()
    assert [n.name for n in g.ancestors(["h1"])] == ["x", "W1", "a1", "h1"]
    assert [n.name for n in g.ancestors(["y", "W2"])] == ["y", "W2"]
    assert g.between("x", "a2") == {"x", "a1", "h1", "affine_1", "a2"}
    assert g.between("h1", "loss") == {"h1", "affine_1", "a2", "loss"}
    assert g.between("y", "a2") == frozenset()
    assert g.between("a2", "x") == frozenset()
    assert g.between("a1", "a1") == {"a1"}


def test_text():
    g = diamond()
    assert str(g).splitlines() == [
        "a1 = W1 x",
        "h1 = tanh(a1)",
        "affine_1 = W2 h1",
        "a2 = affine_1 + x",
        "loss = squared_error(a2, y)",
    ]
    assert repr(g) == "Graph(9 nodes; data x, y; parameters W1, W2; output loss)"
    only = Graph((Node("q", "constant", constant=2.0),), "q")
    assert repr(only) == "Graph(1 nodes; data none; parameters none; output q)"
    assert str(graph(lambda x: 2 * x + 0.5)).splitlines() == ["multiply_1 = 2*x", "loss = multiply_1 + 0.5"]


def test_names_are_resolved():
    g = Graph((Node("h0", "data", lead=1),), "h0", {"x": "h0"})
    assert g.resolve("h0") == g.resolve("x") == "h0"
    with pytest.raises(UnknownNameError, match=r"^unknown quantity 'h1'. Did you mean 'h0'\? Known: h0, x.$"):
        g.resolve("h1")


def test_a_graph_needs_no_aliases():
    g = Graph((Node("q", "constant", constant=2.0),), "q")
    assert dict(g.aliases) == {}
    assert g.nodes[0].lead == 0
    with pytest.raises(UnknownNameError, match=r"^unknown quantity 'p'.* Known: q.$"):
        g.resolve("p")


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Node("q", "data"), "name"),
        (Graph((Node("q", "data"),), "q"), "output"),
        (Reduction(), "batch"),
        (RULES["tanh"], "value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_records_are_frozen(record, field):
    with pytest.raises(FrozenInstanceError):
        setattr(record, field, None)
    # there is one node for each of many quantities: no dictionary for each; a graph keeps what was found out about it
    assert hasattr(record, "__dict__") is isinstance(record, Graph)


def test_a_broken_graph_is_refused():
    x, a = Node("x", "data"), Node("a", "quantity", Affine(), ("x", "W"))
    with pytest.raises(InputError, match=r"^two quantities are named 'x': names must differ$"):
        Graph((x, x), "x")
    with pytest.raises(InputError, match=r"^'a' uses \['W'\] before they are defined$"):
        Graph((x, a), "a")
    with pytest.raises(UnknownNameError, match=r"^unknown output 'z'"):
        Graph((x,), "z")


def test_the_output_of_an_operation_leads_as_its_longest_input():
    assert [Add().lead(leads) for leads in ([], [0, 0], [0, 1], [2, 0], [2, 2])] == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("op", [Add(), SquaredError(), Reduce(), Affine()], ids=lambda op: op.name)
def test_samples_do_not_meet_steps(op):
    """(batch, n) beside (batch, time, n) would be aligned from behind: wrongly, and silently if batch = time."""
    for leads in ([1, 2], [2, 1], [2, 0, 1]):
        with pytest.raises(InputError, match=rf"^{op.name} joins a quantity of each sample with one of each sample"):
            op.lead(leads)


def test_different_operations_have_different_hashes():
    made = [Scan(elman()) if name == "scan" else operation(name) for name in OPERATIONS]
    assert len(set(map(hash, made))) == len(OPERATIONS)


def test_memo_is_kept_with_the_graph():
    g = diamond()
    g.memo["key"] = 1
    assert g.memo == {"key": 1}
    assert diamond().memo == {}


def test_the_table_makes_every_operation_again():
    assert set(ELEMENTWISE) | set(LOSSES) < set(OPERATIONS)
    assert set(OPERATIONS) - set(ELEMENTWISE) - set(LOSSES) == {
        *("add", "subtract", "multiply", "divide", "affine"),
        *("select", "concatenate", "flatten", "transpose", "sum", "dot", "reduce"),
        *("embedding", "at_step", "mean_over_time", "keep_steps", "step_weight"),
        "scan",
    }
    assert set(LOSSES) == {"softmax_cross_entropy", "binary_cross_entropy", "squared_error"}
    assert len(ELEMENTWISE) == 17
    for name in OPERATIONS:
        op = operation(name, cell=elman()) if name == "scan" else operation(name)
        assert op.name == name
        again = operation(name, **op.attributes)
        assert dict(again.attributes) == dict(op.attributes)
    assert operation("leaky_relu", slope=0.3).constants == {"slope": 0.3}


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("tahn", ELEMENTWISE, "unknown activation 'tahn'. Did you mean 'tanh'?"),
        ("softmax_crossentropy", LOSSES, "unknown loss 'softmax_crossentropy'. Did you mean 'softmax_cross_entropy'?"),
        ("concat", OPERATIONS, "unknown operation 'concat'. Did you mean 'concatenate'?"),
    ],
)
def test_unknown_operations_are_answered_with_the_nearest(name, table, message):
    with pytest.raises(UnknownNameError) as error:
        operation(name, table)
    assert str(error.value).startswith(message)
