"""A network whose loss is a sum over samples, so that chunks add up; and what a mean divides that sum by."""

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import final

from everygrad.backprop import Network, Trace, graph_of
from everygrad.engines import Array, namespace
from everygrad.errors import InputError
from everygrad.graph import Graph, Node, Shape
from everygrad.graph.losses import Loss, Reduce
from everygrad.graph.reduction import Reduction
from everygrad.graph.sequence import StepWeight


@final
@dataclass(frozen=True, slots=True)
class Summed:
    """The graph that ends in S = Σ_n w_n ℓ_n instead of in its mean L = S / D, with D = Σ_n w_n, or N without weights.

    ``mean``: whether the loss that was asked for is the mean; ``weight``: the name of the w_n.
    """

    graph: Graph
    shapes: Mapping[str, Shape]
    mean: bool
    weight: str | None

    def share(self, trace: Trace) -> Array | int:
        """What the samples of a pass add to D: Σ w, or how many losses there are."""
        if self.weight is not None:
            weights = trace[self.weight]
            return namespace(weights).sum(weights)
        name, lead = _leading(self.graph.by_name[self.graph.output])
        return math.prod(trace[name].shape[:lead])

    def samples(self, trace: Trace) -> int:
        """How many samples a pass had."""
        return int(trace[_leading(self.graph.by_name[self.graph.output])[0]].shape[0])


def summed(network: Graph | Network) -> Summed:
    """The network with its mean made a sum. Raises `InputError` if its loss is no sum or mean over the samples.

    It is made once for each graph, so that plans are too.
    """
    graph, shapes = graph_of(network)
    if "summed" not in graph.memo:
        graph.memo["summed"] = _summed(graph)
    changed, mean, weight = graph.memo["summed"]
    return Summed(changed, shapes, mean, weight)


def _summed(graph: Graph) -> tuple[Graph, bool, str | None]:
    """(the graph, whether a mean was asked for, the name of its weights)."""
    out = graph.by_name[graph.output]
    for node in graph.ancestors(out.inputs):
        if _reduces(node):
            raise InputError(
                f"{node.name!r} joins all samples and {graph.output!r} is made of it: that is no sum over samples, "
                f"and chunks do not add up to it. Let the graph end in one loss"
            )
    if out.lead:  # a number for each sample, whose sum is differentiated
        return graph, False, None
    operation = out.operation
    if not isinstance(operation, Loss | Reduce) or not _reduces(out):
        raise InputError(
            f"{graph.output!r} is no sum or mean over samples: chunks do not add up to it. Let the graph end in a loss"
        )
    if operation.reduction.batch != "mean":
        return graph, False, None
    weights = out.inputs[2:] if isinstance(operation, Loss) else out.inputs[1:]
    weight = weights[0] if weights else None
    learned = _parameters_of(graph, weight) if weight else []
    if learned:
        raise InputError(
            f"{weight!r}, the weights of {graph.output!r}, depend on the parameters {learned}: a mean that divides by "
            f"their sum is no sum over samples. Use reduction='sum'"
        )
    operation = copy(operation)
    operation.reduction = Reduction("sum", operation.reduction.outputs)
    nodes = tuple(replace(n, operation=operation) if n.name == graph.output else n for n in graph.nodes)
    return Graph(nodes, graph.output, graph.aliases), True, weight


def _reduces(node: Node) -> bool:
    return node.operation is not None and node.lead == 0 and max(node.leads, default=0) > 0


def _leading(node: Node) -> tuple[str, int]:
    """Of what a node is made of, the first with the most leading axes; of what is given, itself."""
    pairs = list(zip(node.inputs, node.leads, strict=True)) or [(node.name, node.lead)]
    return max(pairs, key=lambda pair: pair[1])


def _parameters_of(graph: Graph, name: str) -> list[str]:
    """The parameters that a quantity changes with; the weights of steps look only at the shape of what is weighted."""
    reached, found = {name}, []
    for node in reversed(graph.ancestors((name,))):
        if node.name in reached:
            reached.update(node.inputs[2:] if isinstance(node.operation, StepWeight) else node.inputs)
            found += [node.name] if node.role == "parameter" else []
    return found
