"""The pass that is checked, in double and without scans: each time step has nodes of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import Trace
from everygrad.backprop.plan import plan
from everygrad.engines import to_numpy
from everygrad.networks.copies import Edge
from everygrad.networks.unrolling import unrolled

DIRECT = "direct "
"""What the name of a direct gradient begins with: ``direct h``."""


def plain(name: str) -> str:
    """The quantity behind a name: ``h`` for ``direct h``."""
    return name.removeprefix(DIRECT)


@final
@dataclass(frozen=True, eq=False)
class View:
    """``trace``: the pass over the unrolled graph; ``steps``: the names there of a quantity with steps.

    ``kept`` (batch, time): which steps of a quantity count, where there is padding. ``cut``: the edges between steps of
    the scan that a quantity belongs to; without them its gradient is the direct one. ``unnamed``: nodes of the
    unrolled graph that stand for no quantity of the network.
    """

    trace: Trace
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)
    cut: Mapping[str, frozenset[Edge]] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()

    def parts(self, name: str) -> tuple[str, ...]:
        """The nodes that hold a quantity."""
        return self.steps.get(plain(name), (plain(name),))

    def over_time(self, name: str) -> bool:
        """Whether a quantity's array has an axis of time, which `split` takes apart."""
        return plain(name) in self.steps

    def split(self, name: str, array: np.ndarray) -> dict[str, np.ndarray]:
        """An array of a quantity by node."""
        if not self.over_time(name):
            return {name: array}
        return {part: array[:, t] for t, part in enumerate(self.parts(name))}

    def joined(self, name: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The inverse of `split`; what is not there is zero."""
        values = self.trace.arrays
        each = [arrays[p] if p in arrays else np.zeros(values[p].shape) for p in self.parts(name)]
        return np.stack(each, axis=1) if self.over_time(name) else each[0]

    def all_split(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Several quantities by node; arrays of a wrong shape are left out."""
        found: dict[str, np.ndarray] = {}
        for name, array in arrays.items():
            values = self.trace.arrays
            lead = values[self.parts(name)[0]].shape
            shape = (*lead[:1], len(self.parts(name)), *lead[1:]) if self.over_time(name) else lead
            if array.shape == shape:
                found |= self.split(name, array)
        return found

    def whole(self, part: str) -> str:
        """The quantity that a node belongs to, or the node's own name."""
        return self._owners.get(part, part)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {part: name for name, parts in self.steps.items() for part in parts}


def view(double: Trace, output: str) -> View:
    """The pass without scans; a pass that has none is its own view.

    Quantities of the network have the values that the scans gave them: only derivatives are compared.
    """
    if not double.plan.scans:
        return View(double)
    made = unrolled(double, output)
    graph = made.graph
    several = {n: parts for n, parts in made.steps.items() if double.graph.by_name[n].lead == 2}
    places = {part: (name, t) for name, parts in several.items() for t, part in enumerate(parts)}
    kept = {name: to_numpy(array) for name, array in made.kept.items()}
    values = {**dict(zip(graph.data, made.data, strict=True)), **made.params}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node.constant is not None:
                values[node.name] = np.asarray(node.constant)
            elif node.operation is not None:
                value = np.asarray(node.operation.value([values[i] for i in node.inputs], node.leads))
                name, t = places.get(node.name, (node.name, None))
                if name in double.arrays:
                    value = _traced(value, double.arrays[name], t, kept.get(name))
                values[node.name] = value
    named = {part for parts in made.steps.values() for part in parts}
    cut = {
        node.name: made.recurrent[family.label]
        for family in double.plan.scans
        for node, scan in family.members()
        if scan.at == "all"
    }
    trace = Trace(graph, plan(graph, tuple(graph.by_name)), MappingProxyType(values), double.kind)
    return View(trace, several, kept, cut, frozenset(n.name for n in graph.nodes) - named)


def _traced(value: np.ndarray, traced: np.ndarray, t: int | None, kept: np.ndarray | None) -> np.ndarray:
    """The value that the pass over the network had, where the step counts."""
    if t is None:
        return traced
    if kept is None:
        return np.asarray(traced[:, t])
    return np.where(kept[:, t].reshape(-1, *(1,) * (value.ndim - 1)), traced[:, t], value)
