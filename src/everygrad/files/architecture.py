"""Networks and graphs as JSON, and back through their ordinary constructors."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from everygrad.errors import EverygradError, FileFormatError, InputError, UnsupportedError
from everygrad.files.document import fields, flag, items, text, whole, wrong
from everygrad.files.graphs import MAX_RANK, build_graph, describe_graph
from everygrad.files.operations import build_operation, describe_operation
from everygrad.files.recurrent import build_recurrent, describe_recurrent
from everygrad.graph import ELEMENTWISE, LOSSES, Graph, Shape
from everygrad.graph.elementwise import Elementwise
from everygrad.networks import FeedForward, GraphNetwork, Recurrent

Savable = FeedForward | Recurrent | GraphNetwork | Graph


def savable(net: object) -> Savable:
    """The network itself; raises `InputError` for what is none."""
    if isinstance(net, Savable):
        return net
    raise InputError(
        f"expected a FeedForward, a Recurrent, a GraphNetwork or a Graph to save, got {type(net).__name__}"
    )


def describe(net: Savable) -> dict[str, Any]:
    """The network in JSON-able values, from which `build` makes it again.

    Raises `UnsupportedError` for what a file cannot hold: operations that are not in the table, each one
    listed; names that are paths; constants that are not finite; more than `MAX_NODES` nodes.
    """
    if isinstance(net, FeedForward):
        description = _describe_feed_forward(net)
    elif isinstance(net, Recurrent):
        description = describe_recurrent(net)
    elif isinstance(net, Graph):
        description = {"kind": "graph", "graph": describe_graph(net)}
    else:
        shapes = {key: list(map(int, shape)) for key, shape in net.shapes.items()}
        graph = describe_graph(net.graph)
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
        if kind == "recurrent":
            return build_recurrent(value, where)
        if kind == "graph_network":
            found = fields(value, where, ("kind", "graph", "prediction", "shapes"))
            graph = build_graph(found["graph"], f"{where}.graph")
            prediction = text(found["prediction"], f"{where}.prediction")
            return GraphNetwork(graph, prediction, _shapes(found["shapes"], f"{where}.shapes"))
        if kind == "graph":
            return build_graph(fields(value, where, ("kind", "graph"))["graph"], f"{where}.graph")
    except FileFormatError:
        raise
    except EverygradError as error:  # what the constructors find
        raise FileFormatError(f"{where}: {error}") from None
    raise wrong(f"{where}.kind", "'feed_forward', 'recurrent', 'graph_network' or 'graph'", kind)


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


def _shapes(value: object, where: str) -> Mapping[str, Shape]:
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    shapes: dict[str, Shape] = {}
    for key, shape in value.items():
        sizes = items(shape, f"{where}.{key[:40]}", MAX_RANK)
        shapes[key] = tuple(whole(n, f"{where}.{key[:40]}", 0) for n in sizes)
    return MappingProxyType(shapes)
