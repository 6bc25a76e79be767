"""Arguments against a graph: every mismatch found at once, before any number is computed."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np

from everygrad.backprop.finite import all_finite
from everygrad.backprop.plan import Plan
from everygrad.engines import Array, Kind, is_array, is_complex, kind_of, namespace
from everygrad.engines.arrays import detached, is_floating, library, narrowed_by_jax, numpy_namespace, place
from everygrad.errors import InputError, all_mismatches, unknown_name
from everygrad.graph import Graph, Node, Operation, Shape, ShapeProblem
from everygrad.graph.steps import counting_problems

Look = Callable[[Array], list[str]]
"""What is wrong with the values of an array."""

MOST_REMEMBERED = 64
"""Combinations of shapes remembered for one plan; batches of ever new sizes must not fill the memory."""

_NARROWED = (
    "; jax.numpy.asarray would silently turn float64 into float32 here: "
    "call jax.config.update('jax_enable_x64', True) first, or use float32 everywhere"
)


def bind(
    graph: Graph,
    plan: Plan,
    params: Mapping[str, Array],
    data: Sequence[Array],
    named: Mapping[str, Array],
    expected: Mapping[str, Shape],
) -> tuple[dict[str, Array], Kind]:
    """The given arrays by node name, and their common kind.

    Only what the plan needs has to be given. ``expected`` are parameter shapes that a network knows
    beforehand. Raises one `InputError` with every problem: a missing, extra or unknown name, a wrong
    type, library, dtype or shape, an empty or unequal batch, unequal numbers of steps, labels, tokens
    or lengths out of range. Data without their padding (`Operation.prepares`) are computed here already.
    """
    again = _as_before(plan, params, data, named, expected)
    if again is not None:
        return again
    given, problems = _by_name(graph, params, data, named)
    for node in plan.nodes:
        if node.name in plan.needed and node.name not in given:
            where = "params" if node.role == "parameter" else "the data"
            problems.append(f"{node.role} {node.name!r} is missing: add it to {where}")
    values: dict[str, Array] = {}
    for name, value in given.items():
        if not is_array(value) or (isinstance(value, np.ndarray) and type(value) is not np.ndarray):
            came = type(value).__name__
            hint = "eg.gradients_of_chunks takes such" if isinstance(value, Iterator) else f"numpy.asarray({name})"
            problems.append(f"{name!r} is a {came}, expected an array: {hint}")
        elif name in plan.needed:
            values[name] = detached(value)
    key = tuple((name, type(value), value.shape, value.dtype, place(value)) for name, value in values.items())
    fit = None if problems else plan.fits.get(key)
    if fit is None or any(n in values and tuple(values[n].shape) != shape for n, shape in expected.items()):
        fit = _compare(graph, plan, values, expected, key, problems)
    _look(fit, values, problems)
    all_mismatches("arguments", problems)
    kind = kind_of(values[_first_float(graph, values)])
    names, constants = tuple(given), [(n.name, n.constant) for n in plan.nodes if n.constant is not None]
    plain = kind.xp is numpy_namespace and not named and names == (*graph.data, *params)
    if plain and plan.needed.issuperset(names) and len(plan.fits) < 2 * MOST_REMEMBERED:
        plan.fits[_plain_key(params, data)] = Known(names, fit, kind, tuple(constants), expected)
    for name, constant in constants:
        values[name] = kind.asarray(constant)
    return values, kind


@final
@dataclass(frozen=True, slots=True)
class Fit:
    """What remains to be done for arrays whose shapes and dtypes fit.

    ``prepared``: the nodes that only make data ready, to be computed first; ``looks``: (name, what it
    tells of the array), for the arrays whose values are looked at each time.
    """

    prepared: tuple[Node, ...]
    looks: tuple[tuple[str, Look], ...]


@final
@dataclass(frozen=True, slots=True)
class Known:
    """Arguments that fitted: NumPy arrays of the same names, shapes and dtypes fit again."""

    names: tuple[str, ...]
    fit: Fit
    kind: Kind
    constants: tuple[tuple[str, float], ...]
    expected: Mapping[str, Shape]


def _plain_key(params: Mapping[str, Array], data: Sequence[Array]) -> Hashable:
    """What arguments must have in common to fit alike; only that of NumPy arrays is ever remembered."""
    given = (*data, *params.values())
    return (*params, *((a.shape, a.dtype) if type(a) is np.ndarray else None for a in given))


def _as_before(
    plan: Plan,
    params: Mapping[str, Array],
    data: Sequence[Array],
    named: Mapping[str, Array],
    expected: Mapping[str, Shape],
) -> tuple[dict[str, Array], Kind] | None:
    """`bind` of arguments like some that fitted: only numbers are looked at. None if there were none like them."""
    if named or type(params) is not dict:
        return None
    known = plan.fits.get(_plain_key(params, data))
    if known is None or (known.expected is not expected and known.expected != expected):
        return None
    values = dict(zip(known.names, (*data, *params.values()), strict=True))
    problems: list[str] = []
    _look(known.fit, values, problems)
    all_mismatches("arguments", problems)
    for name, constant in known.constants:
        values[name] = known.kind.asarray(constant)
    return values, known.kind


def _compare(
    graph: Graph,
    plan: Plan,
    values: dict[str, Array],
    expected: Mapping[str, Shape],
    key: Any,
    problems: list[str],
) -> Fit:
    """Shapes and dtypes against the graph; what fits is remembered, so that the next batch is quick."""
    found = len(problems)
    if values or not problems:
        _one_kind(graph, values, problems)
    alike = len(problems) == found
    _expected_shapes(values, expected, problems)
    agree = _leading(graph, values, problems)
    fit = _shapes(plan, values, expected, alike and agree, problems)
    fit = replace(fit, looks=(*fit.looks, *_counting(graph, plan, values)))
    if problems:  # now the values too, to list everything at once
        _look(fit, values, problems)
    all_mismatches("arguments", problems)
    if len(plan.fits) >= MOST_REMEMBERED:
        plan.fits.clear()
    plan.fits[key] = fit
    return fit


def _look(fit: Fit, values: dict[str, Array], problems: list[str]) -> None:
    """The values that an operation wants to see; what is not finite is left to the pass, which says where."""
    for node in fit.prepared:
        assert node.operation is not None
        values[node.name] = node.operation.value([values[name] for name in node.inputs], node.leads)
    shown = {node.name: node.inputs[0] for node in fit.prepared}
    for name, look in fit.looks:
        if all_finite(values[name]):
            problems.extend(f"{shown.get(name, name)!r}: {text}" for text in look(values[name]))


def _by_name(
    graph: Graph, params: Mapping[str, Array], data: Sequence[Array], named: Mapping[str, Array]
) -> tuple[dict[str, Array], list[str]]:
    problems: list[str] = []
    if not isinstance(params, Mapping):
        raise InputError(f"params must be a dict of arrays by name, got {type(params).__name__}")
    if len(data) > len(graph.data):
        problems.append(f"{len(data)} data arrays were given, the graph takes {len(graph.data)}: {list(graph.data)}")
    given = dict(zip(graph.data, data, strict=False))
    for source, role, known in ((params, "parameter", graph.parameters), (named, "data", graph.data)):
        for key, value in source.items():
            name = graph.aliases.get(key, key)
            if name not in known:
                problems.append(f"{unknown_name(role, key, known)} Leave {key!r} out.")
            elif given.get(name) is not None:
                problems.append(f"{key!r} was given twice")
            else:
                given[name] = value
    return {name: value for name, value in given.items() if value is not None}, problems


def _first_float(graph: Graph, values: Mapping[str, Array]) -> str:
    """The array that the others must be like: a parameter if there is one."""
    floats = [name for name, value in values.items() if is_floating(value)]
    if not floats:
        found = {name: str(value.dtype) for name, value in values.items()}
        raise InputError(f"no floating-point array among {found or 'the arguments'}: x.astype(float)")
    return next((name for name in floats if graph.by_name[name].role == "parameter"), floats[0])


def _one_kind(graph: Graph, values: Mapping[str, Array], problems: list[str]) -> None:
    first = _first_float(graph, values)
    kind = kind_of(values[first])
    if is_complex(values[first]):
        problems.append(f"{first!r} has dtype {kind.dtype}: gradients are taken of real numbers")
    for name, value in values.items():
        if namespace(value) is not kind.xp:
            mine, other = library(value), library(values[first])
            hint = _NARROWED if narrowed_by_jax(value, values[first]) else ""
            problems.append(f"{name!r} is a {mine} array but {first!r} is {other}: use one library for all{hint}")
        elif value.dtype != kind.dtype and (is_floating(value) or not _may_be_whole(graph, name)):
            problems.append(f"{name!r} has dtype {value.dtype}, {first!r} has {kind.dtype}: use one dtype for all")
        elif place(value) != place(values[first]):
            problems.append(f"{name!r} is on {value.device}, {first!r} on {kind.device}: use one device for all")


def _may_be_whole(graph: Graph, name: str) -> bool:
    """Whether every use of the node may hold whole numbers or booleans: labels, tokens, lengths, a mask."""
    names = [name]
    for reader in names:
        for user, slot in graph.consumers[reader]:
            node = graph.by_name[user]
            slots = {slot, slot - len(node.inputs)}  # counted from the first or from the last
            if node.operation is None or slots.isdisjoint(node.operation.whole):
                return False
            if node.operation.prepares and slot == 0:  # what comes out is of the same kind
                names.append(user)
    return True


def _expected_shapes(values: Mapping[str, Array], expected: Mapping[str, Shape], problems: list[str]) -> None:
    wrong = [name for name in expected if name in values and tuple(values[name].shape) != expected[name]]
    for name in wrong:
        problems.append(f"{name!r} has shape {tuple(values[name].shape)}, the network needs {expected[name]}")


def _leading(graph: Graph, values: Mapping[str, Array], problems: list[str]) -> bool:
    """Whether all data agree in samples, and those that meet in steps."""
    found = len(problems)
    samples: dict[str, int] = {}
    steps: dict[str, dict[str, int]] = {}
    for name in graph.data:
        if name not in values:
            continue
        shape, lead = tuple(values[name].shape), graph.by_name[name].lead
        if not shape:
            problems.append(f"{name!r} is a single number, expected one row per sample: {name}[None]")
        elif len(shape) < lead:
            problems.append(f"{name!r} has shape {shape}, expected (batch, time) first: {name}[None] for one sequence")
        elif shape[0] == 0:
            problems.append(f"{name!r} is an empty batch, shape {shape}: at least one sample is needed")
        elif lead == 2 and shape[1] == 0:
            problems.append(f"{name!r} has no time step, shape {shape}: at least one is needed")
        else:
            samples[name] = shape[0]
            if lead == 2:
                steps.setdefault(_clocks(graph)[name], {})[name] = shape[1]
    for what, sizes in [("samples", samples), *(("time steps", each) for each in steps.values())]:
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name!r} has {n}" for name, n in sizes.items())
            problems.append(f"data of different numbers of {what}: {listed}")
    return len(problems) == found


def _clocks(graph: Graph) -> Mapping[str, str]:
    """For each quantity over time, the first of those that must have as many steps: operations join them.

    An encoder's sequence and a decoder's meet nowhere, if only the encoder's last state goes on.
    """
    if "clocks" not in graph.memo:
        clock: dict[str, str] = {}
        for node in graph.nodes:
            over_time = [name for name, lead in zip(node.inputs, node.leads, strict=True) if lead == 2]
            meeting = {clock[name] for name in over_time}
            first = min(meeting, key=list(clock).index, default=node.name)
            if node.lead == 2:
                clock[node.name] = first
            for name, own in clock.items():
                if own in meeting:
                    clock[name] = first
        graph.memo["clocks"] = clock
    return graph.memo["clocks"]


def _counting(graph: Graph, plan: Plan, values: Mapping[str, Array]) -> Iterator[tuple[str, Look]]:
    """The lengths and masks, each to be looked at once for each number of steps that it counts."""
    clocks = _clocks(graph)
    steps = {clocks[n]: values[n].shape[1] for n in graph.data if n in values and n in clocks and values[n].ndim > 1}
    seen = set()
    for node in plan.nodes:
        slot = None if node.operation is None else node.operation.counting
        name = None if slot is None or slot >= len(node.inputs) else node.inputs[slot]
        if name not in values:
            continue
        counted = next((clocks[i] for i in node.inputs if i in clocks), None)
        if counted in steps and (name, counted) not in seen:
            seen.add((name, counted))
            yield name, partial(counting_problems, steps=steps[counted])


def _shapes(
    plan: Plan, values: Mapping[str, Array], expected: Mapping[str, Shape], prepare: bool, problems: list[str]
) -> Fit:
    """Feature shapes through the graph, and the values that operations want to see.

    What depends on a failed node is not reported again, and what was reported against ``expected`` is taken
    as it should be, so that the other problems show too.
    """
    shapes: dict[str, Shape] = {}
    prepared: list[Node] = []
    looks: list[tuple[str, Look]] = []
    known = set(values)  # before any operation but those that prepare data
    reported: set[tuple[tuple[str, ...], str]] = set()
    for node in plan.nodes:
        if node.operation is None:
            if node.name in expected:
                shapes[node.name] = expected[node.name]
            elif node.constant is not None:
                shapes[node.name] = ()
            elif node.name in values and values[node.name].ndim >= node.lead:
                shapes[node.name] = tuple(values[node.name].shape[node.lead :])
            continue
        if any(name not in shapes for name in node.inputs):
            continue
        inputs = [shapes[name] for name in node.inputs]
        try:
            shapes[node.name] = node.operation.shape(inputs, node.leads)
        except ShapeProblem as problem:
            text = str(problem)
            if (node.inputs, text) not in reported:  # all quantities of a scan have the same one
                reported.add((node.inputs, text))
                problems.append(f"{node.name!r} from ({', '.join(node.inputs)}): {text}{_no_features(node, values)}")
            if problem.shape is not None:
                shapes[node.name] = problem.shape
            continue
        if type(node.operation).data_problems is not Operation.data_problems:
            look = node.operation.data_problems
            looks += [(n, partial(_asked, look, i, inputs)) for i, n in enumerate(node.inputs) if n in known]
        if prepare and node.operation.prepares and known.issuperset(node.inputs):
            prepared.append(node)
            known.add(node.name)
    return Fit(tuple(prepared), tuple(looks))


def _asked(look: Callable[..., list[str]], slot: int, shapes: list[Shape], x: Array) -> list[str]:
    return look(slot, x, shapes)


def _no_features(node: Node, values: Mapping[str, Array]) -> str:
    """A word on the commonest reason why a sequence does not fit: it was given without its last axis."""
    for name, lead in zip(node.inputs, node.leads, strict=True):
        if lead == 2 and name in values and values[name].ndim == 2 and is_floating(values[name]):
            return f"; {name!r} has shape {tuple(values[name].shape)}, expected (batch, time, features)"
    return ""
