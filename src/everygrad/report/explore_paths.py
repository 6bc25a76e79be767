"""The best paths from every unit of a chain of layers to the loss, found in one search for all samples."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from everygrad.backprop import Gradients
from everygrad.engines import to_numpy
from everygrad.graph.affine import Affine
from everygrad.paths.kbest import Table, tables
from everygrad.paths.readers import Full, readers
from everygrad.paths.stations import Edge, Key, Station, Stations
from everygrad.report.explore_record import ExploredPaths, Hop

BEST = 3
"""Paths listed of each unit."""


def chain(gradients: Gradients, first: str) -> list[str]:
    """The quantities from ``first`` to the loss, each the only one that reads the one before it."""
    consumers, names = gradients.trace.graph.consumers, [first]
    while names[-1] != gradients.of:
        names.append(consumers[names[-1]][0][0])
    return names


def finite(gradients: Gradients, names: Sequence[str], rows: np.ndarray) -> bool:
    """Whether all values and gradients of a chain are numbers in these samples."""
    trace = gradients.trace
    return all(
        bool(np.isfinite(to_numpy(array)[rows] if trace.graph.by_name[name].lead else to_numpy(array)).all())
        for name in names
        for array in (trace[name], gradients[name])
    )


def reads(gradients: Gradients, name: str) -> int:
    """How many derivatives a search reads of this quantity, for each sample: the entries of its weights."""
    node = gradients.trace.graph.by_name[name]
    if isinstance(node.operation, Affine):
        return math.prod(gradients.trace[node.inputs[1]].shape)
    return math.prod(gradients.trace[name].shape[node.lead :])


def searched(
    gradients: Gradients, names: Sequence[str], units: Sequence[int], rows: np.ndarray, k: int
) -> tuple[Stations, dict[Key, Table]]:
    """The k best paths to the end of a chain, in each of these samples: from ``units`` of its first quantity.

    What `everygrad.paths.paths` keeps are suffixes of every element of every quantity on the way, so that one search
    has the paths of all layers. Cost: one read of each local Jacobian, for each sample.
    """
    trace, graph = gradients.trace, gradients.trace.graph
    stations: dict[Key, Station] = {}
    edges: dict[Key, list[Edge]] = {}
    for name in names:
        node = graph.by_name[name]
        size = math.prod(trace[name].shape[node.lead :])
        elements = np.array(units, int) if name == names[0] else np.arange(size)
        stations[name, False] = Station(elements, size, rows if node.lead else None)
        edges[name, False] = []
    for name, after in pairwise(names):
        ((_, slot),) = graph.consumers[name]
        lands = np.arange(len(rows)) if graph.by_name[after].lead else np.zeros(len(rows), int)
        derivative = readers(trace.local(graph.by_name[after], slot), rows)
        edges[name, False].append(Edge((after, False), slot, derivative, rows, lands, False))
    between = Stations((names[0], False), (names[-1], False), stations, edges)
    with np.errstate(all="ignore"):  # NaN stands for no path, and what underflows is carried in the exponents
        return between, tables(between, 0, k)


def listed(
    between: Stations, found: dict[Key, Table], shown: Sequence[int], total: np.ndarray, drawn: Sequence[str], name: str
) -> ExploredPaths:
    """The paths of the units ``shown`` of one quantity, whose gradient is ``total``; ``drawn`` are all layers drawn."""
    way, key, table = [], (name, False), found[name, False]
    places = between.stations[key].places(np.array(shown, int))
    row, place = np.arange(len(total))[:, None, None], places[None, :, None]
    rank = np.arange(table.product.shape[-1])[None, None, :]
    products = np.ldexp(table.product[:, places], table.exponent).astype(np.float64)
    none = np.isnan(products)
    factors, units, hops, at = [], [], [], []
    while key != between.end:
        edge = between.edges[key][0]
        step = found[key]
        factors.append(np.where(none, np.nan, step.factor[row, place, rank]))
        place, rank = (np.where(none, 0, step.pointer[i, row, place, rank]) for i in (2, 3))
        row = edge.rows[row]
        key = edge.target
        way.append(key[0])
        if key == between.end:
            at.append(-1)
        elif isinstance(edge.readers, Full):
            units.append(np.where(none, -1, place))
            hops.append(key[0])
            at.append(len(units) - 1)
        else:  # element by element: the same unit
            hops[-1] = key[0]
            at.append(len(units) - 1)
    remainder = [
        [float(total[s, u]) - math.fsum(p for p in products[s, u] if not math.isnan(p)) for u in range(len(shown))]
        for s in range(len(total))
    ]
    return ExploredPaths(
        way=tuple(way),
        at=tuple(at),
        hops=tuple(Hop(hop, drawn.index(hop) if hop in drawn else None) for hop in hops),
        count=str(table.count[places[0]]),
        units=np.stack(units, axis=-1) if units else np.zeros((*products.shape, 0), int),
        factors=np.stack(factors, axis=-1).astype(np.float64),
        products=products,
        remainder=np.array(remainder),
    )
