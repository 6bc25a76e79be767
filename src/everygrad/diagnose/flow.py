"""How much gradient reaches each layer: the RMS of ∂L/∂a per unit and sample, from the loss backwards."""

import math
from dataclasses import dataclass
from typing import final

from everygrad.backprop import Gradients
from everygrad.backprop.gradients import norm
from everygrad.graph import Graph
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add


@final
@dataclass(frozen=True, slots=True)
class LayerFlow:
    """One layer of weights: the RMS of ∂L/∂a over units and samples, and its ratio to the last layer's."""

    name: str
    rms: float
    ratio: float


def flow(gradients: Gradients) -> tuple[LayerFlow, ...]:
    """The flow through the pre-activations a = W h + b, in the order of the graph (the loss is at the end).

    The root mean square does not depend on the width of a layer or on the number of samples, and is
    computed without under- or overflow. The ratio of a layer is NaN if the last layer's gradient is 0.
    """
    sizes = [(name, _rms(gradients, name)) for name in layers(gradients)]
    last = sizes[-1][1] if sizes else math.nan
    return tuple(LayerFlow(name, rms, rms / last if last else math.nan) for name, rms in sizes)


def layers(gradients: Gradients) -> tuple[str, ...]:
    """The names of the pre-activations that have a gradient for each sample."""
    graph = gradients.trace.graph
    found = {}
    for node in gradients.trace.nodes:
        if isinstance(node.operation, Affine) and node.lead > 0 and node.name in gradients.arrays:
            found[_behind_bias(graph, node.name)] = None
    return tuple(name for name in found if name in gradients.arrays)


def _behind_bias(graph: Graph, name: str) -> str:
    """``a`` of ``a = (W @ h) + b``: the sum with a parameter belongs to the layer."""
    users = graph.consumers[name]
    if len(users) == 1:
        node = graph.by_name[users[0][0]]
        other = [i for i in node.inputs if i != name]
        if isinstance(node.operation, Add) and len(other) == 1 and graph.by_name[other[0]].role == "parameter":
            return node.name
    return name


def _rms(gradients: Gradients, name: str) -> float:
    g = gradients[name]
    return norm(g) / math.sqrt(max(math.prod(g.shape), 1))
