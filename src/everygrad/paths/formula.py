"""Paths through a formula: steps from one named quantity to the next, each with its derivative in symbols."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from everygrad.errors import InputError, all_mismatches
from everygrad.graph import Graph
from everygrad.paths.expression import Expression, expression
from everygrad.paths.kbest import Step
from everygrad.paths.records import Path, Paths
from everygrad.paths.search import Wanted, differences, search, share
from everygrad.paths.source import source
from everygrad.paths.symbolic import constant, local

Values = Mapping[str, Any]


def formula_paths(text: str, values: Values, *, wrt: Wanted | None, of: Wanted | None, k: int) -> Paths:
    """The paths through a formula from a variable to its last quantity; see `everygrad.paths.paths`."""
    written = source(text)
    numbers = numbers_of(values)
    made = expression(written, numbers)
    found = search(
        made.graph,
        {name: np.asarray(x) for name, x in numbers.items()},
        wrt=variable_of(made, wrt, of),
        of=of,
        k=k,
        sample=None,
    )
    start = str(found.wrt[0])
    ranked = list(found.routes)
    if len(ranked) == found.count:  # all are listed: in the order in which the formula is read
        order = {node.name: i for i, node in enumerate(made.graph.nodes)}
        ranked.sort(key=lambda route: [(order[step.name], step.slot) for step in route[1]])
    routes = [steps for _, steps in ranked]
    paths = tuple(
        _path(made, start, steps, shown, product, found.total, note)
        for (product, steps), (shown, note) in zip(ranked, _shown(made, start, routes), strict=True)
    )
    record = (found.of, found.wrt, found.value, found.total, paths, found.count, found.mass)
    return Paths(*record, formula=written.text, values=MappingProxyType(numbers))


def numbers_of(values: Values) -> dict[str, float]:
    """The variables' values as numbers; raises one `InputError` for all that are none."""
    numbers, problems = {}, []
    for name, value in values.items():
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iuf":
            came = f"an array of shape {array.shape}" if array.size != 1 else repr(value)
            problems.append(f"{name!r} must be one real number, got {came}")
            continue
        numbers[name] = float(array.reshape(()))
    all_mismatches("values", problems)
    return numbers


def variable_of(made: Expression, wrt: Wanted | None, of: Wanted | None) -> Wanted:
    """The quantity to differentiate by: the only variable that the output depends on, or the one asked for."""
    if not made.variables:
        raise InputError("the formula has no variable: there is nothing to differentiate with respect to")
    if wrt is not None:
        return wrt
    used = _variables_of(made.graph, of)
    if len(used) != 1:
        several, example = ", ".join(used) or "none", (used or made.variables)[0]
        raise InputError(f"the result depends on {len(used)} variables ({several}): say which one, wrt={example!r}")
    return used[0]


def _variables_of(graph: Graph, of: Wanted | None) -> list[str]:
    name = graph.output if of is None else of if isinstance(of, str) else str(of[0])
    return [node.name for node in graph.ancestors((graph.resolve(name),)) if node.role == "parameter"]


def _shown(made: Expression, start: str, routes: Sequence[Sequence[Step]]) -> list[tuple[tuple[int, ...], str]]:
    """For each route the steps to stop at, and a note.

    Named quantities and the end are shown. Where several routes would read the same, so are those of
    their other quantities that tell them apart; a note says what then is still the same.
    """
    stops = [[s for s, step in enumerate(steps) if step.name in made.named or s == len(steps) - 1] for steps in routes]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, steps in enumerate(routes):
        groups[tuple(steps[s].name for s in stops[i])].append(i)
    notes = [""] * len(routes)
    for members in groups.values():
        if len(members) == 1:
            continue
        telling = _telling([[step.name for step in routes[i] if step.name not in made.named] for i in members])
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i in members:
            stops[i] = [s for s, step in enumerate(routes[i]) if s in stops[i] or step.name in telling]
            alike[tuple(step.name for step in routes[i])].append(i)
        for same in alike.values():
            if len(same) > 1:
                units = [(start,), *((step.name,) for step in routes[same[0]])]
                for i, note in zip(same, differences([routes[i] for i in same], units), strict=True):
                    notes[i] = note
    return [(tuple(stop), note) for stop, note in zip(stops, notes, strict=True)]


def _telling(routes: Sequence[Sequence[str]]) -> set[str]:
    """The names that tell these routes apart: of names on the same routes the last, and none without need.

    A name is needed if without it two routes would read the same, or one would have no name left.
    """
    on: dict[str, list[int]] = defaultdict(list)
    for i, names in enumerate(routes):
        for name in names:
            on[name].append(i)
    last = {tuple(members): name for name, members in on.items() if len(members) < len(routes)}
    reads = [{name for name in names if last.get(tuple(on[name])) == name} for names in routes]
    for members, name in sorted(last.items(), key=lambda item: -len(item[0])):
        without = [frozenset(read - {name}) for read in reads]
        if all(without[i] for i in members) and len(set(without)) == len(set(map(frozenset, reads))):
            reads = [set(read) for read in without]
    return set().union(*reads)


def _path(
    made: Expression, start: str, steps: Sequence[Step], stops: Sequence[int], product: float, total: float, note: str
) -> Path:
    """A route with the steps between two stops made into one: factors multiplied, in numbers and in symbols."""
    units, factors, formulas = [(start,)], [], []
    before = 0
    for stop in stops:
        symbols = constant(1)
        for step in steps[before : stop + 1]:
            node, of = made.graph.by_name[step.name], made.made[step.name]
            assert node.operation is not None  # a step leads to what is computed
            monomials, parts = tuple(v.monomial for v in of.operands), tuple(v.text for v in of.operands)
            symbols = symbols.times(local(node.operation, step.slot, monomials, of.text, parts))
        units.append((steps[stop].name,))
        factors.append(math.prod(step.factor for step in steps[before : stop + 1]))
        formulas.append(str(symbols))
        before = stop + 1
    return Path(tuple(units), tuple(factors), product, share(product, total), None, tuple(formulas), note)
