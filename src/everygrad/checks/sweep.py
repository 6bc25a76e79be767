"""Derivatives of one number by one quantity, forward through the graph: one entry, or one direction, at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np

from everygrad.checks.steps import Step
from everygrad.graph import Graph, Node

SLOW = 50
"""What an elementwise function costs, in multiply-adds: for the choice of how much can be checked."""


@final
class Sweep:
    """∂(Σ seed · end)/∂v by perturbing v: all else that v does not reach keeps its value.

    Only the nodes between v and ``end`` are evaluated (or ``nodes``, if given). A quantity of all samples
    is perturbed in one component of all samples at once as long as the samples do not meet; a probe
    finds out whether they do (an operation should work sample by sample, but a user's may not). From the
    node on where they meet, as a rule the loss, each sample is followed alone.
    """

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, np.ndarray],
        step: Step,
        name: str,
        end: str,
        nodes: Sequence[Node] | None = None,
        seed: np.ndarray | None = None,
    ) -> None:
        self.values, self.step, self.name, self.end = values, step, name, end
        if nodes is None:
            path = graph.between(name, end) - {name}
            nodes = [node for node in graph.nodes if node.name in path]
        self.nodes = nodes
        self.seed = np.ones(values[end].shape) if seed is None else seed
        self.x = values[name]
        self.front, self.tail = self._split(graph.by_name[name].lead)
        used = {i for node in self.tail for i in node.inputs}
        self.interface = [i for i in (name, *(n.name for n in self.front)) if i in used]
        self.separate = bool(self.front) and len(self.x) > 1 and self._samples_stay_apart()
        if not self.separate and graph.by_name[name].lead and not self.front:
            self.separate = len(self.x) > 1  # v enters the loss itself

    def _split(self, lead: int) -> tuple[list[Node], list[Node]]:
        """The nodes in which samples are still apart, and the rest."""
        apart = {self.name} if lead else set()
        on_path = {self.name, *(node.name for node in self.nodes)}
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
            found = self._run(self.front, {self.name: t})
            if any(np.any(found[node.name][~some]) for node in self.front):
                return False
        return True

    def _run(self, nodes: Sequence[Node], tangents: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = dict(tangents)
        for node in nodes:
            ts = [found.get(name) for name in node.inputs]
            xs = [self.values[name] for name in node.inputs]
            found[node.name] = self.step(node, xs, ts, self.values[node.name])
        return found

    def direction(self, t: np.ndarray) -> float:
        """⟨∇_v, t⟩, from one pass."""
        return float(np.sum(self._run(self.nodes, {self.name: t})[self.end] * self.seed))

    def entries(self, index: np.ndarray, done: Callable[[int], None] | None = None) -> np.ndarray:
        """The entries of ∇_v at these flat positions; ``done`` is told how many there are so far."""
        out = np.empty(len(index))
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
        order = np.argsort(feature, kind="stable")
        starts = np.flatnonzero(np.diff(feature[order], prepend=-1))
        count = 0
        for group in np.split(order, starts[1:]):
            t = np.zeros((len(self.x), features))
            t[:, feature[group[0]]] = 1.0
            found = self._run(self.front, {self.name: t.reshape(self.x.shape)})
            for k in group:
                out[k] = self._of_sample(found, int(sample[k]))
            count += len(group)
            if done is not None:
                done(count)
        return out

    def _of_sample(self, found: Mapping[str, np.ndarray], n: int) -> float:
        if not self.tail:
            return float(np.sum(found[self.end][n] * self.seed[n]))
        alone = {}
        for name in self.interface:
            alone[name] = np.zeros(found[name].shape)
            alone[name][n] = found[name][n]
        return float(np.sum(self._run(self.tail, alone)[self.end] * self.seed))

    def work(self, entries: int) -> int:
        """About how many multiply-adds so many entries cost."""
        front, tail = (sum(self._work(node) for node in nodes) for nodes in (self.front, self.tail))
        if not self.separate:
            return entries * (front + tail)
        return min(entries, self.x.size // len(self.x)) * front + entries * tail

    def _work(self, node: Node) -> int:
        y = self.values[node.name]
        shared = [self.values[name] for name, lead in zip(node.inputs, node.leads, strict=True) if not lead]
        inner = max((W.shape[-1] for W in shared if W.ndim == 2), default=0)
        rows = sum(self.values[name].size for name, lead in zip(node.inputs, node.leads, strict=True) if lead)
        return y.size * inner + SLOW * (y.size + rows) + 1000  # the last for the call itself
