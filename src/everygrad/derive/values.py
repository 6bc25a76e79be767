"""The numbers of a derivation: those of the library's pass, or exact fractions from the formulas themselves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients
from everygrad.checks.tolerance import EXACT, relative_error
from everygrad.derive import expr as e
from everygrad.derive.evaluate import evaluate, fractions
from everygrad.derive.written import Edge, Route, Written
from everygrad.errors import CheckFailed, UnsupportedError
from everygrad.graph import Node
from everygrad.graph.losses import Loss, Reduce


class Numbers(ABC):
    """Values and gradients of one sample (of parameters: of all), and what the routes of a graph do to numbers."""

    def __init__(self, written: Written, gradients: Gradients, sample: int) -> None:
        self.written, self.gradients, self.sample = written, gradients, sample
        self.trace = gradients.trace

    def of_samples(self, name: str) -> bool:
        """Whether a quantity has a value for each sample."""
        return self.trace.graph.by_name[name].lead > 0

    @abstractmethod
    def value(self, name: str, sample: int | None = None) -> Any:
        """The value of a quantity, of this sample or another one."""

    @abstractmethod
    def gradient(self, name: str, sample: int | None = None) -> Any:
        """Its gradient."""

    @abstractmethod
    def push(self, edge: Edge, t: Any, sample: int) -> Any:
        """∂node/∂input t of one edge."""

    @abstractmethod
    def pull(self, edge: Edge, g: Any, sample: int) -> Any:
        """(∂node/∂input)ᵀ g of one edge."""

    def column(self, route: Route, index: tuple[int, ...], sample: int) -> Any:
        """∂u/∂v[index] for all components of u: one column of the Jacobian along a route."""
        v = route[-1].name
        t = np.array(0 * np.asarray(self.value(v, sample)))
        t[index] = t[index] + 1
        for edge in reversed(route):
            t = self.push(edge, t, sample)
        return t

    def term(self, route: Route, g: Any, sample: int) -> Any:
        """What a route adds to the gradient of what it reads, of one sample."""
        for edge in route:
            g = self.pull(edge, g, sample)
        return g

    def environment(self, names: set[tuple[str, str]], sample: int) -> dict[tuple[str, str], Any]:
        """(text, step) -> value, for the names of formulas."""
        return {key: self.value(node, sample) for key, node in self.nodes.items() if key in names} | {
            key: made for key, made in self._one_hot(sample).items() if key in names
        }

    @cached_property
    def nodes(self) -> dict[tuple[str, str], str]:
        """(text, step) of a name -> its node."""
        found = {}
        for node in self.written.shown:
            name = self.written.name(node.name)
            found[name.text, name.step] = node.name
        return found

    def _one_hot(self, sample: int) -> dict[tuple[str, str], Any]:
        found = {}
        for node in self.trace.nodes:
            if self.written.one_hot(node):
                name = self.written.operands(node)[1]
                assert isinstance(name, e.Name)
                made = np.zeros(self.written.shape(node.inputs[0]))
                made[int(self.trace[node.inputs[1]][sample])] = 1.0
                found[name.text, name.step] = made
        return found


@final
class Library(Numbers):
    """The numbers of the library's own pass."""

    def value(self, name: str, sample: int | None = None) -> Any:
        array = self.trace[name]
        return array[self.sample if sample is None else sample] if self.of_samples(name) else array

    def gradient(self, name: str, sample: int | None = None) -> Any:
        array = self.gradients[name]
        return array[self.sample if sample is None else sample] if self.of_samples(name) else array

    def push(self, edge: Edge, t: Any, sample: int) -> Any:
        return self._local(edge, sample).push(t)

    def pull(self, edge: Edge, g: Any, sample: int) -> Any:
        return self._local(edge, sample).pull(g)

    def _local(self, edge: Edge, sample: int) -> Any:
        J = self.trace.local(self.trace.graph.by_name[edge.node], edge.slot)
        return J.sample(sample) if J.batch else J


