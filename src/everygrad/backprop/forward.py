"""The first verb: values of every quantity, from data and parameters."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from everygrad.backprop.bind import bind
from everygrad.backprop.finite import all_finite, complain
from everygrad.backprop.plan import plan
from everygrad.backprop.trace import Trace
from everygrad.engines import Array
from everygrad.engines.pool import using
from everygrad.errors import InputError
from everygrad.graph import Graph, Node, Shape


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
    **named: Array,
) -> Trace:
    """Compute every quantity that ``of`` (by default the loss) depends on.

    ``data`` are given in the order of ``graph.data`` or by name; rows are samples. Raises `InputError`
    with every mismatch at once, `NonFiniteError` naming the first array that is not finite. Cost: one
    forward pass; every value is kept.
    """
    graph, expected = graph_of(network)
    todo = plan(graph, of)
    values, kind = bind(graph, todo, params, data, named, expected)
    with np.errstate(all="ignore"), using(todo.pool):  # whatever is not finite is reported below, with its name
        evaluate(todo.nodes, values)
        if check_finite and not all(all_finite(values[name]) for name in todo.looked_at):
            complain(values, [n.name for n in todo.nodes if n.operation is None], "the array")
            complain(values, [n.name for n in todo.nodes], "the inputs are finite, but the quantity")
    return Trace(graph, todo, MappingProxyType(values), kind)


def evaluate(nodes: Sequence[Node], values: dict[str, Array]) -> None:
    """Fill ``values`` with the nodes that are not there yet, in order."""
    for node in nodes:
        if node.operation is not None and node.name not in values:
            values[node.name] = node.operation.value([values[name] for name in node.inputs], node.leads)
