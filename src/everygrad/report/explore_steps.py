"""Recurrent layers at single steps: values, total and direct gradients of each unit, and the terms of the states'."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from everygrad.backprop import Gradients
from everygrad.backprop.scans import Family
from everygrad.diagnose.unrolled import suffix
from everygrad.engines import Array, to_numpy
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.time import Cell, Run, Scan, Sweep
from everygrad.graph.time.equations import written
from everygrad.report.explore_record import ExploredQuantity, ExploredSteps, Term
from everygrad.report.explore_terms import When, consumers, next_steps, points, present, terms
from everygrad.report.maps import spaced

MOST_QUANTITIES = 8
"""Quantities of one cell: its states, then its gates, then others."""
SIZES = ((3, 16, 24), (3, 12, 24), (3, 8, 24), (2, 8, 24), (2, 8, 16), (2, 6, 16), (1, 8, 16), (1, 4, 16), (1, 4, 8))
"""(samples, units, steps), from the most that is shown to the least: the first that there is room for."""
MOST_NUMBERS = 7_000
"""Numbers of all layers together: what the page has room for."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class LayerRun:
    """One direction of a recurrent layer: its run and the whole sweep over it.

    Names of its quantities end in ``suffix``; ``readers`` says by state what reads it outside of the layer, where that
    is known.
    """

    label: str
    run: Run
    swept: Sweep
    suffix: str
    reverse: bool
    readers: Mapping[str, str]


def layer_runs(gradients: Gradients) -> list[LayerRun]:
    """The recurrent layers that keep every step and that a gradient reaches."""
    found = []
    for family in gradients.trace.plan.scans:
        run, swept = gradients.trace.runs[family.label], gradients.sweeps.get(family.label)
        if isinstance(run, Run) and swept is not None:
            readers = {state: _readers(gradients, family, state) for state, _ in run.cell.states}
            found.append(LayerRun(family.label, run, swept, suffix(family), family.scan.reverse, readers))
    return found


def size_for(layers: Sequence[LayerRun]) -> tuple[int, int, int]:
    """How many samples, units and steps there is room for."""
    for samples, units, steps in SIZES:
        if sum(samples * _numbers(layer.run, units, steps) for layer in layers) <= MOST_NUMBERS:
            return samples, units, steps
    return SIZES[-1]


def _numbers(run: Run, units: int, steps: int) -> int:
    """How many numbers there are of each sample, at most."""
    cell, count = run.cell, 0
    for name in quantities(cell):
        each = 3
        for state, previous in cell.states:
            if state == name:
                each += 1 + len({(n, c) for n in (state, previous) for _, _, c in consumers(cell, n)})
        count += each * min(math.prod(run.shapes[name]), units)
    return count * min(run.steps, steps)


def quantities(cell: Cell) -> list[str]:
    """The quantities of a cell that are shown: all with a name but the pre-activations, the states first."""
    read = {
        n.inputs[0] for n in cell.graph.nodes if isinstance(n.operation, Elementwise) and n.operation.name != "identity"
    }
    states = [name for name, _ in cell.states]
    others = [name for name in cell.quantities if name not in states and name not in read]
    others.sort(key=lambda name: _kind(cell, name) != "gate")
    return [*states, *others[: max(0, MOST_QUANTITIES - len(states))]]


def _kind(cell: Cell, name: str) -> Literal["state", "gate", "other"]:
    if name in dict(cell.states):
        return "state"
    operation = cell.graph.by_name[name].operation
    return "gate" if isinstance(operation, Elementwise) and operation.name == "sigmoid" else "other"


def note_of(shown: Sequence[ExploredSteps], layers: int) -> str:
    """What is left out of so many ``layers``, in words; "" if nothing."""
    left = []
    some = next((layer for layer in shown if len(layer.at) < layer.steps), None)
    if some is not None:
        left.append(f"{len(some.at)} of {some.steps:,} steps, at equal distances")
    few = next((q for layer in shown for q in layer.quantities if len(q.shown) < q.units), None)
    if few is not None:
        left.append(f"{len(few.shown)} of {few.units:,} units, those with the largest gradients")
    if len(shown) < layers:
        left.append(f"{len(shown)} of {layers} layers and directions")
    return "; ".join(left)


