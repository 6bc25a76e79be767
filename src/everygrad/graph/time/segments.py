"""A run that keeps only the states at the ends of √T segments, and computes the rest again when it is asked for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from everygrad.engines import Array, namespace
from everygrad.engines.loop import Arrays, Body, scan
from everygrad.graph.time.cell import Cell
from everygrad.graph.time.loop import MASK
from everygrad.graph.time.run import complete, filled, run_filled
from everygrad.graph.time.sweep import Sweep, sweep

_GIVEN, _DIRECT, _KEPT, _BEFORE, _PARAMETER = "given ", "direct ", "kept ", "before ", "parameter "
"""What the names of arrays in the loop over segments begin with: quantities' names have no spaces."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The states before each segment, (segments, batch, units), and the wanted quantities of every step.

    ``size``, the steps of a segment, is ⌈√T⌉; the last one may be shorter. ``final`` are the states after the last
    step.
    """

    cell: Cell
    given: Mapping[str, Array]
    parameters: Mapping[str, Array]
    size: int
    before: Mapping[str, Array]
    values: Mapping[str, Array]
    final: Mapping[str, Array]

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return self.given[self.cell.input].shape[0]

    @property
    def mask(self) -> Array | None:
        """(time, batch): False where a sequence has no step."""
        return self.given.get(MASK)

    @property
    def stored(self) -> int:
        """How many numbers are kept, without the input, which is the caller's."""
        return sum(math.prod(v.shape) for v in (*self.before.values(), *self.values.values()))


def run_segments(
    cell: Cell,
    x: Array,
    states: Mapping[str, Array],
    parameters: Mapping[str, Array],
    mask: Array | None = None,
    wanted: Sequence[str] = (),
) -> Segments:
    """`run` with O(√T) numbers kept; ``wanted`` are quantities that something outside of the cell reads.

    Cost: that of `run`. The sweep runs every segment once more (Chen et al. 2016, section 4.1).
    """
    complete(cell, x, states, parameters)
    steps = x.shape[0]
    size = math.isqrt(steps - 1) + 1

    def body(before: Arrays, part: Arrays, _: Arrays) -> tuple[Arrays, Arrays]:
        ran = run_filled(cell, part[cell.input], before, parameters, part.get(MASK))
        kept = {_KEPT + name: ran.values[name] for name in wanted}
        return dict(ran.final), {**kept, **{_BEFORE + name: state for name, state in before.items()}}

    # a sequence may have no step in one segment: what stands there is taken from its others
    given = {cell.input: x} if mask is None else {cell.input: filled(x, mask), MASK: mask}
    final, found = _over_segments(body, dict(states), given, steps, size)
    before = {name: found[_BEFORE + name] for name, _ in cell.states}
    values = {name: found[_KEPT + name] for name in wanted}
    frozen = (MappingProxyType(part) for part in (before, values, final))
    return Segments(cell, MappingProxyType(given), MappingProxyType(dict(parameters)), size, *frozen)


def sweep_segments(ran: Segments, direct: Mapping[str, Array], final: Mapping[str, Array] | None = None) -> Sweep:
    """`sweep` of a run in segments: each is run again, from the last to the first.

    ``total`` has the input and the wanted quantities. Memory: one segment at a time.
    """
    cell, xp = ran.cell, namespace(ran.given[ran.cell.input])
    zeros = {name: xp.zeros_like(state) for name, state in ran.final.items()}
    carry = {**zeros, **(final or {})}
    carry |= {_PARAMETER + name: xp.zeros_like(p) for name, p in ran.parameters.items()}
    parts = {_GIVEN + name: value for name, value in ran.given.items()}
    parts |= {_DIRECT + name: g for name, g in direct.items()}

    def body(later: Arrays, part: Arrays, _: Arrays) -> tuple[Arrays, Arrays]:
        before = {name: part[_BEFORE + name] for name, _ in cell.states}
        again = run_filled(cell, part[_GIVEN + cell.input], before, ran.parameters, part.get(_GIVEN + MASK))
        arriving = {name: part[_DIRECT + name] for name in direct}
        swept = sweep(again, arriving, {name: later[name] for name, _ in cell.states})
        earlier = dict(swept.initial)
        for name in cell.parameters:
            term = swept.parameters.get(name)
            total = later[_PARAMETER + name]
            earlier[_PARAMETER + name] = total if term is None else total + term
        shown = {name: swept.total[name] for name in (cell.input, *ran.values) if name in swept.total}
        return earlier, {_KEPT + name: g for name, g in shown.items()}

    states = {_BEFORE + name: value for name, value in ran.before.items()}
    first, found = _over_segments(body, carry, parts, ran.steps, ran.size, states, reverse=True)
    total = {name.removeprefix(_KEPT): g for name, g in found.items()}
    initial = {name: first[name] for name, _ in cell.states}
    shared = {name: first[_PARAMETER + name] for name in cell.parameters}
    return Sweep(*map(MappingProxyType, (total, initial, shared, dict(direct), dict(final or {}))))


def _over_segments(
    body: Body,
    carry: Arrays,
    steps_of: Arrays,
    steps: int,
    size: int,
    segments_of: Mapping[str, Array] = MappingProxyType({}),
    reverse: bool = False,
) -> tuple[Arrays, Arrays]:
    """A loop over segments: the whole ones as one `scan`, and the shorter last one.

    ``steps_of`` have one row for each step, ``segments_of`` for each segment. What the body returns for each step
    comes back with one row per step, and what begins with "before ", with one row per segment.
    """
    whole, rest = divmod(steps, size)
    ends = [(0, whole, size), (whole * size, 1, rest)] if rest else [(0, whole, size)]
    found: list[Arrays] = []
    for start, count, length in reversed(ends) if reverse else ends:
        xs = {}
        for name, array in steps_of.items():
            part = array[start : start + count * length]
            xs[name] = namespace(part).reshape(part, (count, length, *part.shape[1:]))
        for name, array in segments_of.items():
            xs[name] = array[start // size : start // size + count]
        carry, ys = scan(body, carry, xs, count, reverse)
        for name, y in ys.items():
            if not name.startswith(_BEFORE):
                ys[name] = namespace(y).reshape(y, (count * length, *y.shape[2:]))
        found.append(ys)
    if reverse:
        found.reverse()
    return carry, {name: namespace(y).concat([ys[name] for ys in found], axis=0) for name, y in found[0].items()}
