"""The k paths of largest |product|, by dynamic programming from the end: k-best lists for every element.

The suffixes of an element u are its edges u → v followed by the suffixes of v. The k best of them
use at most k different v, and those are among the k with the largest |∂v/∂u| · (best suffix of v),
so one partial sort of a block of the Jacobian and k² candidates for each element are enough.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np

from everygrad.errors import TooLargeError
from everygrad.paths.stations import Edge, Station, Stations

CHUNK = 2**20
"""About how many numbers one step holds at a time."""
MOST = 2**26
"""The most suffixes that are kept, for all elements of one quantity."""
EXPONENT = 256
"""Products are kept within 2^±256 by a power of two for each quantity: no under- or overflow on long paths."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The best suffixes of each element of a station, best first, and totals over all its suffixes.

    product, factor (the suffix's first): (rows, elements, j), NaN where there is no more; pointer:
    (edge, lane, place, rank) of the rest, edge −1 at the end; all products are times 2^exponent.
    mass: Σ |product|, (rows, elements), times 2^mass_exponent; count: how many, (elements,), Python integers.
    """

    product: np.ndarray
    factor: np.ndarray
    pointer: np.ndarray
    exponent: int
    mass: np.ndarray
    mass_exponent: int
    count: np.ndarray


class Step(NamedTuple):
    """One step of a path: to which element, by which operand, in which sample, and the derivative."""

    name: str
    element: int
    slot: int
    sample: int | None
    factor: float


def tables(between: Stations, element: int, k: int) -> dict[tuple[str, bool], Table]:
    """The table of every station, for paths that end in ``element`` of the end.

    Ties are broken by the order of the graph: consumer, operand, sample, element, step by step. (Behind a
    common factor 0 all is equal: there the larger rest comes first, then the order of the graph.)
    Cost: one read of each local Jacobian between the two, and k² products for each element.
    """
    found: dict[tuple[str, bool], Table] = {}
    for key in reversed(between.stations):
        station = between.stations[key]
        if key == between.end:
            found[key] = _seed(station, element)
            continue
        parts = []
        for number, edge in enumerate(between.edges[key]):
            if found[edge.target].product.shape[-1]:
                parts.append(_extend(station, edge, number, between.stations[edge.target], found[edge.target], k))
        found[key] = _tame(_merge(parts, k)) if parts else _empty(station)
    return found


def follow(between: Stations, found: dict[tuple[str, bool], Table], rank: int) -> list[Step]:
    """The steps of the start's path of this rank; a loop, however long it is."""
    key, row, place, steps = between.start, 0, 0, []
    while True:
        table = found[key]
        number, lane, place_next, rank_next = table.pointer[:, row, place, rank].tolist()
        if number < 0:
            return steps
        edge, factor = between.edges[key][number], float(table.factor[row, place, rank])
        key, row, place, rank = edge.target, int(edge.rows[lane]), place_next, rank_next
        sample = None if edge.lanes is None else int(edge.lanes[lane])
        steps.append(Step(key[0], int(between.stations[key].elements[place]), edge.slot, sample, factor))


def _empty(station: Station) -> Table:
    shape = (station.rows, len(station.elements))
    none = np.zeros((*shape, 0))
    return Table(none, none, np.zeros((4, *none.shape), int), 0, np.zeros(shape), 0, np.full(shape[1], 0, object))


def _seed(station: Station, element: int) -> Table:
    """The path of no step, with the product 1, from the end's element to itself."""
    hit = np.broadcast_to(station.elements == element, (station.rows, len(station.elements)))
    product = np.where(hit, 1.0, np.nan)[..., None]
    count = np.array([int(h) for h in hit[0]], object)
    return Table(product, np.ones_like(product), np.full((4, *product.shape), -1), 0, hit.astype(float), 0, count)


def _extend(station: Station, edge: Edge, number: int, target: Station, table: Table, k: int) -> Table:
    """The suffixes of a station that begin with this edge, in chunks of its elements."""
    lanes, j = len(edge.rows), table.product.shape[-1]
    per_element = lanes * max(edge.readers.width, 1) + station.rows * min(k, edge.readers.width * lanes) * j
    stored = station.rows * len(station.elements) * min(k, edge.readers.width * lanes * j)
    if stored > MOST:
        raise TooLargeError(
            f"paths: the {k} best from each of {len(station.elements):,} elements in {station.rows:,} samples are "
            f"{stored:,} paths to keep, the limit is {MOST:,}: give sample=, a smaller k, or fewer samples"
        )
    step = max(1, CHUNK // per_element)
    chunks = [
        _extend_some(station.elements[i : i + step], edge, number, target, table, k)
        for i in range(0, len(station.elements), step)
    ]
    if len(chunks) == 1:
        return chunks[0]
    longest = max(chunk.product.shape[-1] for chunk in chunks)
    chunks = [_padded(chunk, longest) for chunk in chunks]
    return Table(
        np.concatenate([c.product for c in chunks], axis=1),
        np.concatenate([c.factor for c in chunks], axis=1),
        np.concatenate([c.pointer for c in chunks], axis=2),
        table.exponent,
        np.concatenate([c.mass for c in chunks], axis=1),
        table.mass_exponent,
        np.concatenate([c.count for c in chunks]),
    )


def _padded(table: Table, j: int) -> Table:
    more = j - table.product.shape[-1]
    if not more:
        return table
    product, factor = (
        np.pad(x, ((0, 0), (0, 0), (0, more)), constant_values=np.nan) for x in (table.product, table.factor)
    )
    return replace(table, product=product, factor=factor, pointer=np.pad(table.pointer, ((0, 0),) * 3 + ((0, more),)))


def _extend_some(elements: np.ndarray, edge: Edge, number: int, target: Station, table: Table, k: int) -> Table:
    p, V = edge.readers.columns(elements)
    place = target.places(p)
    m, j, lanes = V.shape[-1], table.product.shape[-1], len(edge.rows)
    count = _counts(table.count, place, len(elements)) * (lanes if edge.fans else 1)
    size = np.abs(V)
    mass = np.fmax(size * _at(table.mass, edge.rows, place), 0.0).sum(axis=-1)
    if edge.fans:
        mass = mass.sum(axis=0, keepdims=True)
    score = np.fmax(size * np.abs(_at(table.product[..., 0], edge.rows, place)), -1.0)  # NaN, no path, becomes −1
    rows = 1 if edge.fans else lanes
    score = np.broadcast_to(score, (lanes, len(elements), m))
    if edge.fans:
        score = np.moveaxis(score, 0, 1).reshape(1, len(elements), lanes * m)
    pick = np.sort(largest(score, k), axis=-1)  # in the order of the graph, which decides ties below
    q = np.arange(len(elements))[None, :, None]
    lane, column = np.divmod(pick, m) if edge.fans else (np.arange(rows)[:, None, None], pick)
    at = place[column] if place.ndim == 1 else place[q, column]
    factor = V[lane if len(V) > 1 else 0, q, column]
    product = factor[..., None] * table.product[edge.rows[lane], at]
    shape = (rows, len(elements), pick.shape[-1] * j)
    product = product.reshape(shape)
    if pick.shape[-1] == 1:  # one reader: its suffixes are in order already
        order = np.broadcast_to(np.arange(j), shape)
    else:
        order = largest(np.fmax(np.abs(product), -1.0), k)
        product = np.take_along_axis(product, order, axis=-1)
    which, rank = np.divmod(order, j)
    pointer = np.empty((4, *order.shape), np.int64)
    pointer[0] = number
    pointer[1] = np.take_along_axis(np.broadcast_to(lane, pick.shape), which, axis=-1)
    pointer[2] = np.take_along_axis(at, which, axis=-1)
    pointer[3] = rank
    factor = np.take_along_axis(factor, which, axis=-1)
    return Table(product, factor, pointer, table.exponent, mass, table.mass_exponent, count)


def _at(values: np.ndarray, rows: np.ndarray, place: np.ndarray) -> np.ndarray:
    """``values`` (rows, elements) at the places that each input is read: (lanes, inputs or 1, m)."""
    taken = values[rows][:, place]
    return taken[:, None, :] if place.ndim == 1 else taken


def _counts(count: np.ndarray, place: np.ndarray, inputs: int) -> np.ndarray:
    """How many suffixes each input has through its readers, in Python integers."""
    if place.ndim == 1:
        return np.full(inputs, sum(count[place].tolist()), object)
    return np.append(count, 0)[place].sum(axis=1)  # the place −1 counts 0


def _merge(parts: Sequence[Table], k: int) -> Table:
    """The best of several edges' suffixes."""
    if len(parts) == 1:
        return parts[0]
    exponent, mass_exponent = max(t.exponent for t in parts), max(t.mass_exponent for t in parts)
    product = np.concatenate([np.ldexp(t.product, t.exponent - exponent) for t in parts], axis=-1)
    order = largest(np.fmax(np.abs(product), -1.0), k)
    pointer = np.concatenate([t.pointer for t in parts], axis=-1)
    return Table(
        np.take_along_axis(product, order, axis=-1),
        np.take_along_axis(np.concatenate([t.factor for t in parts], axis=-1), order, axis=-1),
        np.take_along_axis(pointer, order[None], axis=-1),
        exponent,
        sum((np.ldexp(t.mass, t.mass_exponent - mass_exponent) for t in parts), np.zeros(())),
        mass_exponent,
        sum((t.count for t in parts), np.full((), 0, object)),
    )


def _tame(table: Table) -> Table:
    """The same table with products and mass within 2^±EXPONENT; powers of two are exact."""
    shift = _shift(np.fmax.reduce(np.abs(table.product), axis=None, initial=0.0))
    mass_shift = _shift(table.mass.max(initial=0.0))
    if not shift and not mass_shift:
        return table
    return replace(
        table,
        product=np.ldexp(table.product, -shift),
        exponent=table.exponent + shift,
        mass=np.ldexp(table.mass, -mass_shift),
        mass_exponent=table.mass_exponent + mass_shift,
    )


def _shift(largest_value: float) -> int:
    exponent = math.frexp(largest_value)[1] if math.isfinite(largest_value) else 0
    return exponent if abs(exponent) > EXPONENT else 0


def largest(size: np.ndarray, k: int) -> np.ndarray:
    """Where the k largest numbers of the last axis stand, largest first; of equal ones the first."""
    m = size.shape[-1]
    if m == 1:
        return np.zeros(size.shape, np.intp)
    if m <= max(k, 32):
        return np.argsort(-size, axis=-1, kind="stable")[..., :k]
    top = np.argpartition(size, m - k, axis=-1)[..., m - k :]
    least = np.take_along_axis(size, top[..., :1], axis=-1)
    undecided = (size >= least).sum(axis=-1) > k  # equal numbers on both sides of the cut
    if undecided.any():
        top[undecided] = np.argsort(-size[undecided], axis=-1, kind="stable")[..., :k]
    top.sort(axis=-1)
    order = np.argsort(-np.take_along_axis(size, top, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(top, order, axis=-1)
