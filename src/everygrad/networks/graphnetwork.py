"""Any graph as a network: for models that come from elsewhere or are one's own function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

from everygrad.errors import all_mismatches, unknown_name
from everygrad.graph import Graph, Shape


@final
@dataclass(frozen=True)
class GraphNetwork:
    """A graph, its quantity that the loss compares with the target, and its parameters' shapes.

    Raises `UnknownNameError` if the prediction is not in the graph, `InputError` if a shape is given
    for what is no parameter.
    """

    graph: Graph
    prediction: str
    shapes: Mapping[str, Shape] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.prediction not in self.graph.by_name:
            raise unknown_name("prediction", self.prediction, self.graph.by_name)
        extra = [name for name in self.shapes if name not in self.graph.parameters]
        all_mismatches("shapes", [f"{name!r} is not a parameter of the graph" for name in extra])

    def __str__(self) -> str:
        return f"network of {len(self.graph.nodes)} nodes, {len(self.graph.parameters)} parameter arrays"
