"""Arguments against a graph: every mismatch found at once, before any number is computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from everygrad.backprop.finite import all_finite
from everygrad.backprop.plan import Plan
from everygrad.engines import Array, Kind, is_array, is_complex, kind_of, namespace
from everygrad.engines.arrays import detached, is_floating, library, narrowed_by_jax, place
from everygrad.errors import InputError, all_mismatches, unknown_name
from everygrad.graph import Graph, Operation, Shape, ShapeProblem
from everygrad.graph.losses import Loss

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
    type, library, dtype or shape, an empty or unequal batch, labels out of range.
    """
    given, problems = _by_name(graph, params, data, named)
    for node in plan.nodes:
        if node.name in plan.needed and node.name not in given:
            where = "params" if node.role == "parameter" else "the data"
            problems.append(f"{node.role} {node.name!r} is missing: add it to {where}")
    values: dict[str, Array] = {}
    for name, value in given.items():
        if not is_array(value) or (isinstance(value, np.ndarray) and type(value) is not np.ndarray):
            came = type(value).__name__
            problems.append(f"{name!r} is a {came}, expected an array: numpy.asarray({name})")
        elif name in plan.needed:
            values[name] = detached(value)
    key = tuple((name, type(value), value.shape, value.dtype, place(value)) for name, value in values.items())
    known = not problems and key in plan.fits
    if not known or any(n in values and tuple(values[n].shape) != shape for n, shape in expected.items()):
        _compare(graph, plan, values, expected, key, problems)
    _look(plan.fits[key], values, problems)
    all_mismatches("arguments", problems)
    kind = kind_of(values[_first_float(graph, values)])
    for node in plan.nodes:
        if node.constant is not None:
            values[node.name] = kind.asarray(node.constant)
    return values, kind


Remaining = tuple[str, Operation, int, list[Shape]]
"""(name, operation, slot, its input shapes): whose values an operation wants to see each time."""


def _compare(
    graph: Graph,
    plan: Plan,
    values: Mapping[str, Array],
    expected: Mapping[str, Shape],
    key: Any,
    problems: list[str],
) -> None:
    """Shapes and dtypes against the graph; what fits is remembered, so that the next batch is quick."""
    if values or not problems:
        _one_kind(graph, values, problems)
    _expected_shapes(values, expected, problems)
    _batches(graph, values, problems)
    remaining = _shapes(plan, values, expected, problems)
    if problems:  # now the values too, to list everything at once
        _look(remaining, values, problems)
    all_mismatches("arguments", problems)
    if len(plan.fits) >= MOST_REMEMBERED:
        plan.fits.clear()
    plan.fits[key] = remaining


def _look(remaining: Sequence[Remaining], values: Mapping[str, Array], problems: list[str]) -> None:
    """The values that an operation wants to see; what is not finite is left to the pass, which says where."""
    for name, operation, slot, shapes in remaining:
        if all_finite(values[name]):
            problems.extend(f"{name!r}: {text}" for text in operation.data_problems(slot, values[name], shapes))


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
        elif value.dtype != kind.dtype and (is_floating(value) or not _only_target(graph, name)):
            problems.append(f"{name!r} has dtype {value.dtype}, {first!r} has {kind.dtype}: use one dtype for all")
        elif place(value) != place(values[first]):
            problems.append(f"{name!r} is on {value.device}, {first!r} on {kind.device}: use one device for all")


def _only_target(graph: Graph, name: str) -> bool:
    """Whether the node enters losses only, as their target: then it may hold whole numbers."""
    uses = graph.consumers[name]
    return all(slot == 1 and isinstance(graph.by_name[user].operation, Loss) for user, slot in uses)


def _expected_shapes(values: Mapping[str, Array], expected: Mapping[str, Shape], problems: list[str]) -> None:
    wrong = [name for name in expected if name in values and tuple(values[name].shape) != expected[name]]
    for name in wrong:
        problems.append(f"{name!r} has shape {tuple(values[name].shape)}, the network needs {expected[name]}")


def _batches(graph: Graph, values: Mapping[str, Array], problems: list[str]) -> None:
    sizes: dict[str, int] = {}
    for name in graph.data:
        if name not in values:
            continue
        shape = tuple(values[name].shape)
        if not shape:
            problems.append(f"{name!r} is a single number, expected one row per sample: {name}[None]")
        elif shape[0] == 0:
            problems.append(f"{name!r} is an empty batch, shape {shape}: at least one sample is needed")
        else:
            sizes[name] = shape[0]
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name!r} has {n}" for name, n in sizes.items())
        problems.append(f"data of different numbers of samples: {listed}")


def _shapes(
    plan: Plan, values: Mapping[str, Array], expected: Mapping[str, Shape], problems: list[str]
) -> list[Remaining]:
    """Feature shapes through the graph, and the values that operations want to see.

    What depends on a failed node is not reported again, and what was reported against ``expected`` is taken
    as it should be, so that the other problems show too.
    """
    shapes: dict[str, Shape] = {}
    remaining: list[Remaining] = []
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
            problems.append(f"{node.name!r} from ({', '.join(node.inputs)}): {problem}")
            if problem.shape is not None:
                shapes[node.name] = problem.shape
            continue
        if type(node.operation).data_problems is not Operation.data_problems:
            remaining += [(n, node.operation, i, inputs) for i, n in enumerate(node.inputs) if n in values]
    return remaining
