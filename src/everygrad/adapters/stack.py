"""A chain of operations with parameters, as another library has it: a `FeedForward` if it is one, else a graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from everygrad.graph import Builder, Operation, Shape
from everygrad.graph.affine import Affine
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss
from everygrad.networks import FeedForward, GraphNetwork


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the output of the step before, and the names of its parameters."""

    operation: Operation
    parameters: tuple[str, ...] = ()


def network(steps: Sequence[Step], shapes: Mapping[str, Shape], loss: Loss) -> FeedForward | GraphNetwork:
    """The chain as a network; ``shapes`` are those of all parameters.

    It is a `FeedForward` if it is affine, activation, affine, ..., affine [, activation], all with or all
    without a bias and no parameter used twice. An activation may be missing: it is the identity. Else it
    is a `GraphNetwork` that counts alike: ``ai`` is the output of affine step i, ``hi`` of the activation
    behind it; further ones are ``hi_2``, ``hi_3`` ..., those before the first affine step ``h0_2`` ...
    """
    return _feed_forward(steps, shapes, loss) or _graph_network(steps, shapes, loss)


def _feed_forward(steps: Sequence[Step], shapes: Mapping[str, Shape], loss: Loss) -> FeedForward | None:
    layers: list[list[Elementwise]] = []
    bias = bool(steps) and len(steps[0].parameters) == 2
    for step in steps:
        if isinstance(step.operation, Affine):
            i = len(layers) + 1
            layers.append([])
            if step.parameters != ((f"W{i}", f"b{i}") if bias else (f"W{i}",)):
                return None
        elif not layers or layers[-1] or not isinstance(step.operation, Elementwise):
            return None
        else:
            layers[-1].append(step.operation)
    if not layers:
        return None
    sizes = [shapes["W1"][1], *(shapes[f"W{i}"][0] for i in range(1, len(layers) + 1))]
    *hidden, output = [layer[0] if layer else Elementwise("identity") for layer in layers]
    return FeedForward(sizes, hidden, loss, output, bias)


def _graph_network(steps: Sequence[Step], shapes: Mapping[str, Shape], loss: Loss) -> GraphNetwork:
    builder = Builder()
    h, name = builder.given("h0", "data"), "h0"
    y = builder.given("y", "data")
    parameters = {key: builder.given(key, "parameter") for key in shapes}
    layer, values = 0, 1  # the layer, and how many values it has had: h0 is one
    for step in steps:
        if isinstance(step.operation, Affine):
            layer, values = layer + 1, 0
            name = f"a{layer}"
        else:
            values += 1
            name = f"h{layer}" if values == 1 else f"h{layer}_{values}"
        h = builder.apply(step.operation, h, *(parameters[key] for key in step.parameters), name=name)
    loss_symbol = builder.apply(loss, h, y, name="loss")
    return GraphNetwork(builder.graph(loss_symbol, {"x": "h0"}), name, MappingProxyType(dict(shapes)))
