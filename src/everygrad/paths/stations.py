"""The element-level graph from one number to another: which elements, of which samples, feed which.

A *station* is a quantity on the way, with those of its elements that the start can reach. A quantity
of each sample has one row per sample, a shared one (a parameter, a reduced loss) has one row. An
*edge* joins two stations by one local Jacobian, in one *lane* per sample: from each row to the row of
the same sample, or fanning out from the one row of a parameter to all samples.

If one sample's part of a parameter's gradient is asked for, a shared quantity can be met in two
states: *before* the path has entered the sample, and after. A path that reaches the end without
entering a sample (weight decay) belongs to no sample's part.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.backprop import Trace
from everygrad.errors import UnsupportedError
from everygrad.graph import Graph, Node
from everygrad.graph.time import Scan
from everygrad.jacobians import Jacobian
from everygrad.paths.readers import Readers, readers

Key = tuple[str, bool]
"""The name of a quantity, and whether the path has yet to enter the sample that was asked for."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Station:
    """A quantity's reached elements (flat indices, ascending) and samples (None: shared by all)."""

    elements: np.ndarray
    size: int
    samples: np.ndarray | None

    @property
    def rows(self) -> int:
        return 1 if self.samples is None else len(self.samples)

    def places(self, elements: np.ndarray) -> np.ndarray:
        """Where these elements stand among the reached ones; −1 stays −1."""
        if len(self.elements) == self.size:
            return elements
        return np.where(elements < 0, -1, np.searchsorted(self.elements, elements))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """One use of a quantity by a consumer: lane l carries sample ``lanes[l]`` to row ``rows[l]`` of the target.

    ``fans``: all lanes leave the source's one row; otherwise lane l leaves row l.
    """

    target: Key
    slot: int
    readers: Readers
    lanes: np.ndarray | None
    rows: np.ndarray
    fans: bool


@final
@dataclass(frozen=True, slots=True, eq=False)
class Stations:
    """Stations in topological order, and the edges that leave each, in the order of the graph."""

    start: Key
    end: Key
    stations: dict[Key, Station]
    edges: dict[Key, list[Edge]]


def stations(trace: Trace, start: str, element: int, end: str, sample: int | None) -> Stations:
    """All that lies between one element of ``start`` and ``end``; forward, one visit per node.

    ``sample`` is the sample of ``start``, or the one that a parameter's paths must go through.
    """
    graph = trace.graph
    node, way = graph.by_name[start], graph.between(start, end)
    before = node.lead == 0 and sample is not None
    own = np.array([sample]) if node.lead else None
    size = int(np.prod(trace[start].shape[node.lead :]))
    found = Stations((start, before), (end, False), {}, {})
    found.stations[start, before] = Station(np.array([element]), size, own)
    found.edges[start, before] = []
    wide: set[str] = set()  # quantities of each sample that are reached in all samples
    for node in trace.nodes:
        if node.name in way and node.name != start:
            _visit(trace, node, sample, found, wide)
    return found


def refuse_time(graph: Graph, start: str, end: str) -> None:
    """`UnsupportedError` if a quantity over time, or a recurrence, is on the way: its steps are no nodes here."""
    way = graph.between(start, end) | {start, end}
    for node in graph.nodes:
        if node.name in way and (node.lead > 1 or isinstance(node.operation, Scan)):
            raise UnsupportedError(
                f"the paths from {start!r} to {end!r} go through the time steps of {node.name!r}: unroll the network "
                f"first, eg.paths(*eg.unroll(net, params, x, y), wrt=('h[2]', 3)). everygrad.through_time has the "
                f"credit of each step without unrolling"
            )


def _visit(trace: Trace, node: Node, sample: int | None, found: Stations, wide: set[str]) -> None:
    uses = []
    for slot, name in enumerate(node.inputs):
        keys = [key for key in ((name, True), (name, False)) if key in found.stations]
        if keys and trace.differentiable(node, slot):
            J = trace.local(node, slot)
            uses += [(key, slot, J) for key in keys]
    samples = None
    if node.lead:
        if any(not key[1] and (found.stations[key].samples is None or key[0] in wide) for key, _, _ in uses):
            wide.add(node.name)
        samples = np.arange(len(trace[node.name])) if node.name in wide else np.array([sample])
    reached: dict[bool, list[np.ndarray]] = {}
    for key, slot, J in uses:
        source = found.stations[key]
        edge = _edge(key, source, node, slot, J, sample, samples)
        elements = edge.readers.reach(source.elements)
        if len(elements):
            found.edges[key].append(edge)
            reached.setdefault(edge.target[1], []).append(elements)
    size = int(np.prod(trace[node.name].shape[node.lead :]))
    for before, parts in reached.items():
        largest = max(parts, key=len)
        elements = largest if len(parts) == 1 or len(largest) == size else np.unique(np.concatenate(parts))
        found.stations[node.name, before] = Station(elements, size, samples)
        found.edges[node.name, before] = []


def _edge(
    key: Key, source: Station, node: Node, slot: int, J: Jacobian, sample: int | None, samples: np.ndarray | None
) -> Edge:
    before = key[1]
    if source.samples is not None:
        lanes = source.samples
    elif before and (samples is not None or J.batch):
        lanes = np.array([sample])
    elif samples is not None:
        lanes = samples
    else:  # shared to shared: one edge, or one for each sample if the Jacobian has a batch
        lanes = np.arange(J.batch[0]) if J.batch else None
    if lanes is None:
        rows = np.zeros(1, int)
    else:
        rows = np.zeros(len(lanes), int) if samples is None else np.searchsorted(samples, lanes)
    target = (node.name, before and lanes is None)
    return Edge(target, slot, readers(J, lanes), lanes, rows, source.samples is None and lanes is not None)