def steps_at(layer: LayerRun, rows: np.ndarray, most_units: int, most_steps: int) -> ExploredSteps:
    """A recurrent layer at some steps of the sequences ``rows``."""
    run, swept, cell, end = layer.run, layer.swept, layer.run.cell, layer.suffix
    T, states = run.steps, dict(cell.states)
    at = np.linspace(0, T - 1, min(T, most_steps)).round().astype(int)
    order = T - 1 - at if layer.reverse else at
    live = present(run)[:, rows]
    follows = next_steps(live)[order]
    here = points(run, swept, np.repeat(order[:, None], len(rows), axis=1), rows)
    after = points(run, swept, np.minimum(follows, T - 1), rows)
    there, direct, formulas = live[order], here.direct(), _formulas(cell, end, layer.reverse)
    found = []
    for name in quantities(cell):
        size = math.prod(run.shapes[name])
        units = _shown(cell, swept, run, size, most_units)
        split = terms(here, after, follows < T, name, states[name]) if name in states else {}
        found.append(
            ExploredQuantity(
                name=name + end,
                kind=_kind(cell, name),
                units=size,
                shown=units,
                formula=f"{name}{end} = {formulas[name]}",
                value=_at(here.run.array(name), there, units),
                total=_at(here.total.get(name), there, units),
                direct=_at(direct.get(name), there, units),
                terms=tuple(_term(layer, name, key, _at(term, there, units)) for key, term in split.items()),
            )
        )
    name = f"{layer.label}: {', '.join(state + end for state in states)}"
    return ExploredSteps(layer.label, name, layer.reverse, T, tuple(map(int, at)), there.T, tuple(found))


def _formulas(cell: Cell, end: str, reverse: bool) -> dict[str, str]:
    names = {name: name + end for name in (*cell.quantities, *cell.parameters)}
    names |= {previous: f"{state}{end}[{'t+1' if reverse else 't-1'}]" for state, previous in cell.states}
    return written(cell, names)


def _shown(cell: Cell, swept: Sweep, run: Run, size: int, most: int) -> tuple[int, ...]:
    """The units with the largest gradients of the states of this size: the same ones of all that has this size."""
    if size <= most:
        return tuple(range(size))
    weight = np.zeros(size)
    for name, _ in cell.states:
        if math.prod(run.shapes[name]) == size and name in swept.total:
            mean = np.abs(to_numpy(swept.total[name]).reshape(-1, size)).mean(0, dtype=np.float64)
            mean = np.where(np.isfinite(mean), mean, 0.0)
            weight += mean / (mean.max() or 1.0)
    order = np.argsort(-weight, kind="stable") if weight.any() else spaced(size, most)
    return tuple(map(int, np.sort(order[:most])))


def _at(array: Array | None, there: np.ndarray, units: tuple[int, ...]) -> np.ndarray:
    """(samples, steps, shown) in float64, NaN where there is no step; zeros if there is no array."""
    steps, samples = there.shape
    if array is None:
        x = np.zeros((steps, samples, len(units)))
    else:
        x = to_numpy(array).reshape(steps, samples, -1)[:, :, list(units)].astype(np.float64)
    return np.where(there[..., None], x, np.nan).transpose(1, 0, 2)


def _term(layer: LayerRun, state: str, key: tuple[When, str], values: np.ndarray) -> Term:
    when, consumer = key
    if when == "outside":
        reader = layer.readers.get(state, "what reads it")
        return Term(reader, when, f"read directly, by {reader}", values)
    name = ", ".join(part + layer.suffix for part in consumer.split(", "))
    later = "one step earlier in time, as it runs backwards" if layer.reverse else "of the next step"
    return Term(name, when, f"{name} {later if when == 'next' else 'of the same step'}", values)


def _readers(gradients: Gradients, family: Family, state: str) -> str:
    """What reads a state outside of the layer: quantities, and layers above by their labels."""
    graph, found = gradients.trace.graph, []
    for node, scan in family.members():
        if scan.quantity == state:
            for name, _ in graph.consumers[node.name]:
                operation = graph.by_name[name].operation
                if isinstance(operation, Scan) and operation.label in gradients.sweeps:
                    found.append(f"layer {operation.label}")
                elif name in gradients.arrays:
                    found.append(name)
    return ", ".join(dict.fromkeys(found)) or gradients.of
