"""Random cells: short programs that run on the library's symbols and, by other functions, on torch's tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from everygrad.graph import ops
from everygrad.graph.time import Cell, cell

WITH_SYMBOLS: Mapping[str, Callable[..., Any]] = {
    "affine": lambda v, W: W @ v,
    "row product": lambda v, W: v @ W.T,
    "plus parameter": lambda v, b: v + b,
    "times parameter": lambda v, b: v * b,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "sin": ops.sin,
    "relu": ops.relu,
    "plus": lambda v, w: v + w,
    "minus": lambda v, w: v - w,
    "times": lambda v, w: v * w,
    "over": lambda v, w: v / (2.0 + ops.square(w)),
    "one minus": lambda v: 1.0 - v,
    "half": lambda v: 0.5 * v,
    "same": ops.identity,
    "turned": lambda v: ops.concatenate(v[1:], v[:1]),
    "by its sum": lambda v, w: ops.tanh(ops.sum(v)) * w,
    "by their product": lambda v, w: ops.dot(v, w) * 0.2 * v,
}


class Saturating(torch.autograd.Function):
    """tanh, whose slope torch takes as 1 − tanh², which cancels where it saturates."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a)
        return torch.tanh(a)

    @staticmethod
    def backward(ctx: Any, *g: torch.Tensor) -> torch.Tensor:
        (a,) = ctx.saved_tensors
        return g[0] / torch.cosh(a) ** 2


def tanh(a: torch.Tensor) -> torch.Tensor:
    return Saturating.apply(a)


WITH_TENSORS: Mapping[str, Callable[..., Any]] = {
    "affine": lambda v, W: v @ W.T,
    "row product": lambda v, W: v @ W.T,
    "plus parameter": lambda v, b: v + b,
    "times parameter": lambda v, b: v * b,
    "tanh": tanh,
    "sigmoid": lambda v: 0.5 + 0.5 * tanh(0.5 * v),
    "sin": torch.sin,
    "relu": torch.relu,
    "plus": lambda v, w: v + w,
    "minus": lambda v, w: v - w,
    "times": lambda v, w: v * w,
    "over": lambda v, w: v / (2.0 + w**2),
    "one minus": lambda v: 1.0 - v,
    "half": lambda v: 0.5 * v,
    "same": lambda v: v * 1.0,
    "turned": lambda v: torch.cat([v[..., 1:], v[..., :1]], -1),
    "by its sum": lambda v, w: tanh(v.sum(-1, keepdim=True)) * w,
    "by their product": lambda v, w: (v * w).sum(-1, keepdim=True) * 0.2 * v,
}
BINARY = ("plus", "minus", "times", "over", "by its sum", "by their product")
SHARED = ("affine", "row product", "plus parameter", "times parameter")


@dataclass(frozen=True)
class Line:
    """name = operation(operands); the last operand of an affine map and the like is a parameter."""

    name: str
    operation: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    lines: tuple[Line, ...]
    states: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]  # of the parameters
    units: int

    def step(self, table: Mapping[str, Callable[..., Any]], given: Mapping[str, Any], named: Any) -> None:
        """Run the lines; ``named(name, value)`` gives back what is used for it from there on."""
        known = dict(given)
        for line in self.lines:
            known[line.name] = named(line.name, table[line.operation](*(known[name] for name in line.operands)))

    def cell(self) -> Cell:
        """As the library's."""

        def function(x: Any, states: Any, parameters: Any) -> Any:
            given = {"x": x, **{f"{state}_prev": states[state] for state in self.states}}
            given |= {name: parameters[name] for name in self.shapes}
            found: dict[str, Any] = {}

            def named(name: str, symbol: Any) -> Any:
                found[name] = symbol.named(name)
                return symbol

            self.step(WITH_SYMBOLS, given, named)
            return {state: found[state] for state in self.states}

        return cell(function, self.states)


def program(seed: int) -> Program:
    """A cell with up to three states; weights and quantities may be used several times, or by nobody."""
    rng = np.random.default_rng(seed)
    units, inputs = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    states = ("s", "t", "u")[: rng.integers(1, 4)]
    shapes: dict[str, tuple[int, ...]] = {"W_in": (units, inputs)}
    lines = [Line("q0", "affine", ("x", "W_in"))]
    known = ["q0", *(f"{state}_prev" for state in states)]

    def shared(shape: tuple[int, ...]) -> str:
        old = [name for name, other in shapes.items() if other == shape and name != "W_in"]
        if old and rng.uniform() < 0.3:
            return str(rng.choice(old))
        name = f"{'b' if len(shape) == 1 else 'W'}{len(shapes)}"
        shapes[name] = shape
        return name

    for i in range(1, rng.integers(2, 14)):
        operation = str(rng.choice([o for o in WITH_SYMBOLS if units > 1 or o != "turned"]))
        operands = [str(rng.choice(known))]
        if operation in BINARY:
            operands.append(str(rng.choice(known)))
        if operation in SHARED:
            operands.append(shared((units,) if "parameter" in operation else (units, units)))
        lines.append(Line(f"q{i}", operation, tuple(operands)))
        known.append(f"q{i}")
    for state in states:  # bounded, so that nothing leaves the range of numbers
        lines.append(Line(state, str(rng.choice(["tanh", "sin", "sigmoid"])), (str(rng.choice(known)),)))
    if rng.uniform() < 0.3:  # something after the states that no later step needs
        lines.append(Line("read", "times", (states[0], str(rng.choice(known)))))
    return Program(tuple(lines), states, shapes, units)
