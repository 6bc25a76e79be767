"""Which of several wrong quantities is the first, and which ones only follow from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.checks.faults import Case, name_fault
from everygrad.checks.over_time import PARTS_OF_DIRECT, fault_of_sum, fault_over_time
from everygrad.checks.rounding import pull
from everygrad.checks.steps import Step
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import relative_error
from everygrad.checks.view import View
from everygrad.graph import Node

AFFORDABLE = 1e9
"""Multiply-adds for one consumer's term by the oracle; above, the graph's own local derivative is used."""


@final
@dataclass(frozen=True, eq=False)
class Blame:
    """The evidence: values in double, the step of the oracle, the given gradients, and right ones where known.

    ``mine``: the library's gradients of the nodes; ``direct``: its direct gradients of what is inside a recurrence.
    """

    seen: View
    step: Step
    given: Mapping[str, np.ndarray]
    mine: Mapping[str, np.ndarray]
    right: Mapping[str, np.ndarray]
    direct: Mapping[str, np.ndarray]
    limit: int

    def assign(self, wrong: Iterable[str], match: Mapping[str, float]) -> tuple[str | None, dict[str, str]]:
        """(the culprit, name -> fault) for the wrong quantities, looked at in the order of the backward sweep.

        A quantity that is right *given* the gradients of its consumers follows from them; each of the others
        has a mistake of its own, and the first of those is the culprit. ``match``: the relative error up to
        which two gradients are taken to be the same. Of a quantity over time each step is looked at.
        """
        wrong = set(wrong)
        culprit: str | None = None
        own: dict[str, list[tuple[str, str]]] = {}
        causes: dict[str, dict[str, None]] = {name: {} for name in wrong}
        for node in reversed(self.seen.trace.nodes):
            name = self.seen.whole(node.name)
            if name not in wrong or not self._differs(name, node.name):
                continue
            fault, found = self._fault(node.name, wrong, match[name])
            if fault:
                own.setdefault(name, []).append((node.name, fault))
                culprit = culprit or name
            causes[name].update(dict.fromkeys(found))
        return culprit, {name: self._words(name, own.get(name, []), causes[name], match[name]) for name in wrong}

    def _differs(self, name: str, part: str) -> bool:
        """Whether a step of a wrong quantity may be one of the wrong ones."""
        g, right = self.given_steps.get(part), self.right.get(name)
        if g is None or right is None or not self.seen.over_time(name):
            return True
        scale = np.abs(right).max(initial=0.0) or 1.0
        return not np.abs(g - self.right_steps[part]).max(initial=0.0) <= 1e-16 * scale

    def _words(self, name: str, own: Sequence[tuple[str, str]], causes: Mapping[str, None], match: float) -> str:
        if not own:
            others = [cause for cause in causes if cause != name] or list(causes)
            return f"follows from {', '.join(others)}" if others else "its error is spread over all steps"
        g, direct = self.given[name], self.direct.get(name)
        if not self.seen.over_time(name):
            alone = direct is not None and direct.any() and relative_error(g, direct) <= match
            return PARTS_OF_DIRECT if alone else own[0][1]
        text = None
        if name in self.right:
            text = fault_over_time(name, g, self.right, self.direct, self.seen.kept.get(name), match)
        step, first = own[0]
        number = self.seen.parts(name).index(step)
        several = f"; {len(own)} of {len(self.seen.parts(name))} steps are wrong by themselves" if len(own) > 1 else ""
        return text or f"at step {number}: {first}{several}"

    @cached_property
    def given_steps(self) -> Mapping[str, np.ndarray]:
        """The given gradients by node."""
        return self.seen.all_split(self.given)

    @cached_property
    def right_steps(self) -> Mapping[str, np.ndarray]:
        """The right ones."""
        return self.seen.all_split(self.right)

    @cached_property
    def _position(self) -> Mapping[str, int]:
        return {node.name: i for i, node in enumerate(self.seen.trace.nodes)}

    def _fault(self, name: str, wrong: set[str], match: float) -> tuple[str, list[str]]:
        """(the node's own mistake, or the wrong quantities that it follows from)."""
        g, trace = self.given_steps[name], self.seen.trace
        ways = self._ways(name)
        if not ways:  # the output itself
            return f"the gradient of {name} with respect to itself is 1", []
        upstream = {u: self._upstream(u) for u in ways}
        terms = {u: self._term(name, way, upstream[u]) for u, way in ways.items()}
        terms = {u: term for u, term in terms.items() if term.any()} or terms  # in padding nothing passes
        others = {u: r for u, r in self.right_steps.items() if u != name and r.shape == g.shape and r.any()}
        case = Case(trace.graph, trace.arrays, self.step, name, g, MappingProxyType(terms), upstream, others, match)
        if np.isfinite(g).all() and relative_error(g, case.expected) <= match:
            causes = list(dict.fromkeys(self.seen.whole(u) for u in ways if self.seen.whole(u) in wrong))
            if causes or self.seen.over_time(self.seen.whole(name)):
                return "", causes
        broken = {u: self._broken(name, ways[u], upstream[u], term, match) for u, term in terms.items()}
        text = name_fault(case)
        if "no mistake that is known" in text:
            text = fault_of_sum(case, self.seen) or text
        return text + "".join(dict.fromkeys(f" ({part})" for part in broken.values() if part)), []

    def _ways(self, name: str) -> dict[str, list[Node]]:
        """Consumer -> the nodes from ``name`` to it, itself included; what has no name is passed through."""
        graph, seen = self.seen.trace.graph, self.seen
        ends: dict[str, None] = {}
        inner: set[str] = set()
        todo = [name]
        while todo:
            for u, _ in graph.consumers[todo.pop()]:
                if u in seen.unnamed and u in self.mine and u not in inner:
                    inner.add(u)
                    todo.append(u)
                elif u in self.mine and u not in seen.unnamed:
                    ends[u] = None
        if not ends:  # nothing with a name is behind it: the output of an unrolled graph has none
            ends, inner = {u: None for u, _ in graph.consumers[name] if u in self.mine}, set()
        return {u: self._way(name, u, inner) for u in sorted(ends, key=self._position.__getitem__)}

    def _way(self, name: str, end: str, inner: set[str]) -> list[Node]:
        graph = self.seen.trace.graph
        found, todo = {end}, [end]
        while todo:
            for i in graph.by_name[todo.pop()].inputs:
                if i in inner and i not in found:
                    found.add(i)
                    todo.append(i)
        return [graph.by_name[u] for u in sorted(found, key=self._position.__getitem__)]

    def _broken(self, name: str, way: Sequence[Node], g: np.ndarray, term: np.ndarray, match: float) -> str:
        """The operation on the way whose local derivative is wrong, in words; nothing if none is."""
        if relative_error(self._local_term(name, way, g), term) <= match:
            return ""
        on_way = {name, *(node.name for node in way)}
        rng = np.random.default_rng(0)
        for node in way:
            y = self.seen.trace.arrays[node.name]
            probe = g if len(way) == 1 else rng.standard_normal(y.shape)
            for i in dict.fromkeys(node.inputs):
                if (
                    i in on_way
                    and relative_error(self._local_term(i, [node], probe), self._term(i, [node], probe)) > match
                ):
                    called = repr(node.operation.name if node.operation else node.name)
                    return f"the local derivative of the operation {called} in {node.name} with respect to {i} is wrong"
        return ""

    def _upstream(self, u: str) -> np.ndarray:
        g = self.given_steps.get(u)
        if g is None or g.shape != self.seen.trace.arrays[u].shape or not np.isfinite(g).all():
            return self.mine[u]
        return g

    def _term(self, name: str, way: Sequence[Node], g: np.ndarray) -> np.ndarray:
        """(∂u/∂v)ᵀ ∇_u by the oracle, from the operations' values alone."""
        trace = self.seen.trace
        sweep = Sweep(trace.graph, trace.arrays, self.step, (name,), (way[-1].name,), nodes=way, seed=g)
        size = sweep.x.size
        if size > self.limit or sweep.work(size) > AFFORDABLE:
            return self._local_term(name, way, g)
        return sweep.entries(np.arange(size)).reshape(sweep.x.shape)

    def _local_term(self, name: str, way: Sequence[Node], g: np.ndarray) -> np.ndarray:
        """The same by the operations' own local derivatives."""
        trace = self.seen.trace
        inside = {name, *(node.name for node in way)}
        found = {way[-1].name: g}
        for node in reversed(way):
            for i in dict.fromkeys(node.inputs):
                term = pull(trace, i, node.name, found[node.name]) if i in inside and node.name in found else None
                if term is not None:
                    found[i] = found[i] + term if i in found else term
        return found.get(name, np.zeros(trace.arrays[name].shape))