@final
class Exact(Numbers):
    """Fractions: every value from its equation, every gradient from the printed formula of its terms.

    Floating-point numbers are taken as they are written: 0.1 is 1/10. Raises `UnsupportedError` with all quantities
    whose operations leave the rational numbers, and `CheckFailed` if a fraction is not the library's number.
    """

    def __init__(self, written: Written, gradients: Gradients, sample: int, seed: Any) -> None:
        super().__init__(written, gradients, sample)
        self.count = max((len(self.trace[n.name]) for n in self.trace.nodes if n.lead), default=1)
        self.values: dict[str, list[Any]] = {}
        self.found: dict[str, list[Any]] = {}
        self._forward()
        self._backward(fractions(seed))
        for name, rows in (*self.values.items(), *self.found.items()):
            of = self.trace if rows is self.values.get(name) else gradients
            mine = np.asarray([np.asarray(r, float) for r in rows] if self.of_samples(name) else rows[0], float)
            if relative_error(mine, np.asarray(of[name], float)) > 100 * EXACT:
                raise CheckFailed(f"the fractions of {name!r} are not the library's numbers: {mine} and {of[name]}")

    def value(self, name: str, sample: int | None = None) -> Any:
        return self._of(self.values[name], sample)

    def gradient(self, name: str, sample: int | None = None) -> Any:
        return self._of(self.found[name], sample)

    def _of(self, rows: list[Any], sample: int | None) -> Any:
        return rows[(self.sample if sample is None else sample) if len(rows) > 1 else 0]

    def push(self, edge: Edge, t: Any, sample: int) -> Any:
        f = self._factor(edge, sample)
        node = self.trace.graph.by_name[edge.node]
        match edge.kind:
            case "one":
                return t
            case "diagonal" | "spread":
                return f * t + 0 * self.value(edge.node, sample)
            case "matrix":
                return f @ t
            case "weight":
                return t @ f
            case "row":
                return np.sum(f * t)
            case "selection":
                return self._picked(node, edge.slot, t)
        raise AssertionError(edge.kind)  # refused in `_forward`

    def pull(self, edge: Edge, g: Any, sample: int) -> Any:
        f = self._factor(edge, sample)
        match edge.kind:
            case "one":
                return g
            case "diagonal":
                return f * g
            case "spread":
                shape = self.written.shape(edge.name)
                whole = np.asarray(f * g)
                axes = tuple(i for i in range(whole.ndim) if i >= len(shape) or shape[i] == 1)
                return np.sum(whole, axis=axes).reshape(shape) if shape else np.sum(whole)
            case "matrix":
                return f.T @ g
            case "weight":
                return np.multiply.outer(g, f)
            case "row":
                return g * f
            case "selection":
                node = self.trace.graph.by_name[edge.node]
                index = np.arange(int(np.prod(self.written.shape(edge.name), dtype=int)))
                picked = self._positions(node, edge.slot, index.reshape(self.written.shape(edge.name)))
                out = fractions(np.zeros(index.size))
                for p, q in enumerate(picked.ravel()):
                    if q >= 0:
                        out[q] = out[q] + np.ravel(g)[p]
                return out.reshape(self.written.shape(edge.name))
        raise AssertionError(edge.kind)

    def _positions(self, node: Node, slot: int, index: np.ndarray) -> np.ndarray:
        """Where each component of the output comes from in this input; -1 for another input."""
        assert node.operation is not None
        xs = [np.full(self.written.shape(name), -1) for name in node.inputs]
        xs[slot] = index
        return np.asarray(node.operation.value(xs, tuple(0 for _ in xs)))

    def _picked(self, node: Node, slot: int, t: Any) -> Any:
        index = np.arange(np.size(t)).reshape(np.shape(t))
        positions = self._positions(node, slot, index)
        flat = np.append(np.ravel(t), fractions(np.zeros(1)))
        return flat[positions]

    def _factor(self, edge: Edge, sample: int) -> Any:
        scalars = {("B", ""): fractions(self.count)[()]}
        scalars[("K", "")] = fractions(max(self.written.shape(edge.name), default=1))[()]
        scalars[("1", "")] = fractions(np.ones(self.written.shape(edge.name)))
        names = {(n.text, n.step) for n in e.walk(edge.formula) if isinstance(n, e.Name)}
        if edge.kind in ("one", "selection"):
            return None
        return evaluate(edge.formula, {**scalars, **self.environment(names, sample)}, exact=True)

    def _forward(self) -> None:
        problems = []
        for node in self.trace.nodes:
            array = self.trace[node.name]
            if node.operation is None:
                self.values[node.name] = [fractions(row) for row in array] if node.lead else [fractions(array)[()]]
                continue
            if any(name not in self.values for name in node.inputs):
                continue
            try:
                rows = [self._computed(node, n) for n in range(self.count if max(node.leads) else 1)]
                if any(edge.kind == "other" for edge in self._edges(node)):
                    raise UnsupportedError("its derivative is not written with fractions")
            except UnsupportedError as error:
                problems.append(f"{node.name!r} ({node.operation.name}): {error}")
                continue
            if node.lead or not max(node.leads):
                self.values[node.name] = rows
            else:  # the samples are reduced
                mean = getattr(node.operation, "reduction", None)
                total = sum(rows)
                self.values[node.name] = [total / self.count if mean is not None and mean.batch == "mean" else total]
        if problems:
            listed = "\n  - ".join(problems)
            raise UnsupportedError(
                f"exact fractions need operations that are rational:\n  - {listed}\n"
                "Take identity or relu with loss='squared_error', or leave exact out"
            )

    def _edges(self, node: Node) -> list[Edge]:
        constants = {n.name for n in self.trace.nodes if n.role == "constant"}
        return [
            self.written.edge(node, slot)
            for slot, name in enumerate(node.inputs)
            if name not in constants and self.trace.differentiable(node, slot)
        ]

    def _computed(self, node: Node, sample: int) -> Any:
        """The value of one sample, from the formula of the operation alone."""
        from everygrad.derive.parse import marks, parse

        operation = node.operation
        assert operation is not None
        if isinstance(operation, Loss | Reduce) and len(node.inputs) > 2 - isinstance(operation, Reduce):
            raise UnsupportedError("sample weights")
        operands = [e.Name(str(i)) for i in range(len(node.inputs))]
        text = operation.written if isinstance(operation, Loss) else operation.formula
        tree = parse(text(*marks(len(operands))), operands)
        given: dict[tuple[str, str], Any] = {}
        for i, name in enumerate(node.inputs):
            given[str(i), ""] = self._of(self.values[name], sample)
        given["K", ""] = fractions(max(self.written.shape(node.inputs[0]), default=1))[()]
        return evaluate(tree, given, exact=True)

    def _backward(self, seed: Any) -> None:
        of = self.gradients.of
        self.found[of] = [seed[i] for i in range(self.count)] if self.of_samples(of) else [seed[()]]
        for node in reversed(self.trace.nodes):
            if node.operation is None or node.name not in self.found:
                continue
            for edge in self._edges(node):
                own = self.of_samples(edge.name)
                for n in range(self.count if max(node.leads) else 1):
                    term = self.pull(edge, self._of(self.found[node.name], n), n)
                    rows = self.found.setdefault(edge.name, [0] * (self.count if own else 1))
                    at = n if own else 0
                    rows[at] = rows[at] + term

    def environment(self, names: set[tuple[str, str]], sample: int) -> Mapping[tuple[str, str], Any]:  # type: ignore[override]
        found = dict(super().environment(names, sample))
        return {key: fractions(array) if np.asarray(array).dtype != object else array for key, array in found.items()}
