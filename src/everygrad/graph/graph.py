"""A directed graph of named quantities joined by operations: a network, a cell, a formula."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, final

from everygrad.errors import InputError, unknown_name
from everygrad.graph.operation import Operation

Role = Literal["data", "parameter", "constant", "quantity"]


@final
@dataclass(frozen=True, slots=True)
class Node:
    """One named quantity: given (data, parameter, constant), or computed by an operation from others."""

    name: str
    role: Role
    operation: Operation | None = None
    inputs: tuple[str, ...] = ()
    leads: tuple[int, ...] = ()  # how many axes of each input are leading ones (samples)
    lead: int = 0
    constant: float | None = None


@final
@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the name of the one that is differentiated.

    ``aliases`` are second names (``x`` for ``h0``). Raises `InputError` if a name is used twice, an
    input is not defined before its use, or the output is not there.
    """

    nodes: tuple[Node, ...]
    output: str
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise InputError(f"two quantities are named {node.name!r}: names must differ")
            missing = [i for i in node.inputs if i not in seen]
            if missing:
                raise InputError(f"{node.name!r} uses {missing} before they are defined")
            seen.add(node.name)
        if self.output not in seen:
            raise unknown_name("output", self.output, seen)

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """name -> node."""
        return MappingProxyType({node.name: node for node in self.nodes})

    @cached_property
    def data(self) -> tuple[str, ...]:
        """The names of the data, in the order in which they are given."""
        return tuple(n.name for n in self.nodes if n.role == "data")

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters: what is shared by all samples."""
        return tuple(n.name for n in self.nodes if n.role == "parameter")

    @cached_property
    def consumers(self) -> Mapping[str, tuple[tuple[str, int], ...]]:
        """name -> the (consumer, slot) pairs that use it: the edges that rule 1 sums over."""
        edges: dict[str, list[tuple[str, int]]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for slot, name in enumerate(node.inputs):
                edges[name].append((node.name, slot))
        return MappingProxyType({name: tuple(pairs) for name, pairs in edges.items()})

    @cached_property
    def foreign(self) -> tuple[Node, ...]:
        """The nodes with a user's own operations: what they do may depend on more than their inputs."""
        return tuple(n for n in self.nodes if n.operation and not type(n.operation).__module__.startswith("everygrad."))

    def resolve(self, name: str) -> str:
        """The node's name behind a name or an alias; raises `UnknownNameError` with the nearest name."""
        if name in self.by_name:
            return name
        if name in self.aliases:
            return self.aliases[name]
        raise unknown_name("quantity", name, [*self.by_name, *self.aliases])

    def ancestors(self, targets: Iterable[str]) -> tuple[Node, ...]:
        """The nodes that the targets depend on, themselves included, in topological order."""
        needed = set(targets)
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return tuple(n for n in self.nodes if n.name in needed)

    @cached_property
    def memo(self) -> dict[Hashable, Any]:
        """Analyses of this graph by the rooms above, made once: the graph never changes."""
        return {}

    def between(self, start: str, end: str) -> frozenset[str]:
        """The names on any path from ``start`` to ``end``, both included; empty if there is none."""
        reached = {start}
        for node in self.nodes:
            if any(i in reached for i in node.inputs):
                reached.add(node.name)
        return frozenset(reached & {n.name for n in self.ancestors((end,))}) if end in reached else frozenset()

    def __repr__(self) -> str:
        given = f"data {', '.join(self.data) or 'none'}; parameters {', '.join(self.parameters) or 'none'}"
        return f"Graph({len(self.nodes)} nodes; {given}; output {self.output})"

    def __str__(self) -> str:
        lines, above = [], ""
        for node in self.nodes:
            if node.operation is not None:
                operands = [self._operand(name) for name in node.inputs]
                heading = node.operation.heading(*operands)
                if heading and heading != above:
                    lines.append(heading)
                lines.append(("    " if heading else "") + node.operation.equation(node.name, *operands))
                above = heading
        return "\n".join(lines)

    def _operand(self, name: str) -> str:
        constant = self.by_name[name].constant
        return name if constant is None else f"{constant:g}"
