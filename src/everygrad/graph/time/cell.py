"""A cell: the small graph that a recurrent network runs at each time step."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

from everygrad.errors import InputError, all_mismatches
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.graph import Graph, Node
from everygrad.graph.symbol import Builder, Symbol

PREVIOUS = "_prev"
"""What the name of a previous state ends in: ``h_prev`` is the state before the step, ``h`` the one after it."""


@final
@dataclass(frozen=True)
class Cell:
    """One time step: from an input and the states before it to the states after it.

    ``graph``: its first data node is the input, the others are the previous states; its parameters are shared
    by all steps. ``states``: for each state the names of (the quantity after the step, the data node before it).
    """

    graph: Graph
    states: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        problems = []
        for node in self.graph.nodes:
            if node.operation is not None and node.lead == 0 and any(node.leads):
                problems.append(f"{node.name!r} mixes the samples of a batch ({node.operation.name}): a cell must not")
            if node.role == "data" and node.lead != 1:
                problems.append(f"{node.name!r} has {node.lead} leading axes: a cell sees one step of each sample")
        if not self.states:
            problems.append("a cell needs at least one state: without one, nothing is carried from step to step")
        computed = {node.name for node in self.graph.nodes if node.operation is not None and node.lead}
        for name in (name for name, _ in self.states if name not in computed):
            problems.append(f"the state {name!r} after the step is not computed by the cell for each sample")
        if any(len(set(names)) < len(names) for names in zip(*self.states, strict=True)):
            problems.append(f"two states have one name: {self.states}")
        if not self.graph.data or set(self.graph.data[1:]) != {previous for _, previous in self.states}:
            problems.append(
                f"the data of the graph, {list(self.graph.data)}, must be the input and the previous states"
            )
        all_mismatches("the cell", problems)

    @property
    def input(self) -> str:
        """The name of the input."""
        return self.graph.data[0]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return self.graph.parameters

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """The names of what has a value at each step and a name of its own: states, gates, pre-activations."""
        return tuple(n.name for n in self.graph.nodes if n.operation is not None and n.lead and self._named(n))

    def _named(self, node: Node) -> bool:
        assert node.operation is not None
        stem, _, number = node.name.rpartition("_")
        return not (stem == node.operation.name and number.isdigit())


@final
class Given:
    """The states or the parameters of a cell while its function runs: ``p.W``, ``p["W"]``, ``h, c = states``."""

    def __init__(self, make: Callable[[str], Symbol], names: Sequence[str] | None, what: str) -> None:
        self._make = make
        self._names = names
        self._what = what
        self._made: dict[str, Symbol] = {}

    def __getitem__(self, name: str) -> Symbol:
        if not isinstance(name, str) or (self._names is not None and name not in self._names):
            known = "" if self._names is None else f": the cell was given {', '.join(self._names)}"
            raise InputError(f"no {self._what} is named {name!r}{known}")
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[Symbol]:
        if self._names is None:
            raise InputError(f"the {self._what}s of a cell are taken by name: parameters.W or parameters['W']")
        return iter([self[name] for name in self._names])

    def __len__(self) -> int:
        return len(self._made if self._names is None else self._names)


def cell(function: Callable[[Symbol, Any, Any], Any], states: Sequence[str] = ("h",)) -> Cell:
    """The cell of an ordinary Python function ``(x, states, parameters) -> states``.

    ``x`` is the input of one step; ``states.h`` (or ``states["h"]``, or ``h, c = states``) the states before it;
    ``parameters.W`` a parameter, made at its first use. The function returns the states after the step: one
    symbol, a tuple in the order of ``states``, or a dict by name::

        def leaky(x, states, parameters):
            p = parameters
            a = p.U @ x + p.b + p.W @ states.h
            return 0.9 * states.h + 0.1 * eg.ops.tanh(a)

    Quantities take the names of the function's local variables (``a``), states those given in ``states``.
    Raises `InputError` for a wrong number of states, foreign objects, or a name used twice.
    """
    names = tuple(states)
    wrong = [n for n in names if not isinstance(n, str) or not n.isidentifier()]
    if wrong or not names or len(set(names)) < len(names):
        raise InputError(f"states must be different names like ('h', 'c'), got {states!r}")
    builder = Builder(getattr(inspect.unwrap(function), "__code__", None))
    x = builder.given("x", "data")
    before = {name: builder.given(name + PREVIOUS, "data") for name in names}
    given = Given(before.__getitem__, names, "state")

    def parameter(name: str) -> Symbol:
        if name in (*names, *before, "x"):
            raise InputError(f"{name!r} is a state or the input of the cell: give the parameter another name")
        return builder.given(name, "parameter")

    parameters = Given(parameter, None, "parameter")
    after = _after(function(x, given, parameters), names)
    for name, symbol in after.items():
        record = builder.nodes[symbol.position]
        if record["role"] != "quantity" or record["name"] in (set(names) - {name}):  # it has a name already: a copy
            after[name] = symbol = builder.apply(Elementwise("identity"), symbol)
        symbol.named(name)
    builder.name_by_variables()
    last = after[names[-1]]
    graph = builder.graph(last)
    return Cell(graph, tuple((name, name + PREVIOUS) for name in names))


def _after(result: Any, names: tuple[str, ...]) -> dict[str, Symbol]:
    if isinstance(result, Symbol):
        result = (result,)
    if isinstance(result, Mapping):
        if set(result) != set(names):
            raise InputError(f"the cell returned the states {sorted(map(str, result))}, expected {sorted(names)}")
        result = tuple(result[name] for name in names)
    if not isinstance(result, tuple | list) or not all(isinstance(s, Symbol) for s in result):
        raise InputError(f"a cell returns its states (symbols) after the step, got {result!r}")
    if len(result) != len(names):
        raise InputError(f"the cell returned {len(result)} states, expected {len(names)}: {', '.join(names)}")
    return dict(zip(names, result, strict=True))
