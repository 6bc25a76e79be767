"""Derivatives of one number by one quantity, forward through the graph: one entry, or one direction, at a time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import final

import numpy as np

from everygrad.checks.steps import Step
from everygrad.graph import Graph, Node
from everygrad.networks.copies import Edge

SLOW = 50
"""What an elementwise function costs, in multiply-adds: for the choice of how much can be checked."""


@final
class Sweep:
    """∂(Σ seed · end)/∂v by perturbing v: all else that v does not reach keeps its value.

    v is a node, or a quantity over time of which each step is a node (``over_time``): then its array has the steps
    behind the samples, and a step is perturbed by itself, whatever the steps before it do. Only the nodes between v and
    the ends are evaluated (or ``nodes``, if given), and nothing passes along the edges in ``cut``.

    Of a quantity of all samples, one entry of each sample is perturbed at once as long as the samples do not meet; a
    probe finds out whether they do (an operation should work sample by sample, but a user's may not). From the node on
    where they meet, as a rule the loss, each sample is followed alone.
    """

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, np.ndarray],
        step: Step,
        parts: Sequence[str],
        ends: Sequence[str],
        over_time: bool = False,
        nodes: Sequence[Node] | None = None,
        seed: np.ndarray | None = None,
        cut: Collection[Edge] = frozenset(),
    ) -> None:
        self.values, self.step, self.cut = values, step, cut
        self.parts, self.over_time = tuple(parts), over_time
        self.nodes = self._between(graph, ends) if nodes is None else nodes
        self.seeds = {end: np.ones(values[end].shape) if seed is None else seed for end in ends}
        each = [values[part] for part in self.parts]
        self.x = np.stack(each, axis=1) if over_time else each[0]
        self.front, self.tail = self._split(graph.by_name[self.parts[0]].lead)
        later = {node.name for node in self.tail}
        self.late = {end: seed for end, seed in self.seeds.items() if end in later}
        self.early = {end: seed for end, seed in self.seeds.items() if end not in later}
        used = {i for node in self.tail for i in node.inputs}
        self.interface = [i for i in dict.fromkeys((*self.parts, *(n.name for n in self.front))) if i in used]
        self.separate = bool(self.front) and len(self.x) > 1 and self._samples_stay_apart()
        if not self.separate and graph.by_name[self.parts[0]].lead and not self.front:
            self.separate = len(self.x) > 1  # v enters the loss itself

    def _between(self, graph: Graph, ends: Sequence[str]) -> list[Node]:
        """The nodes that move with v and move the ends, in topological order."""
        reached, moved = set(self.parts), set()
        for node in graph.nodes:
            if any(i in reached and (node.name, slot) not in self.cut for slot, i in enumerate(node.inputs)):
                reached.add(node.name)
                moved.add(node.name)
        needed = set(ends)
        for node in reversed(graph.nodes):
            if node.name in needed and node.name in moved:
                needed.update(i for slot, i in enumerate(node.inputs) if (node.name, slot) not in self.cut)
        return [node for node in graph.nodes if node.name in moved and node.name in needed]

    def _split(self, lead: int) -> tuple[list[Node], list[Node]]:
        """The nodes in which samples are still apart, and the rest."""
        apart = set(self.parts) if lead else set()
        on_path = {*self.parts, *(node.name for node in self.nodes)}
        front, tail = [], []
        for node in self.nodes:
            alone = node.lead and all(i in apart for i in node.inputs if i in on_path)
            if alone and self.values[node.name].shape[:1] == self.x.shape[:1]:
                apart.add(node.name)
                front.append(node)
            else:
                tail.append(node)
        return front, tail

    def _samples_stay_apart(self) -> bool:
        """Whether moving some samples leaves the others where they are, throughout the front."""
        rng = np.random.default_rng(len(self.x))
        moved = np.zeros(len(self.x), bool)
        moved[rng.permutation(len(self.x))[: len(self.x) // 2]] = True
        for some in (moved, ~moved):
            t = rng.standard_normal(self.x.shape)
            t[~some] = 0.0
            found = self._run(self.front, self._tangents(t))
            if any(np.any(found[node.name][~some]) for node in self.front if node.name in found):
                return False
        return True

    def _tangents(self, t: np.ndarray) -> dict[str, np.ndarray]:
        """A direction by node; steps that do not move are left out."""
        if not self.over_time:
            return {self.parts[0]: t}
        return {part: t[:, k] for k, part in enumerate(self.parts) if t[:, k].any()}

    def _run(self, nodes: Sequence[Node], tangents: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tangents of the nodes that move; a node that is itself perturbed moves by both."""
        found = dict(tangents)
        for node in nodes:
            ts = [found.get(name) for name in node.inputs]
            if self.cut:
                ts = [None if (node.name, slot) in self.cut else t for slot, t in enumerate(ts)]
            if all(t is None for t in ts):
                continue
            xs = [self.values[name] for name in node.inputs]
            moved = self.step(node, xs, ts, self.values[node.name])
            found[node.name] = moved + tangents[node.name] if node.name in tangents else moved
        return found

    def direction(self, t: np.ndarray) -> float:
        """⟨∇_v, t⟩, from one pass."""
        found = self._run(self.nodes, self._tangents(t))
        return sum(float(np.sum(found[end] * seed)) for end, seed in self.seeds.items() if end in found)

    def entries(self, index: np.ndarray, done: Callable[[int], None] | None = None) -> np.ndarray:
        """The entries of ∇_v at these flat positions; ``done`` is told how many there are so far."""
        out = np.zeros(len(index))
        if not self.separate:
            for k, i in enumerate(index):
                t = np.zeros(self.x.shape)
                t.reshape(-1)[i] = 1.0
                out[k] = self.direction(t)
                if done is not None:
                    done(k + 1)
            return out
        features = self.x.size // len(self.x)
        sample, feature = np.divmod(index, features)
        count = 0
        for group in _one_of_each(sample, feature):
            t = np.zeros((len(self.x), features))
            t[sample[group], feature[group]] = 1.0
            found = self._run(self.front, self._tangents(t.reshape(self.x.shape)))
            for k in group:
                out[k] = self._of_sample(found, int(sample[k]))
            count += len(group)
            if done is not None:
                done(count)
        return out

    def _of_sample(self, found: Mapping[str, np.ndarray], n: int) -> float:
        total = sum(float(np.sum(found[end][n] * seed[n])) for end, seed in self.early.items() if end in found)
        if not self.late:
            return total
        alone = {}
        for name in self.interface:
            if name in found:
                alone[name] = np.zeros(found[name].shape)
                alone[name][n] = found[name][n]
        ends = self._run(self.tail, alone)
        return total + sum(float(np.sum(ends[end] * seed)) for end, seed in self.late.items() if end in ends)

    def work(self, entries: int) -> int:
        """About how many multiply-adds so many entries cost."""
        front, tail = (sum(self._work(node) for node in nodes) for nodes in (self.front, self.tail))
        if not self.separate:
            return entries * (front + tail)
        passes = min(self.x.size // len(self.x), -(-entries // len(self.x)))
        return passes * front + entries * tail

    def _work(self, node: Node) -> int:
        y = self.values[node.name]
        shared = [self.values[name] for name, lead in zip(node.inputs, node.leads, strict=True) if not lead]
        inner = max((W.shape[-1] for W in shared if W.ndim == 2), default=0)
        rows = sum(self.values[name].size for name, lead in zip(node.inputs, node.leads, strict=True) if lead)
        return y.size * inner + SLOW * (y.size + rows) + 1000  # the last for the call itself


def _one_of_each(sample: np.ndarray, feature: np.ndarray) -> list[np.ndarray]:
    """Positions in groups, each with at most one entry of a sample; entries of like features together."""
    order = np.lexsort((feature, sample))
    starts = np.flatnonzero(np.diff(sample[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return [order[rank == r] for r in range(int(rank.max(initial=-1)) + 1)]
