"""A user's own cell: any function of symbols."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, final

from everygrad.errors import InputError, all_mismatches
from everygrad.graph import Shape, ShapeProblem
from everygrad.graph import time as graph_time
from everygrad.networks.arguments import count_problems, is_count
from everygrad.networks.cells.base import RecurrentCell

Shapes = Mapping[str, Sequence[int]]
Function = Callable[[Any, Any, Any], Any]


@final
@dataclass(frozen=True, init=False, eq=False)
class Cell(RecurrentCell):
    """A cell of one's own, ``function(x, states, parameters) -> states``, with any number of states.

    ::

        def leaky(x, states, parameters):
            p = parameters
            a = p.U @ x + p.b + p.W @ states.h
            return 0.9 * states.h + 0.1 * eg.ops.tanh(a)

        eg.Cell(leaky, inputs=8, states={"h": 32}, parameters={"U": (32, 8), "b": (32,), "W": (32, 32)})

    ``states``: name -> size, in the order in which the function returns them; the first is what the next layer and the
    read-out see. ``parameters``: name -> shape; a function of the number of inputs if the layers above the first are to
    have this cell too (``lambda inputs: {"U": (32, inputs), ...}``). Quantities take the names of the function's local
    variables. Raises `InputError` if names or shapes do not fit the function.
    """

    function: Function
    sizes: Mapping[str, int]
    given: Shapes | Callable[[int], Shapes]

    def __init__(
        self,
        function: Function,
        inputs: int,
        states: Mapping[str, int],
        parameters: Shapes | Callable[[int], Shapes] = MappingProxyType({}),
    ) -> None:
        problems = count_problems(inputs=inputs)
        if not callable(function):
            problems.append(f"function={function!r}: expected a function (x, states, parameters) -> states")
        if not isinstance(states, Mapping) or not states:
            problems.append(f"states={states!r}: expected at least one, by name with its size: {{'h': 32}}")
        else:
            problems += count_problems(**{f"states[{name!r}]": size for name, size in states.items()})
        if not isinstance(parameters, Mapping) and not callable(parameters):
            problems.append(
                f"parameters={parameters!r}: expected shapes by name, or a function of the number of inputs"
            )
        all_mismatches("Cell", problems)
        fields = {
            "function": function,
            "inputs": int(inputs),
            "units": int(next(iter(states.values()))),
            "sizes": MappingProxyType(dict(states)),
            "given": parameters,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        all_mismatches("Cell", _shape_problems(self._given_shapes))
        all_mismatches("Cell", self._mismatches())

    @property
    def states(self) -> Mapping[str, int]:
        return self.sizes

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return MappingProxyType({name: tuple(int(n) for n in shape) for name, shape in self._given_shapes.items()})

    @property
    def _given_shapes(self) -> Shapes:
        return self.given(self.inputs) if callable(self.given) else self.given

    @cached_property
    def cell(self) -> graph_time.Cell:
        """The function as a graph, in which its local variables name the quantities."""
        return graph_time.cell(self.function, tuple(self.states))

    def step(self, x: Any, states: Any, p: Any) -> Any:
        return self.function(x, states, p)

    def with_inputs(self, inputs: int) -> "Cell":
        if inputs != self.inputs and not callable(self.given):
            raise InputError(
                f"the shapes of this cell's parameters are for {self.inputs} inputs, the layers above the first have "
                f"{inputs}: give parameters as a function, lambda inputs: {{'U': (32, inputs), ...}}"
            )
        return Cell(self.function, inputs, self.states, self.given)

    def _mismatches(self) -> list[str]:
        """Names and shapes against what the function uses."""
        graph, shapes = self.cell.graph, self.shapes
        problems = [
            f"the function uses the parameter {n!r}: give its shape" for n in graph.parameters if n not in shapes
        ]
        problems += [f"the function does not use the parameter {n!r}" for n in shapes if n not in graph.parameters]
        known: dict[str, Shape] = {**shapes, self.cell.input: (self.inputs,)}
        known |= {previous: (self.states[name],) for name, previous in self.cell.states}
        for node in graph.nodes:
            if node.constant is not None:
                known[node.name] = ()
            elif node.operation is not None and all(i in known for i in node.inputs):
                try:
                    known[node.name] = node.operation.shape([known[i] for i in node.inputs], node.leads)
                except ShapeProblem as problem:
                    problems.append(f"{node.name!r} from ({', '.join(node.inputs)}): {problem}")
        for name, size in self.states.items():
            if known.get(name, (size,)) != (size,):
                problems.append(
                    f"the state {name!r} has {size} units, but the function gives it the shape {known[name]}"
                )
        return problems

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.states.items())
        return f"{getattr(self.function, '__name__', 'cell')} {self.inputs}-({sizes})"


def _shape_problems(shapes: Shapes) -> list[str]:
    if not isinstance(shapes, Mapping):
        return [f"parameters(inputs) gave {shapes!r}: expected shapes by name"]
    return [
        f"the shape of {name!r} is {shape!r}: expected a tuple of whole numbers of at least 1"
        for name, shape in shapes.items()
        if not isinstance(shape, tuple | list) or not all(is_count(n) for n in shape)
    ]
