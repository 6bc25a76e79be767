"""What is saved comes back: the same network, the same bits, the same gradients."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given
from hypothesis import strategies as st

import everygrad as eg
from everygrad.backprop import gradients
from everygrad.files import load, read, save
from everygrad.graph import ELEMENTWISE, OPERATIONS, Graph, Node, ops
from everygrad.graph.elementwise import RULES, Elementwise
from everygrad.graph.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from everygrad.networks import FeedForward, GraphNetwork
from tests.files.forge import checksum


def same_bits(a, b) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def operations_equal(a, b) -> bool:
    return type(a) is type(b) and a.name == b.name and dict(a.attributes) == dict(b.attributes)


def assert_same_graph(a: Graph, b: Graph) -> None:
    assert a.output == b.output
    assert dict(a.aliases) == dict(b.aliases)
    assert len(a.nodes) == len(b.nodes)
    for n, m in zip(a.nodes, b.nodes, strict=True):
        fields = ("name", "role", "inputs", "leads", "lead", "constant")
        assert [getattr(n, f) for f in fields] == [getattr(m, f) for f in fields]
        assert (n.operation is None) == (m.operation is None)
        assert n.operation is None or operations_equal(n.operation, m.operation)


constants = st.floats(-3, 3)
reductions = st.sampled_from(["mean", "sum", "none"])
over_outputs = st.sampled_from(["sum", "mean"])
activations = st.sampled_from(sorted(RULES)).flatmap(
    lambda rule: st.tuples(st.just(rule), st.fixed_dictionaries(dict.fromkeys(RULES[rule].defaults, constants)))
)
losses = st.one_of(
    st.tuples(st.just(SoftmaxCrossEntropy), reductions, st.floats(0, 0.9)),
    st.tuples(st.just(BinaryCrossEntropy), reductions, over_outputs),
    st.tuples(st.just(SquaredError), reductions, over_outputs, st.booleans()),
)
sizes = st.lists(st.integers(1, 6), min_size=2, max_size=6)


def elementwise(drawn: tuple[str, dict[str, float]]) -> Elementwise:
    return Elementwise(drawn[0], **drawn[1])


@st.composite
def arguments(draw):
    """The arguments of a network, which is made in the test: checking annotations takes random numbers."""
    n = draw(sizes)
    hidden = draw(st.lists(activations, min_size=len(n) - 2, max_size=len(n) - 2))
    return n, hidden, draw(losses), draw(activations), draw(st.booleans()), draw(st.booleans())


@given(drawn=arguments(), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 99))
def test_any_feed_forward_network(tmp_path_factory, drawn, dtype, seed):
    n, hidden, (loss, *options), output, bias, weighted = drawn
    net = FeedForward(n, [elementwise(g) for g in hidden], loss(*options), elementwise(output), bias, weighted)
    path = tmp_path_factory.mktemp("any") / "net.safetensors"
    params = net.init(seed, dtype)
    save(path, net, params)
    again, found = load(path)
    assert isinstance(again, FeedForward)
    assert (again.sizes, again.bias, again.weighted) == (net.sizes, net.bias, net.weighted)
    assert operations_equal(again.loss, net.loss)
    assert operations_equal(again.output, net.output)
    assert all(operations_equal(a, b) for a, b in zip(again.activations, net.activations, strict=True))
    assert list(found) == list(net.shapes)
    assert all(same_bits(found[name], params[name]) for name in params)
    assert_same_graph(again.graph, net.graph)


def test_gradients_are_the_same(tmp_path):
    net = eg.FeedForward(
        [5, 7, 4], activation=[Elementwise("leaky_relu", slope=0.3)], loss=SoftmaxCrossEntropy("sum", 0.1)
    )
    params = net.init(3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 4, 6)
    save(tmp_path / "net.safetensors", net, params)
    again, found = load(tmp_path / "net.safetensors")
    before, after = gradients(net, params, x, y), gradients(again, found, x, y)
    assert list(before) == list(after)
    assert all(same_bits(before[name], after[name]) for name in before)
    found["W1"] += 1.0  # a fresh copy that may be written to
    assert same_bits(load(tmp_path / "net.safetensors")[1]["W1"], params["W1"])


def with_everything(x, y, weight, *, W1, b1, W2, s):
    a1 = ops.affine(x, W1, b1)
    h1 = ops.leaky_relu(a1, 0.07)
    part = ops.concatenate(h1[1:3], h1[[0, 0, -1]], h1[::2])
    scaled = (part * s + 2.5) / 3.0 - part**3
    total = ops.sum(scaled) + ops.dot(h1, h1) + h1[2]
    z = ops.affine(ops.flatten(h1), ops.transpose(W2)) * 0.5 + total
    losses = ops.squared_error(z, y, weight, reduction="none", outputs="mean", half=True)
    return ops.reduce(losses, weight, reduction="sum")


def everything() -> tuple[Graph, dict[str, np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(1)
    params = {
        "W1": rng.normal(size=(4, 3)),
        "b1": rng.normal(size=4),
        "W2": rng.normal(size=(4, 2)),
        "s": np.asarray(rng.normal()),
    }
    data = [rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.uniform(1, 2, 5)]
    return eg.graph(with_everything), params, data


def test_a_graph_with_operations_of_every_kind(tmp_path):
    graph, params, data = everything()
    save(tmp_path / "graph.safetensors", graph, params)
    again, found = load(tmp_path / "graph.safetensors")
    assert isinstance(again, Graph)
    assert_same_graph(graph, again)
    assert list(found) == list(graph.parameters)
    before, after = gradients(graph, params, *data), gradients(again, found, *data)
    assert all(same_bits(before[name], after[name]) for name in before)


def test_every_operation_of_the_table(tmp_path):
    """A new operation without a row in the file's own tables fails here."""
    inputs = {"affine": 3, "add": 2, "subtract": 2, "multiply": 2, "divide": 2, "dot": 2, "concatenate": 3}
    inputs |= {"softmax_cross_entropy": 3, "binary_cross_entropy": 3, "squared_error": 3, "reduce": 2}
    inputs |= {"embedding": 2, "mean_over_time": 2, "keep_steps": 2, "step_weight": 3}
    over_time = {"at_step", "mean_over_time", "keep_steps", "step_weight"}
    assert set(inputs) | over_time <= set(OPERATIONS)
    for name, make in OPERATIONS.items():
        if name == "scan":  # see test_scans.py
            continue
        op = make(**{"part": [0, None, 2]} if name == "select" else {})
        count = inputs.get(name, 1)
        assert count == 1 or name not in ELEMENTWISE
        leads = ((2, 2, 2) if name in over_time else (1, 1, 1))[:count]
        givens = tuple(Node(f"d{i}", "data", lead=lead) for i, lead in enumerate(leads))
        node = Node("q", "quantity", op, ("d0", "d1", "d2")[:count], leads, op.lead(leads))
        graph = Graph((*givens, node), "q")
        save(tmp_path / "one.safetensors", graph, {})
        assert_same_graph(load(tmp_path / "one.safetensors")[0], graph)


