"""The edges of a cell's graph along which gradients of a step travel, with their slopes at all steps."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import final

from everygrad.graph.time import Run
from everygrad.jacobians import Diagonal, Identity, Jacobian

Edges = dict[str, list[tuple[str, Jacobian]]]
"""quantity -> (what it is computed from, ∂quantity/∂that), in topological order."""


@final
@dataclass(frozen=True, slots=True)
class Use:
    """One use of a parameter by a quantity of the cell: ``J`` = ∂quantity_t/∂parameter, of all steps."""

    quantity: str
    J: Jacobian


def edges_between(run: Run, starts: Collection[str], ends: Collection[str]) -> Edges:
    """The edges among the quantities that depend on ``starts`` and that ``ends`` depend on.

    Quantities that reach no start but a parameter have no edges further back.
    """
    graph = run.cell.graph
    reached = set(starts)
    for node in graph.nodes:
        if any(name in reached for name in node.inputs):
            reached.add(node.name)
    needed = {node.name for node in graph.ancestors(ends)}
    nodes = [n for n in graph.nodes if n.operation and n.lead and n.name in reached and n.name in needed]
    inside = {node.name for node in nodes} | {previous for _, previous in run.cell.states}
    return {
        node.name: [
            (name, run.local(node.name, slot))
            for slot, name in enumerate(node.inputs)
            if name in inside and run.differentiable(node, slot)
        ]
        for node in nodes
    }


def uses(run: Run, parameter: str, inside: Collection[str]) -> Iterator[Use]:
    """Where a parameter enters, by itself or through others (W in h @ W.T)."""
    graph = run.cell.graph
    for node in graph.nodes:
        if node.name in inside:
            for slot, name in enumerate(node.inputs):
                if graph.by_name[name].lead == 0 and graph.between(parameter, name):
                    J = run.local(node.name, slot)
                    yield Use(node.name, J if name == parameter else J @ run.jacobian(name, parameter))


def merged(edges: Mapping[str, list[tuple[str, Jacobian]]], keep: Collection[str]) -> Edges:
    """The same with fewer edges: a quantity with one consumer or one input is left out if its slopes are elementwise.

    Its slopes are multiplied once, for all steps, instead of at each of them: i ⊙ g between c and a_i. What is in
    ``keep`` stays. Vertex elimination (Griewank and Walther 2008, chapter 9), where it costs no fill-in.
    """
    found: Edges = {name: list(into) for name, into in edges.items()}
    for name in edges:
        into = found[name]
        users = [(user, J) for user, more in found.items() for start, J in more if start == name]
        alone = len(into) == 1 or len(users) == 1
        if name in keep or not alone or not all(_elementwise(J) for _, J in (*into, *users)):
            continue
        for user in {user for user, _ in users}:
            through = [(start, J @ K) for middle, J in found[user] if middle == name for start, K in into]
            found[user] = _summed([*(edge for edge in found[user] if edge[0] != name), *through])
        del found[name]
    return found


def _elementwise(J: Jacobian) -> bool:
    return isinstance(J, Identity | Diagonal)


def _summed(edges: list[tuple[str, Jacobian]]) -> list[tuple[str, Jacobian]]:
    """Elementwise edges from the same quantity as one."""
    total: dict[str, Jacobian] = {}
    others = []
    for start, J in edges:
        if _elementwise(J):
            total[start] = total[start] + J if start in total else J
        else:
            others.append((start, J))
    return [*total.items(), *others]
