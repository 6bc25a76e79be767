"""Paths through a network or a graph: the arguments, the search, the record."""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients, Network, Trace, backward, forward, graph_of
from everygrad.engines import Array, to_numpy
from everygrad.engines.arrays import is_floating
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.paths.kbest import Step, follow, tables
from everygrad.paths.records import Path, Paths, Unit, unit_label
from everygrad.paths.stations import refuse_time, stations

Wanted = Any
"""A quantity that is one number, ``"loss"``; or an element, ``("h1", 3)`` or ``"h1[3]"``."""

_INDEXED = re.compile(r"(.+)\[([-\d,\s]+)\]", re.DOTALL)


@final
@dataclass(frozen=True, slots=True)
class Found:
    """What the search finds: the paths as steps with their products, and what they add up to."""

    trace: Trace
    of: Unit
    wrt: Unit
    sample: int | None
    samples: int
    routes: tuple[tuple[float, tuple[Step, ...]], ...]
    total: float
    value: float
    count: int
    mass: float


def network_paths(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    wrt: Wanted,
    of: Wanted | None = None,
    k: int = 10,
    sample: int | None = None,
    **named: Array,
) -> Paths:
    """The paths through a network, named by its units."""
    found = search(network, params, *data, wrt=wrt, of=of, k=k, sample=sample, **named)
    routes = [(product, [found.wrt, *(_unit(found.trace, s) for s in steps)], steps) for product, steps in found.routes]
    notes = _notes([(tuple(units), path_sample(found, steps), steps) for _, units, steps in routes])
    made = tuple(
        Path(
            tuple(units),
            tuple(step.factor for step in steps),
            product,
            share(product, found.total),
            path_sample(found, steps),
            note=note,
        )
        for (product, units, steps), note in zip(routes, notes, strict=True)
    )
    record = (found.of, found.wrt, found.value, found.total, made, found.count, found.mass)
    return Paths(*record, sample=found.sample, samples=found.samples)


def search(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    wrt: Wanted,
    of: Wanted | None,
    k: int,
    sample: int | None,
    **named: Array,
) -> Found:
    """One forward and one backward pass, and the k best paths; see `everygrad.paths.paths`."""
    graph, _ = graph_of(network)
    k = whole(k, "k")
    if k < 1:
        raise InputError(f"k = {k} paths were asked for, expected at least 1")
    end, end_index = _name(graph, graph.output if of is None else of)
    start, start_index = _name(graph, wrt)
    if graph.by_name[start].role == "constant":
        raise InputError(f"{start!r} is a constant: nothing is differentiated with respect to it")
    refuse_time(graph, start, end)
    trace = forward(network, params, *data, of=(end, start), **named)
    if not is_floating(trace[start]):
        raise InputError(f"{start!r} holds whole numbers: there is no derivative with respect to it")
    end_unit, end_element = _element(trace, end, end_index, "of")
    wrt_unit, element = _element(trace, start, start_index, "wrt")
    samples = _batch(trace)
    sample = _sample(sample, samples, graph.by_name[start].lead)
    gradients = _backward(trace, end, end_element)  # raises if a gradient is not finite
    with np.errstate(all="ignore"):  # NaN stands for no path, and what underflows is carried in the exponents
        between = stations(trace, start, element, end, sample)
        known = tables(between, end_element, k)
        table = known[between.start]
        best = table.product[0, 0]
        products = np.ldexp(best, table.exponent)
        mass = float(np.ldexp(table.mass[0, 0], table.mass_exponent))
        routes = tuple((float(products[r]), tuple(follow(between, known, r))) for r in range((~np.isnan(best)).sum()))
        total = _total(gradients, start, element, sample)
    value = to_numpy(trace[end]).reshape(-1 if graph.by_name[end].lead == 0 else (samples, -1))[..., end_element]
    shown = value if value.ndim == 0 else value[sample] if sample is not None else value.sum()
    count = int(table.count[0])
    return Found(trace, end_unit, wrt_unit, sample, samples, routes, total, float(shown), count, mass)


def share(product: float, total: float) -> float:
    """product / total, NaN if the total is 0."""
    return product / total if total else math.nan


def path_sample(found: Found, steps: Sequence[Step]) -> int | None:
    """The sample in which a path starts, or the first that it enters."""
    if found.trace.graph.by_name[str(found.wrt[0])].lead:
        return found.sample
    return next((step.sample for step in steps if step.sample is not None), None)


def _notes(routes: Sequence[tuple[tuple[Unit, ...], int | None, Sequence[Step]]]) -> list[str]:
    """What tells apart paths through the same units: the operands, or later samples, where they differ."""
    alike: dict[Any, list[int]] = defaultdict(list)
    for i, (units, sample, _) in enumerate(routes):
        alike[units, sample].append(i)
    notes = [""] * len(routes)
    for (units, _), members in alike.items():
        if len(members) > 1:
            for i, note in zip(members, differences([routes[m][2] for m in members], units), strict=True):
                notes[i] = note
    return notes


def differences(routes: Sequence[Sequence[Step]], units: Sequence[Unit]) -> list[str]:
    """For each of several paths through the same nodes: ``operand 2 of z``, ``sample 3 of a1[0]``."""
    notes: list[list[str]] = [[] for _ in routes]
    for i, steps in enumerate(zip(*routes, strict=True)):
        label = unit_label(units[i + 1])
        slots, samples = {s.slot for s in steps}, {s.sample for s in steps}
        for note, step in zip(notes, steps, strict=True):
            if len(slots) > 1:
                note.append(f"operand {step.slot + 1} of {label}")
            if len(samples) > 1:
                note.append(f"sample {step.sample} of {label}")
    return [", ".join(note) for note in notes]