def test_a_graph_network_with_time(tmp_path):
    graph, params, _ = everything()
    net = GraphNetwork(graph, "z", {"W1": (4, 3), "s": ()})
    save(tmp_path / "net.safetensors", net, params)
    again, _ = load(tmp_path / "net.safetensors")
    assert isinstance(again, GraphNetwork)
    assert (again.prediction, dict(again.shapes)) == ("z", {"W1": (4, 3), "s": ()})
    assert_same_graph(again.graph, graph)
    later = Graph(
        (Node("x", "data", lead=2), Node("h", "quantity", Elementwise("tanh"), ("x",), (2,), 2)), "h", {"in": "x"}
    )
    save(tmp_path / "later.safetensors", later, {})
    assert_same_graph(load(tmp_path / "later.safetensors")[0], later)


def test_a_deep_graph(tmp_path):
    """Deeper than the interpreter recurses."""
    nodes = [Node("x", "data", lead=1)]
    for i in range(2_000):
        nodes.append(Node(f"h{i}", "quantity", Elementwise("tanh"), (nodes[-1].name,), (1,), 1))
    deep = Graph(tuple(nodes), "h1999")
    save(tmp_path / "deep.safetensors", deep, {})
    assert_same_graph(load(tmp_path / "deep.safetensors")[0], deep)


