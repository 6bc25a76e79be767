"""What is minimised: a network's loss on batches, the share of right answers, gradients with their norms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import Gradients, Trace, backward, evaluate, gradients
from everygrad.backprop.finite import all_finite
from everygrad.backprop.gradients import norm
from everygrad.backprop.plan import Plan
from everygrad.engines import Array, Kind, to_numpy
from everygrad.errors import NonFiniteError
from everygrad.graph import Graph, Node
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from everygrad.train.samples import Samples

EVALUATED = 1024
"""Samples in one forward pass of an evaluation: bounds the memory, whatever the size of the data."""

STEPS = 16_384
"""Steps of all its sequences together, for the same reason: every quantity of each step is kept."""

SAFE = {np.dtype(np.float32): 1e-30, np.dtype(np.float64): 1e-280}
"""Sums of squares above these have lost nothing to underflow."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The loss of a graph on batches that have been validated: no batch is validated again.

    Whatever is not finite is reported with its name, so callers silence NumPy's own warnings.

    ``constants`` are the graph's; ``judge`` is the loss node that compares the prediction with the
    target; ``averaged`` says whether the graph's output is a mean over its samples or their sum.
    """

    graph: Graph
    plan: Plan
    kind: Kind
    constants: Mapping[str, Array]
    judge: Node | None
    averaged: bool

    def trace(self, params: Mapping[str, Array], batch: Mapping[str, Array]) -> Trace:
        """The forward pass; raises `NonFiniteError` naming the quantity."""
        values = {**self.constants, **params, **batch}
        runs = evaluate(self.plan.nodes, values)
        if not all(all_finite(values[name]) for name in self.plan.looked_at):
            self._complain(params, batch)
        return Trace(self.graph, self.plan, MappingProxyType(values), self.kind, MappingProxyType(runs))

    def gradients(self, params: Mapping[str, Array], batch: Mapping[str, Array]) -> tuple[Gradients, dict[str, float]]:
        """The gradients on one batch, and the norm of each parameter's; raises as `trace` does."""
        found = backward(self.trace(params, batch), check_finite=False)
        norms = {name: quick_norm(found[name]) for name in params}
        if not all(math.isfinite(size) for size in norms.values()):
            self._complain(params, batch)
        return found, norms

    def _complain(self, params: Mapping[str, Array], batch: Mapping[str, Array]) -> None:
        """Something is not finite: the checked verbs, run again, name it."""
        gradients(self.graph, params, *(batch[name] for name in self.graph.data))
        raise NonFiniteError("all gradients are finite, but the norm of one overflows")

    def total(self, trace: Trace, mass: float) -> float:
        """Σ over the samples of their losses (weighted): what the mean over all samples is made of."""
        loss = to_numpy(trace.loss)
        return float(loss) * mass if self.averaged else float(loss.sum(dtype=np.float64))

    def right(self, trace: Trace) -> np.ndarray | None:
        """For each sample, or each of its steps, the share of its answers that are right.

        None if the loss is no classification.

        Softmax: whether the largest output is the label, or the most probable class of the target.
        Binary cross-entropy: the share of outputs on the right side of probability one half.
        """
        if self.judge is None or not isinstance(self.judge.operation, SoftmaxCrossEntropy | BinaryCrossEntropy):
            return None
        z, t = (to_numpy(trace[name]) for name in self.judge.inputs[:2])
        if isinstance(self.judge.operation, SoftmaxCrossEntropy):
            return z.argmax(-1) == (t if t.ndim < z.ndim else t.argmax(-1))
        return ((z > 0) == (t.reshape(z.shape) > 0.5)).mean(-1)

    def evaluate(self, params: Mapping[str, Array], samples: Samples) -> tuple[float, float | None]:
        """The mean loss and the mean share of right answers over all samples, or all their steps."""
        tally = Tally()
        size = min(EVALUATED, max(1, STEPS // samples.time))
        for rows in samples.batches(size, samples.rows):
            tally.add(self, self.trace(params, samples.take(rows)), samples, rows)
        return tally.loss, tally.accuracy


@final
class Tally:
    """Running sums over batches: the mean loss, the accuracy, the root mean square of the gradient norms."""

    def __init__(self) -> None:
        self.batches = 0
        self.mass = self.total = self.hits = 0.0
        self.judged = False
        self.norms: dict[str, float] = {}

    def add(self, objective: Objective, trace: Trace, samples: Samples, rows: np.ndarray) -> None:
        """One batch more."""
        mass = samples.mass(rows)
        self.batches += 1
        self.mass += mass
        self.total += objective.total(trace, mass)
        right = objective.right(trace)
        if right is not None:
            self.judged = True
            self.hits += samples.summed(right, rows)

    def add_norms(self, norms: Mapping[str, float]) -> None:
        """The gradient norms of one batch: hypot adds squares without under- or overflow."""
        self.norms = {name: math.hypot(self.norms.get(name, 0.0), size) for name, size in norms.items()}

    @property
    def loss(self) -> float:
        return self.total / self.mass

    @property
    def accuracy(self) -> float | None:
        return self.hits / self.mass if self.judged else None

    @property
    def gradient_norms(self) -> dict[str, float]:
        return {name: size / math.sqrt(self.batches) for name, size in self.norms.items()}


def judge_of(graph: Graph, prediction: str | None) -> Node | None:
    """The one loss in the graph that takes the prediction (any, if that is not known), or None."""
    losses = [
        node
        for node in graph.nodes
        if isinstance(node.operation, Loss) and (prediction is None or node.inputs[0] == prediction)
    ]
    return losses[0] if len(losses) == 1 else None


def is_averaged(graph: Graph) -> bool:
    """Whether the output is a mean over the samples, and not their sum or a number for each."""
    reductions = [getattr(node.operation, "reduction", None) for node in graph.ancestors((graph.output,))]
    summed = any(reduction is not None and reduction.batch == "sum" for reduction in reductions)
    return graph.by_name[graph.output].lead == 0 and not summed


def quick_norm(g: Array) -> float:
    """The Frobenius norm: by one dot product where that is exact, with care for tiny and huge numbers."""
    if isinstance(g, np.ndarray) and g.flags.c_contiguous:
        flat = g.reshape(-1)
        squares = float(flat @ flat)
        if SAFE.get(g.dtype, math.inf) < squares < math.inf:
            return math.sqrt(squares)
    return norm(g)
