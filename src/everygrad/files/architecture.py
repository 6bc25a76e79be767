"""Networks and graphs as JSON, and back through their ordinary constructors."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from everygrad.errors import EverygradError, FileFormatError, InputError, UnsupportedError, all_mismatches
from everygrad.files.document import fields, flag, items, name, number, text, whole, wrong
from everygrad.files.operations import ARITY, build_operation, describe_operation
from everygrad.graph import ELEMENTWISE, LOSSES, Graph, Node, Operation, Shape
from everygrad.graph.elementwise import Elementwise
from everygrad.networks import FeedForward, GraphNetwork

Savable = FeedForward | GraphNetwork | Graph

MAX_RANK = 8
GIVEN = ("data", "parameter", "constant")


def savable(net: object) -> Savable:
    """The network itself; raises `InputError` for what is none."""
    if isinstance(net, Savable):
        return net
    raise InputError(f"expected a FeedForward, a GraphNetwork or a Graph to save, got {type(net).__name__}")


def describe(net: Savable) -> dict[str, Any]:
    """The network in JSON-able values, from which `build` makes it again.

    Raises `UnsupportedError` for what a file cannot hold: operations that are not in the table, each one
    listed; names that are paths; constants that are not finite; more than `MAX_NODES` nodes.
    """
    if isinstance(net, FeedForward):
        description = _describe_feed_forward(net)
    elif isinstance(net, Graph):
        description = {"kind": "graph", "graph": _describe_graph(net)}
    else:
        shapes = {key: list(map(int, shape)) for key, shape in net.shapes.items()}
        graph = _describe_graph(net.graph)
        description = {"kind": "graph_network", "graph": graph, "prediction": net.prediction, "shapes": shapes}
    try:
        build(description, "network")
    except FileFormatError as error:
        raise UnsupportedError(f"this network cannot be saved: {error}") from None
    return description


def build(value: object, where: str) -> Savable:
    """The network that ``value`` describes; raises `FileFormatError` with the place of the first fault."""
    kind = text(value.get("kind") if isinstance(value, dict) else None, f"{where}.kind")
    try:
        if kind == "feed_forward":
            return _build_feed_forward(value, where)
        if kind == "graph_network":
            found = fields(value, where, ("kind", "graph", "prediction", "shapes"))
            graph = _build_graph(found["graph"], f"{where}.graph")
            prediction = text(found["prediction"], f"{where}.prediction")
            return GraphNetwork(graph, prediction, _shapes(found["shapes"], f"{where}.shapes"))
        if kind == "graph":
            return _build_graph(fields(value, where, ("kind", "graph"))["graph"], f"{where}.graph")
    except FileFormatError:
        raise
    except EverygradError as error:  # what the constructors find
        raise FileFormatError(f"{where}: {error}") from None
    raise wrong(f"{where}.kind", "'feed_forward', 'graph_network' or 'graph'", kind)


def _describe_feed_forward(net: FeedForward) -> dict[str, Any]:
    return {
        "kind": "feed_forward",
        "sizes": list(net.sizes),
        "activations": [describe_operation(g, f"activation {i}") for i, g in enumerate(net.activations, 1)],
        "loss": describe_operation(net.loss, "loss"),
        "output": describe_operation(net.output, "output"),
        "bias": net.bias,
        "weighted": net.weighted,
    }


def _build_feed_forward(value: object, where: str) -> FeedForward:
    names = ("kind", "sizes", "activations", "loss", "output", "bias", "weighted")
    found = fields(value, where, names)
    sizes = [whole(n, f"{where}.sizes[{i}]", 1) for i, n in enumerate(items(found["sizes"], f"{where}.sizes"))]
    described = items(found["activations"], f"{where}.activations")
    activations = [_activation(a, f"{where}.activations[{i}]") for i, a in enumerate(described)]
    return FeedForward(
        sizes,
        activations,
        build_operation(found["loss"], f"{where}.loss", LOSSES),
        _activation(found["output"], f"{where}.output"),
        flag(found["bias"], f"{where}.bias"),
        flag(found["weighted"], f"{where}.weighted"),
    )


def _activation(value: object, where: str) -> Elementwise:
    built = build_operation(value, where, ELEMENTWISE)
    assert isinstance(built, Elementwise)  # what this table makes
    return built


def _describe_graph(graph: Graph) -> dict[str, Any]:
    nodes, problems = [], []
    for node in graph.nodes:
        try:
            nodes.append(_describe_node(node, graph.by_name))
        except UnsupportedError as error:
            problems.append(str(error))
    all_mismatches("this graph cannot be saved", problems, UnsupportedError)
    return {"nodes": nodes, "output": graph.output, "aliases": dict(graph.aliases)}


def _describe_node(node: Node, by_name: Mapping[str, Node]) -> dict[str, Any]:
    where = f"node {node.name!r}"
    description: dict[str, Any] = {"name": node.name, "role": node.role}
    if node.operation is not None:
        description |= {"operation": describe_operation(node.operation, where), "inputs": list(node.inputs)}
        again = _quantity(node.name, node.operation, [by_name[i] for i in node.inputs])
    elif node.role == "constant":
        if node.constant is None or not math.isfinite(node.constant):
            raise UnsupportedError(f"{where} is {node.constant}: a file holds finite constants")
        description["constant"] = float(node.constant)
        again = Node(node.name, "constant", constant=float(node.constant))
    elif node.role == "data":
        description["lead"] = node.lead
        again = Node(node.name, "data", lead=node.lead)
    else:
        again = Node(node.name, "parameter")
    if again != node:
        raise UnsupportedError(f"{where} has fields that do not follow from its role and its inputs: {node}")
    return description


def _quantity(called: str, operation: Operation, inputs: list[Node]) -> Node:
    leads = tuple(i.lead for i in inputs)
    return Node(called, "quantity", operation, tuple(i.name for i in inputs), leads, operation.lead(leads))


def _build_graph(value: object, where: str) -> Graph:
    found = fields(value, where, ("nodes", "output", "aliases"))
    by_name: dict[str, Node] = {}
    for i, described in enumerate(items(found["nodes"], f"{where}.nodes")):
        node = _build_node(described, f"{where}.nodes[{i}]", by_name)
        if node.name in by_name:
            raise FileFormatError(f"{where}.nodes[{i}]: a second node is named {node.name!r}")
        by_name[node.name] = node
    aliases = found["aliases"]
    if not isinstance(aliases, dict):
        raise wrong(f"{where}.aliases", "an object", aliases)
    for alias, target in aliases.items():
        name(alias, f"{where}.aliases")
        if alias in by_name or text(target, f"{where}.aliases.{alias}") not in by_name:
            raise FileFormatError(f"{where}.aliases: {alias!r} must be a new name for a node, got {target[:40]!r}")
    output = text(found["output"], f"{where}.output")
    return Graph(tuple(by_name.values()), output, MappingProxyType(aliases))


def _build_node(value: object, where: str, before: Mapping[str, Node]) -> Node:
    role = text(value.get("role") if isinstance(value, dict) else None, f"{where}.role")
    if role == "quantity":
        return _build_quantity(fields(value, where, ("name", "role", "operation", "inputs")), where, before)
    if role not in GIVEN:
        raise wrong(f"{where}.role", "data, parameter, constant or quantity", role)
    own = {"data": ("lead",), "constant": ("constant",)}.get(role, ())
    found = fields(value, where, ("name", "role", *own))
    called = name(found["name"], f"{where}.name")
    if role == "data":
        return Node(called, "data", lead=whole(found["lead"], f"{where}.lead", 1, MAX_RANK))
    if role == "constant":
        return Node(called, "constant", constant=number(found["constant"], f"{where}.constant"))
    return Node(called, "parameter")


def _build_quantity(found: Mapping[str, Any], where: str, before: Mapping[str, Node]) -> Node:
    called = name(found["name"], f"{where}.name")
    operation = build_operation(found["operation"], f"{where}.operation")
    inputs = [text(v, f"{where}.inputs[{i}]") for i, v in enumerate(items(found["inputs"], f"{where}.inputs"))]
    least, most = ARITY[operation.name]
    if not least <= len(inputs) <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise FileFormatError(f"{where}: {operation.name!r} takes {takes} inputs, got {len(inputs)}")
    for i, source in enumerate(inputs):
        if source not in before:
            raise FileFormatError(f"{where}.inputs[{i}]: {source[:40]!r} is not defined by a node before {called!r}")
    return _quantity(called, operation, [before[i] for i in inputs])


def _shapes(value: object, where: str) -> Mapping[str, Shape]:
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    shapes: dict[str, Shape] = {}
    for key, shape in value.items():
        sizes = items(shape, f"{where}.{key[:40]}", MAX_RANK)
        shapes[key] = tuple(whole(n, f"{where}.{key[:40]}", 0) for n in sizes)
    return MappingProxyType(shapes)