LAYOUTS = {
    "columns first": np.asfortranarray,
    "transposed": lambda W: np.ascontiguousarray(W.T).T,
    "with gaps": lambda W: np.repeat(W, 2, axis=1)[:, ::2],
    "backwards": lambda W: W[::-1].copy()[::-1],
    "big-endian float64": lambda W: W.astype(">f8"),
    "big-endian float32": lambda W: W.astype(">f4"),
    "broadcast": lambda W: np.broadcast_to(W[:, :1], W.shape),
}


@pytest.mark.parametrize("change", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_in_memory(tmp_path, change):
    """safetensors writes arrays that are not C-contiguous wrongly, without a word."""
    net = eg.FeedForward([3, 4], loss="squared_error", bias=False)
    W = change(net.init(0)["W1"])
    save(tmp_path / "net.safetensors", net, {"W1": W})
    found = load(tmp_path / "net.safetensors")[1]["W1"]
    assert found.tolist() == W.tolist()
    assert found.dtype == W.dtype.newbyteorder("=")


def test_torch_and_jax_parameters_become_numpy(tmp_path):
    net = eg.FeedForward([3, 4, 2])
    params = net.init(0, np.float32)
    path = tmp_path / "net.safetensors"
    with jax.enable_x64(True):
        made = (
            {name: torch.tensor(p, requires_grad=True) for name, p in params.items()},
            {name: torch.stack([torch.tensor(p)] * 2, -1)[..., 0] for name, p in params.items()},  # with gaps
            {name: jnp.asarray(p) for name, p in params.items()},
            {name: jnp.asarray(p, dtype=jnp.float64) for name, p in params.items()},
        )
    for of_another_library in made:
        save(path, net, of_another_library)
        found = load(path)[1]
        for name, p in params.items():
            assert type(found[name]) is np.ndarray
            assert str(found[name].dtype) == str(of_another_library[name].dtype).removeprefix("torch.")
            assert found[name].tolist() == p.tolist()


def test_values_that_are_not_finite_come_back(tmp_path):
    net = eg.FeedForward([2, 2], bias=False)
    W = np.array([[np.nan, -np.inf], [-0.0, 5e-324]])
    W.view(np.uint64)[0, 0] |= 12345  # a NaN with a payload
    save(tmp_path / "net.safetensors", net, {"W1": W})
    assert same_bits(load(tmp_path / "net.safetensors")[1]["W1"], W)


def test_numbers_and_empty_arrays(tmp_path):
    graph = Graph((Node("s", "parameter"), Node("e", "parameter")), "s")
    params = {"s": np.array(1.5), "e": np.zeros((0, 3), np.float64)}
    save(tmp_path / "net.safetensors", graph, params)
    found = load(tmp_path / "net.safetensors")[1]
    assert all(same_bits(found[name], params[name]) for name in params)


def test_other_programs_can_read_it(tmp_path):
    """By the library's own reader; and the checksum is what its description says."""
    net = eg.FeedForward([3, 4, 2])
    params = net.init(0)
    save(tmp_path / "net.safetensors", net, params, notes="trained on digits")
    with safetensors.safe_open(tmp_path / "net.safetensors", framework="np") as file:
        document = json.loads(file.metadata()["everygrad"])
        for name in params:
            assert same_bits(file.get_tensor(name), params[name])
    assert document["notes"] == "trained on digits"
    assert document["sha256"] == checksum(document, params)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    net = eg.FeedForward([3, 4, 2])
    for name in ("a", "b"):
        save(tmp_path / name, net, net.init(0), notes={"b": 1, "a": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_notes_come_back(tmp_path):
    net = eg.FeedForward([3, 2])
    notes = {"classes": ["a", "é"], "mean": [0.1, -2.5e-300], "nested": {"ok": True, "none": None}, "n": 2**60}
    save(tmp_path / "net.safetensors", net, net.init(0), notes)
    assert read(tmp_path / "net.safetensors").notes == notes
