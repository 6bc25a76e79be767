"""What one pass over a graph will do, worked out once for each choice of targets."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

from everygrad.backprop.scans import Family, families
from everygrad.engines.pool import Pool
from everygrad.errors import InputError
from everygrad.graph import Graph, Node, Operation
from everygrad.graph.time import Scan


@final
@dataclass(frozen=True, slots=True)
class Edge:
    """A quantity and one use of it: ``node`` reads ``name`` at ``slot``.

    ``shared``: the quantity has no leading axes, so its terms from all samples add up. ``always``:
    whether there is a derivative does not depend on what the arrays hold (class labels have none).
    """

    node: Node
    slot: int
    name: str
    shared: bool
    always: bool


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes that the targets depend on, in order, and what has to be known about them.

    ``needed``: names of the data and parameters to be given. ``looked_at``: the nodes in which every
    non-finite number of the pass shows; the others need not be read again. ``sweep``: the computed
    nodes backwards, each with its edges to what can have a gradient. ``fits``: the shapes and dtypes
    that were found to fit, each with the checks of values that remain (`bind` fills it). ``pool``: the
    memory of earlier passes. ``foreign``: nodes of a user's own operations, whose results are compared
    with the shapes they declare. ``scans``: the nodes that are views of one run over time, which is made once.
    ``codes``: straight-line code by the shapes and dtypes of what is given (`straight` fills it).
    """

    nodes: tuple[Node, ...]
    needed: frozenset[str]
    looked_at: tuple[str, ...]
    sweep: tuple[tuple[str, tuple[Edge, ...]], ...]
    fits: dict[Hashable, Any]
    pool: Pool
    foreign: tuple[Node, ...]
    scans: tuple[Family, ...]
    codes: dict[Hashable, Any]


def plan(graph: Graph, of: str | Sequence[str] | None = None) -> Plan:
    """The plan for computing ``of`` (names; by default the output); kept with the graph."""
    wanted = (graph.output,) if of is None else (of,) if isinstance(of, str) else tuple(of)
    if not wanted:
        raise InputError("of=() asks for no quantity: name at least one, or leave it out for the loss")
    key = ("plan", wanted)
    if key not in graph.memo:
        graph.memo[key] = _make(graph, tuple(graph.resolve(name) for name in wanted))
    return graph.memo[key]


def _make(graph: Graph, targets: tuple[str, ...]) -> Plan:
    nodes = _with_siblings(graph, graph.ancestors(targets))
    scans = families(nodes)
    computed = {node.name for node in nodes}
    looked_at = []
    for node in nodes:
        uses = [graph.by_name[name].operation for name, _ in graph.consumers[node.name] if name in computed]
        if node.operation is not None:
            hidden = node.operation.keeps_finite
        else:
            hidden = node.role == "constant" or any(use is not None and use.shows_nonfinite for use in uses)
        if not hidden:
            looked_at.append(node.name)
    needed = frozenset(n.name for n in nodes if n.role in ("data", "parameter"))
    foreign = tuple(n for n in graph.foreign if n.name in computed)
    sweep = tuple((n.name, tuple(edges(graph, n))) for n in reversed(nodes) if n.operation is not None)
    return Plan(nodes, needed, tuple(looked_at), sweep, {}, Pool(), foreign, scans, {})


def _with_siblings(graph: Graph, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes, and all quantities of the scans among them: one run has them all (unless it is to save memory)."""
    labels = {n.operation.label for n in nodes if isinstance(n.operation, Scan) and n.operation.remember == "all"}
    if not labels:
        return nodes
    wanted = {n.name for n in nodes}
    return tuple(
        n
        for n in graph.nodes
        if n.name in wanted
        or (isinstance(n.operation, Scan) and n.operation.label in labels and n.operation.at == "all")
    )


def edges(graph: Graph, node: Node) -> Iterator[Edge]:
    """The uses that a computed node makes of quantities other than constants; scans are swept as a whole."""
    if isinstance(node.operation, Scan):
        return
    for slot, name in enumerate(node.inputs):
        if node.operation is not None and graph.by_name[name].role != "constant":
            always = type(node.operation).differentiable is Operation.differentiable
            yield Edge(node, slot, name, node.leads[slot] == 0, always)
