"""A graph in formulas: each named quantity's equation, and the routes by which one reads another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal, final

from everygrad.backprop import Trace
from everygrad.derive import expr as e
from everygrad.derive.evaluate import fraction
from everygrad.derive.expr import Expr, Name
from everygrad.derive.parse import marks, parse
from everygrad.graph import Graph, Node
from everygrad.graph.arithmetic import Arithmetic
from everygrad.graph.losses import BinaryCrossEntropy, Loss, Reduce, SoftmaxCrossEntropy
from everygrad.jacobians import Dense, Diagonal, Identity, Row, Selection, Weight

Kind = Literal["one", "diagonal", "matrix", "weight", "row", "spread", "selection", "other"]
DEEPEST = 12
"""Formulas of unnamed quantities are written out where they are used, but not deeper than this."""


@final
@dataclass(frozen=True, slots=True)
class Edge:
    """One use of a quantity: ``node`` reads it at ``slot``; what kind of derivative that has, and its formula."""

    node: str
    slot: int
    name: str
    kind: Kind
    formula: Expr


Route = tuple[Edge, ...]
"""The edges from a named quantity down to one that it reads, through quantities without a name."""


@final
@dataclass(frozen=True, eq=False)
class Written:
    """``times``: node -> (quantity, step); ``initial``: the same for states before the first step, which is step -1.

    ``named``: the nodes that have a name people know; None for all but those called after their operation.
    ``letter``: what some names are written as.
    """

    graph: Graph
    trace: Trace
    times: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    named: frozenset[str] | None = None
    letter: Mapping[str, str] = field(default_factory=dict)
    samples: int = 1
    initial: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The nodes that are written out where they are used."""
        depth: dict[str, int] = {}
        found = set()
        computed = {n.name for n in self.trace.nodes}
        for node in self.trace.nodes:
            below = [depth[name] for name in node.inputs if name in found]
            depth[node.name] = 1 + max(below, default=0)
            uses = [user for user, _ in self.graph.consumers[node.name] if user in computed]
            if node.role == "quantity" and len(uses) == 1 and depth[node.name] < DEEPEST and not self._is_named(node):
                found.add(node.name)
        return frozenset(found)

    def _is_named(self, node: Node) -> bool:
        if self.named is not None:
            return node.name in self.named
        assert node.operation is not None
        stem, _, number = re.sub(r"\[\d+\]$", "", node.name).rpartition("_")
        return not (stem.rpartition(".")[2] == node.operation.name and number.isdigit())

    @cached_property
    def shown(self) -> tuple[Node, ...]:
        """The nodes with a name, in topological order, without constants."""
        return tuple(n for n in self.trace.nodes if n.name not in self.hidden and n.role != "constant")

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a quantity of one sample."""
        return tuple(self.trace[name].shape[self.graph.by_name[name].lead :])

    def name(self, name: str) -> Name:
        """A quantity as a formula."""
        text, step = self.times.get(name) or self.initial.get(name, (name, None))
        return Name(self.letter.get(text, text), "" if step is None else str(step), (), self.shape(name))

    def plain(self, name: str) -> Expr:
        """A quantity as it appears in another one's formula: by its name, or written out."""
        constant = self.graph.by_name[name].constant
        if constant is not None:
            simple = fraction(constant)
            return e.Number(simple.numerator if simple.denominator == 1 else simple if short(simple) else constant)
        return self._trees[name] if name in self.hidden else self.name(name)

    @cached_property
    def _trees(self) -> dict[str, Expr]:
        """The formula of each computed node, in topological order: those of hidden ones are in it."""
        found: dict[str, Expr] = {}
        self.__dict__["_trees"] = found  # `plain` reads what is there already
        for node in self.trace.nodes:
            if node.operation is not None:
                found[node.name] = self._value(node)
        return found

    def formula(self, name: str) -> Expr:
        """The right-hand side of a computed quantity's equation."""
        return self._trees[name]

    def operands(self, node: Node) -> tuple[Expr, ...]:
        """The inputs in a formula; class labels as the vector that is 1 at the class."""
        found = [self.plain(name) for name in node.inputs]
        if self.one_hot(node):
            y = self.name(node.inputs[1])
            found[1] = Name(f"e_{y.text}", y.step, (), self.shape(node.inputs[0]))
        return tuple(found)

    def one_hot(self, node: Node) -> bool:
        """Whether this loss takes class labels."""
        return isinstance(node.operation, SoftmaxCrossEntropy) and self.shape(node.inputs[1]) == ()

    def _value(self, node: Node) -> Expr:
        operation, operands = node.operation, self.operands(node)
        assert operation is not None
        if isinstance(operation, Loss):
            return self._reduced(operation, operands, parse(operation.written(*marks(len(operands))), operands))
        if isinstance(operation, Reduce) and operation.reduction.batch == "mean" and self.samples == 1:
            return operands[0]
        found = parse(operation.formula(*marks(len(operands))), operands)
        vectors = all(self.shape(name) for name in node.inputs)
        if operation.name == "multiply" and vectors and isinstance(found, e.Product):
            return e.Product(found.factors, "⊙")
        return found

    def _reduced(self, operation: Loss, operands: tuple[Expr, ...], one: Expr) -> Expr:
        """The loss of one sample, and over the samples its mean or its sum."""
        reduction = operation.reduction.batch
        if len(operands) == 3:
            return e.Call("weighted " + reduction, (one, operands[2]))
        if self.samples == 1 or reduction == "none":
            return one
        total = e.Big("Σ", "n", one)
        return e.times(e.Quotient(e.ONE, Name("B")), total) if reduction == "mean" else total

    def routes(self, name: str) -> dict[str, list[Route]]:
        """What a named quantity reads: name -> the routes to it, in the order of the formula."""
        found: dict[str, list[Route]] = {}
        todo: list[tuple[str, Route]] = [(name, ())]
        while todo:
            at, route = todo.pop()
            node = self.graph.by_name[at]
            further = []
            for slot, read in enumerate(node.inputs):
                if self.graph.by_name[read].role == "constant" or not self.trace.differentiable(node, slot):
                    continue
                longer = (*route, self.edge(node, slot))
                if read in self.hidden:
                    further.append((read, longer))
                else:
                    found.setdefault(read, []).append(longer)
            todo += reversed(further)
        return found

    @cached_property
    def consumers(self) -> dict[str, list[tuple[str, Route]]]:
        """name -> (consumer, route) for each use, consumers in topological order."""
        found: dict[str, list[tuple[str, Route]]] = {node.name: [] for node in self.shown}
        for node in self.shown:
            if node.operation is not None:
                for read, routes in self.routes(node.name).items():
                    found[read] += [(node.name, route) for route in routes]
        return found

    def edge(self, node: Node, slot: int) -> Edge:
        """One use, with its derivative."""
        operation, J = node.operation, self.trace.local(node, slot)
        assert operation is not None
        operands = self.operands(node)
        formula = parse(operation.local_formula(slot, *marks(len(operands))), operands)
        kind: Kind = "other"
        if isinstance(operation, Arithmetic) and self.shape(node.inputs[slot]) != self.shape(node.name):
            kind = "spread"
        elif isinstance(J, Identity):
            kind = "one"
        elif isinstance(J, Diagonal):
            kind = "diagonal"
        elif isinstance(J, Weight) and operation.name == "affine":
            kind, formula = "weight", operands[0]
        elif isinstance(J, Dense) and operation.name == "affine":
            kind = "matrix"
        elif isinstance(J, Row):
            kind, formula = "row", self._row(operation, formula, node)
        elif isinstance(J, Selection):
            kind = "selection"
        if kind in ("diagonal", "spread") and node.name not in self.hidden:
            formula = e.replaced(formula, self._trees[node.name], self.name(node.name))  # 1 - tanh(a)² is 1 - h²
        return Edge(node.name, slot, node.inputs[slot], kind, formula)

    def _row(self, operation: object, formula: Expr, node: Node) -> Expr:
        """The derivative of a number as a vector like the quantity; with one sample without 1/B."""
        if formula == e.Transpose(e.ONE):
            return Name("1", "", (), self.shape(node.inputs[0]))  # a vector of ones
        if isinstance(formula, e.Transpose):
            return formula.of
        if not isinstance(operation, Loss | Reduce):
            return formula
        if self.samples == 1 and len(node.inputs) == 2 - isinstance(operation, Reduce):
            formula = e.replaced(formula, e.Quotient(e.ONE, Name("B")), e.ONE)
            if isinstance(formula, e.Product):
                formula = e.times(*formula.factors, sign=formula.sign)
        return formula


def short(x: Fraction) -> bool:
    """Whether a person would write it as a fraction: 1/3, but 0.1."""
    return x.denominator <= 1000 and (x * 10**6).denominator != 1


def loss_note(operation: object) -> str:
    """What is to be known about the loss in words."""
    if isinstance(operation, SoftmaxCrossEntropy):
        return "softmax and cross-entropy together, from the logits"
    return "cross-entropy of sigmoid, from the logits" if isinstance(operation, BinaryCrossEntropy) else ""
