"""The record of one forward pass: every quantity's value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

from everygrad.backprop.plan import Plan
from everygrad.engines import Array, Kind
from everygrad.engines.compiled.choice import Engine
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph import Graph, Node
from everygrad.graph.time import Run, Scan, Segments
from everygrad.jacobians import Jacobian


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trace(Mapping[str, Array]):
    """Values by name, of the nodes that the pass computed, in topological order.

    ``runs``: the runs over time by the label of their scan, with what was kept of every step. ``engine``: what ran
    their loops, and runs those of the gradients.
    """

    graph: Graph
    plan: Plan
    arrays: MappingProxyType[str, Array]
    kind: Kind
    runs: Mapping[str, Run | Segments] = field(default_factory=dict)
    engine: Engine = "numpy"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that were computed or given, in topological order."""
        return self.plan.nodes

    @property
    def loss(self) -> Array:
        """The value of the graph's output."""
        return self[self.graph.output]

    def __getitem__(self, name: str) -> Array:
        name = self.graph.resolve(name)
        if name not in self.arrays:
            why = "is not kept with remember='sqrt': use remember='all'" if not_kept(self.graph.by_name[name]) else ""
            why = why or f"was not computed in this pass: it computed {', '.join(self.arrays)}"
            raise UnknownNameError(f"{name!r} {why}")
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def local(self, node: Node, slot: int) -> Jacobian:
        """∂node/∂input, structured, at these values."""
        if node.operation is None:
            raise InputError(f"{node.name!r} is given, not computed: it has no local derivative")
        xs = [self.arrays[name] for name in node.inputs]
        J = node.operation.local(slot, xs, self.arrays[node.name], node.leads)
        if not isinstance(J, Jacobian):
            raise InputError(f"{node.operation.name}.local must return a Jacobian, got {type(J).__name__}: see Dense")
        return J

    def differentiable(self, node: Node, slot: int) -> bool:
        """Whether `local` exists for this input: labels and constants have no derivative."""
        if node.operation is None or self.graph.by_name[node.inputs[slot]].role == "constant":
            return False
        return node.operation.differentiable(slot, [self.arrays[name] for name in node.inputs])


def not_kept(node: Node) -> bool:
    """Whether it is a quantity of a scan that keeps little, so that it has values only where something reads them."""
    return isinstance(node.operation, Scan) and node.operation.remember != "all"