def _unit(trace: Trace, step: Step) -> Unit:
    node = trace.graph.by_name[step.name]
    shape = tuple(trace.arrays[step.name].shape)[node.lead :]
    return (step.name, *(int(i) for i in np.unravel_index(step.element, shape))) if shape else (step.name,)


def _name(graph: Graph, wanted: Wanted) -> tuple[str, tuple[Any, ...]]:
    """The node and the index of ``"loss"``, ``("h1", 3)`` or ``"h1[3]"``."""
    if isinstance(wanted, str):
        match = _INDEXED.fullmatch(wanted)
        if match is None or wanted in graph.by_name:
            return graph.resolve(wanted), ()
        try:
            return graph.resolve(match[1]), tuple(int(i) for i in match[2].split(","))
        except ValueError:
            raise InputError(f"{wanted!r} is not an element of a quantity: write it as 'h1[3]' or ('h1', 3)") from None
    if not isinstance(wanted, Sequence) or not wanted or not isinstance(wanted[0], str):
        raise InputError(f"expected a quantity and an index, like ('h1', 3), got {wanted!r}")
    return graph.resolve(wanted[0]), tuple(wanted[1:])


def _element(trace: Trace, name: str, index: tuple[Any, ...], argument: str) -> tuple[Unit, int]:
    """The unit and its flat place; raises `InputError` that says the shape."""
    shape = tuple(trace[name].shape)[trace.graph.by_name[name].lead :]
    if not index and math.prod(shape) == 1:
        index = (0,) * len(shape)
    where = f"{argument}: {name!r} has the shape {shape}" if shape else f"{argument}: {name!r} is one number"
    each = f"{name!r}, " + ", ".join("0" for _ in shape)
    if len(index) != len(shape):
        want = f"{len(shape)} of them, like ({each})" if shape else "none"
        raise InputError(f"{where}, {len(index)} indices were given, expected {want}")
    places = []
    for i, n in zip((whole(i, f"an index of {name!r}") for i in index), shape, strict=True):
        if not -n <= i < n:
            raise InputError(f"{where}, the index {i} is out of range: expected 0 to {n - 1}")
        places.append(i % n)
    flat = int(np.ravel_multi_index(places, shape)) if shape else 0
    return (name, *places), flat


def whole(value: Any, what: str) -> int:
    """An integer of any kind (but no bool) as an int; `InputError` otherwise."""
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise InputError(f"{what} must be a whole number, got {value!r}")


def _batch(trace: Trace) -> int:
    """How many samples there are; 0 if nothing has samples."""
    return next((int(trace[node.name].shape[0]) for node in trace.nodes if node.lead), 0)


def _sample(sample: int | None, samples: int, lead: int) -> int | None:
    if sample is None:
        return 0 if lead else None
    sample = whole(sample, "sample")
    if not samples:
        raise InputError(f"sample={sample} was given, but nothing here has samples: leave it out")
    if not 0 <= sample < samples:
        raise InputError(f"sample={sample} is out of range: there are {samples} samples, expected 0 to {samples - 1}")
    return sample


def _backward(trace: Trace, end: str, element: int) -> Gradients:
    """The gradient of one element of ``end``, added over the samples if each has one."""
    L, lead = trace[end], trace.graph.by_name[end].lead
    size = math.prod(tuple(L.shape)[lead:])
    seed = np.zeros((math.prod(tuple(L.shape)[:lead]), size))
    seed[:, element] = 1.0
    return backward(trace, of=end, seed=trace.kind.asarray(seed.reshape(tuple(L.shape))))


def _total(gradients: Gradients, start: str, element: int, sample: int | None) -> float:
    """The gradient of one element: of one sample, or of a parameter, or one sample's part of it."""
    trace = gradients.trace
    if start not in gradients.arrays:
        return 0.0
    if trace.graph.by_name[start].lead:
        return float(to_numpy(gradients[start])[sample].reshape(-1)[element])
    if sample is not None:
        part = _part(gradients, start, sample)
        return 0.0 if part is None else float(to_numpy(part).reshape(-1)[element])
    return float(to_numpy(gradients[start]).reshape(-1)[element])


def _part(gradients: Gradients, start: str, sample: int) -> Array | None:
    """The terms of a parameter's gradient that enter the samples by this one; they add up to it over the samples.

    Shared quantities that are made of the parameter alone (a transpose) are swept backwards first.
    """
    trace = gradients.trace
    way = trace.graph.between(start, gradients.of)
    parts: dict[str, Array] = {}
    for node in reversed(trace.nodes):
        if node.name not in way or node.name not in gradients.arrays:
            continue
        for slot, name in enumerate(node.inputs):
            if node.leads[slot] or name not in way or not trace.differentiable(node, slot):
                continue
            J = trace.local(node, slot)
            if node.lead:
                g = gradients[node.name][sample]
            elif J.batch:
                g = gradients[node.name]
            else:
                g = parts.get(node.name)
            if g is not None:
                term = J.sample(sample).pull(g)
                parts[name] = parts[name] + term if name in parts else term
    return parts.get(start)
