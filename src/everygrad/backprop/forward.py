"""The first verb: values of every quantity, from data and parameters."""

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from everygrad.backprop.bind import bind
from everygrad.backprop.finite import all_finite, complain
from everygrad.backprop.plan import Plan, plan
from everygrad.backprop.scans import compute, families
from everygrad.backprop.trace import Trace
from everygrad.engines import Array, Kind
from everygrad.engines.arrays import numpy_namespace
from everygrad.engines.compiled.choice import Engine, checked
from everygrad.engines.compiled.threads import running
from everygrad.engines.pool import using
from everygrad.errors import InputError
from everygrad.graph import Graph, Node, Shape
from everygrad.graph.time import Run, Scan, Segments


class Network(Protocol):
    """What the verbs need of a network: its graph, and the shapes of its parameters."""

    @property
    def graph(self) -> Graph: ...

    @property
    def shapes(self) -> Mapping[str, Shape]: ...


def graph_of(network: Graph | Network) -> tuple[Graph, Mapping[str, Shape]]:
    """The graph of a network, or the graph itself, and the parameter shapes that are known."""
    if isinstance(network, Graph):
        return network, {}
    graph = getattr(network, "graph", None)
    if isinstance(graph, Graph):
        return graph, network.shapes
    raise InputError(f"expected a network or a graph, got {type(network).__name__}: eg.graph(f) makes one")


def forward(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    of: str | Sequence[str] | None = None,
    check_finite: bool = True,
    engine: Engine = "numpy",
    **named: Array,
) -> Trace:
    """Compute every quantity that ``of`` (by default the loss) depends on.

    ``data`` are given in the order of ``graph.data`` or by name; rows are samples. ``engine="compiled"`` runs loops
    over time of NumPy arrays as machine code, on all processors, also those of the gradients; it needs the extra
    ``everygrad[compiled]``. A loop that holds something else than products, elementwise steps and reductions of a
    vector runs on NumPy.
    Raises `InputError` with every mismatch at once, `NonFiniteError` naming the first array that is not finite.
    Cost: one forward pass; every value is kept.
    """
    graph, expected = graph_of(network)
    engine = checked(engine)
    todo = plan(graph, of)
    values, kind = bind(graph, todo, params, data, named, expected)
    return computed(graph, todo, values, kind, engine, check_finite)


def computed(
    graph: Graph, todo: Plan, values: dict[str, Array], kind: Kind, engine: Engine = "numpy", check_finite: bool = True
) -> Trace:
    """The trace of a plan from what was given, which is added to. Raises `InputError`, `NonFiniteError`."""
    if engine == "compiled" and kind.xp is not numpy_namespace:
        raise InputError(f"engine='compiled' is for NumPy arrays, got those of {kind.xp.__name__}: leave it out")
    # whatever is not finite is reported below, with its name
    with np.errstate(all="ignore"), using(todo.pool), running(engine):
        runs = evaluate(todo.nodes, values, todo.foreign)
        if check_finite and not all(all_finite(values[name]) for name in todo.looked_at):
            leads = {n.name: n.lead for n in todo.nodes}
            given = {n.name: values[n.name] for n in todo.nodes if n.operation is None} | _emptied(graph, values)
            complain(given, given, "the array", leads)
            complain(values | given, leads, "the inputs are finite, but the quantity", leads)
    return Trace(graph, todo, MappingProxyType(values), kind, MappingProxyType(runs), engine)


def _emptied(graph: Graph, values: Mapping[str, Array]) -> dict[str, Array]:
    """The data that are read only after their padding was emptied, as they are read: the padding is nobody's fault."""
    found = {}
    for name in graph.data:
        users = [graph.by_name[user] for user, _ in graph.consumers[name] if user in values]
        if users and all(user.operation is not None and user.operation.prepares for user in users):
            found[name] = values[users[0].name]
    return found


def _compare_shape(node: Node, values: Mapping[str, Array]) -> None:
    """An own operation's result against what it declares: a wrong shape would broadcast, silently."""
    if node.operation is None:
        return
    inputs = [values[name] for name in node.inputs]
    lead = max(zip(node.leads, inputs, strict=True), key=lambda pair: pair[0])
    features = node.operation.shape([tuple(x.shape[k:]) for x, k in zip(inputs, node.leads, strict=True)], node.leads)
    declared = (*lead[1].shape[: node.lead], *features)
    if tuple(values[node.name].shape) != declared:
        raise InputError(
            f"{node.name!r}: the value of {node.operation.name!r} has shape {tuple(values[node.name].shape)}, "
            f"but its shape() declares {declared}"
        )


def evaluate(
    nodes: Sequence[Node], values: dict[str, Array], foreign: Container[Node] = ()
) -> dict[str, Run | Segments]:
    """Fill ``values`` with the nodes that are not there yet, in order; of ``foreign`` ones the shape is compared.

    Returns the runs over time, by the label of the scan: all nodes of one are computed with the first.
    """
    runs: dict[str, Run | Segments] = {}
    for node in nodes:
        if node.operation is None or node.name in values:
            continue
        if isinstance(node.operation, Scan):
            label = node.operation.label
            family = next(f for f in families(nodes) if f.label == label)
            runs[label] = compute(family, values)
            continue
        values[node.name] = node.operation.value([values[name] for name in node.inputs], node.leads)
        if foreign and node in foreign:
            _compare_shape(node, values)
    return runs
