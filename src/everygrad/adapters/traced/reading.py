"""A traced module, read node by node into a graph; everything without a counterpart is collected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import fx, nn

from everygrad.adapters.torch_parts import RECURRENT, known_kind, problems_of, shown
from everygrad.adapters.traced.building import Building, Cells
from everygrad.adapters.traced.functions import gives_its_own, handler, is_arithmetic, works_in_place
from everygrad.adapters.traced.modules import called
from everygrad.adapters.traced.recurrent import given_states
from everygrad.adapters.traced.tracing import Traced, place, problem
from everygrad.adapters.traced.values import (
    ANYTHING,
    BATCH,
    TIME,
    Axis,
    Held,
    Refused,
    Value,
    array_of,
    described,
    what_is,
)
from everygrad.errors import EverygradError
from everygrad.graph import Symbol

NOTHING = object()
"""What stands for the result of what was refused: its users are not reported again."""

AXES = {"b": BATCH, "t": TIME, "i": Axis("features"), "1": Axis("stack", 1)}
"""The letters of ``axes=``; ``"b*"`` is (batch, any axes of features)."""


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a traced module, by the axes of its inputs: the graph, what the module gives, the problems.

    ``lost``: how many operations could not be read, those included that only follow from others.
    """

    building: Building
    output: Symbol | None
    data: tuple[str, ...]
    problems: tuple[str, ...]
    lost: int

    @property
    def lead(self) -> int:
        """How many axes lead in what the module gives."""
        return 1 if self.output is None else self.building.builder.nodes[self.output.position]["lead"]


@final
class Reader:
    """Reads a traced module under some axes of its inputs."""

    def __init__(self, model: nn.Module, traced: Traced, alone: str | None = None) -> None:
        self.alone = alone  # the path of the one module that is the model itself
        self.traced = traced
        self.nodes = _needed(traced.nodes)
        self.modules = {str(n.target): model.get_submodule(str(n.target)) for n in self.nodes if n.op == "call_module"}
        self.inputs = [node for node in self.nodes if node.op == "placeholder"]
        self.states = self._initial_states()
        self._cells = Cells()
        dtypes = {p.dtype for p in model.parameters()}
        self._dtype = next(iter(dtypes)) if len(dtypes) == 1 else None

    @property
    def open(self) -> list[fx.Node]:
        """The inputs whose axes do not follow from their use."""
        return [node for node in self.inputs if node not in self.states]

    @property
    def tokens(self) -> list[bool]:
        """Whether each open input is used as tokens, by an Embedding."""
        modules = [[self.modules.get(str(user.target)) for user in node.users] for node in self.open]
        return [any(m is not None and known_kind(m) is nn.Embedding for m in found) for found in modules]

    @property
    def batch_firsts(self) -> list[bool]:
        """``batch_first`` of the recurrent modules that are used."""
        return [bool(getattr(m, "batch_first", False)) for m in self._recurrent()]

    def read(self, axes: Mapping[str, str]) -> Reading:
        """Read with these letters for the axes of each open input."""
        self._building = building = Building(self._cells, self._paths(), self._dtype)
        self._known: dict[fx.Node, Any] = {}
        problems = list(self.traced.problems)
        for node in self.nodes:
            try:
                self._known[node] = self._result(node, axes)
            except (Refused, EverygradError) as error:
                self._known[node] = NOTHING
                problems.append(self._said(node, str(error)))
        lost = sum(result is NOTHING for result in self._known.values())
        data = tuple(record["name"] for record in building.builder.nodes if record["role"] == "data")
        output = self._known[self.nodes[-1]] if self.nodes and self.nodes[-1].op == "output" else NOTHING
        return Reading(
            building, output if isinstance(output, Symbol) else None, data, tuple(dict.fromkeys(problems)), lost
        )

    def _result(self, node: fx.Node, axes: Mapping[str, str]) -> Any:
        if node.op == "placeholder":
            return self._input(node, axes)
        if node.op == "get_attr":
            found, name = self.traced.held[str(node.target)], str(node.target)
            return Held(found, name if isinstance(found, nn.Parameter) else None) if torch.is_tensor(found) else found
        args, kwargs = self._arguments(node.args), self._arguments(node.kwargs)
        if node.op == "output":
            return self._output(args[0])
        if node.op == "call_module":
            return self._module(node, args, kwargs)
        if is_arithmetic(node.target) and all(a is None or isinstance(a, int | float | str) for a in args):
            return node.target(*args)  # type: ignore[operator]  # a function, not the name of a method
        if works_in_place(node.target, node.kwargs):
            self._alone(node)
        call = handler(node.target)
        return NOTHING if _contains_nothing(args, kwargs) else call(self._building, args, kwargs)

    def _module(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = str(node.target)
        module = self.modules[path]
        problems = problems_of(module)
        if problems:
            raise Refused("; ".join(problems))
        if getattr(module, "inplace", False):
            self._alone(node)
        if _contains_nothing(args, kwargs):
            return NOTHING
        return called(self._building, module, "" if path == self.alone else path, args, kwargs)

    def _alone(self, node: fx.Node) -> None:
        """Raise `Refused` if what is changed in place may be read elsewhere, where torch would see the change."""
        changed = node.all_input_nodes[0]
        while True:
            if len(changed.users) > 1 or changed.op == "get_attr":
                text = "it changes in place what is used elsewhere too: write it without inplace=True, += or relu_()"
                raise Refused(text)
            module = self.modules[str(changed.target)] if changed.op == "call_module" else None
            if not changed.all_input_nodes or gives_its_own(changed.target if module is None else module):
                return
            changed = changed.all_input_nodes[0]

    def _input(self, node: fx.Node, axes: Mapping[str, str]) -> Value:
        name = str(node.target)
        given = self._building.builder.given
        if node in self.states:
            count, size, endings = self.states[node]
            names = [name] if count == 1 else [name + ending for ending in endings]
            symbols = array_of([given(self._building.name(n), "data") for n in names], (count,))
            return Value(symbols, (Axis("stack", count), BATCH, Axis("features", size)))
        letters = axes[name]
        if len(self.inputs) == 1 and name != "x":
            self._building.alias(name, "x")
            name = "x"
        found = (BATCH, ANYTHING) if letters == "b*" else tuple(AXES[letter] for letter in letters)
        symbol = given(self._building.name(name), "data", lead=2 if "t" in letters else 1)
        return Value(array_of([symbol], (1,) * letters.count("1")), found, raw=not {"i", "*"} & set(letters))

    def _output(self, result: Any) -> Any:
        """The prediction: the first of several results."""
        while isinstance(result, tuple | list) and result:
            result = result[0]
        if result is NOTHING:
            return NOTHING
        if not isinstance(result, Value):
            raise Refused(f"a tensor that depends on the data is expected, or a tuple of them, got {what_is(result)}")
        order = [axis.kind for axis in result.axes if axis.kind != "time"]
        if "stack" in order or order[:1] not in (["batch"], ["batch x time"], ["time x batch"]):
            came = described(result.axes)
            raise Refused(f"the axes of the output are {came}, expected samples (and steps) and features")
        return self._building.vectors(result).symbol

    def _recurrent(self) -> dict[nn.Module, str]:
        """The recurrent modules that are used, with their paths."""
        return {m: path for path, m in self.modules.items() if known_kind(m) in RECURRENT}

    def _initial_states(self) -> dict[fx.Node, tuple[int, int, list[str]]]:
        """The inputs that are initial states of recurrent modules: how many, of which size, and their endings."""
        found = {}
        for node in self.nodes:
            module = self.modules[str(node.target)] if node.op == "call_module" else None
            if module in self._recurrent():
                hx = node.args[1] if len(node.args) > 1 else node.kwargs.get("hx")
                for state, given in zip("hc", hx if isinstance(hx, tuple | list) else (hx,), strict=False):
                    if isinstance(given, fx.Node) and given.op == "placeholder":
                        found[given] = given_states(module, state)
        return found

    def _paths(self) -> dict[nn.Module, str]:
        """What the names of each recurrent module's quantities carry: its path, if there are several."""
        recurrent = self._recurrent()
        if len(recurrent) == 1:
            return dict.fromkeys(recurrent, "")
        stems: dict[nn.Module, str] = {}
        for m, path in recurrent.items():
            stem = "_" + path.replace(".", "_")
            while stem in stems.values():
                stem += "_"
            stems[m] = stem
        return stems

    def _arguments(self, given: Any) -> Any:
        """What is known of the nodes among torch.fx's nested arguments."""
        if isinstance(given, fx.Node):
            return self._known[given]
        if isinstance(given, tuple | list):
            found = [self._arguments(value) for value in given]
            return tuple(found) if isinstance(given, tuple) else found
        if isinstance(given, Mapping):
            return {key: self._arguments(value) for key, value in given.items()}
        if isinstance(given, slice):
            return slice(*map(self._arguments, (given.start, given.stop, given.step)))
        return given

    def _said(self, node: fx.Node, text: str) -> str:
        path, line = place(node)
        return problem("" if path == self.alone else path, self._what(node), text, line)

    def _what(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return shown(self.modules[str(node.target)])
        if node.op == "call_method":
            return f".{node.target}()"
        if node.target is getattr:
            return f".{node.args[1]}"
        name = getattr(node.target, "__name__", str(node.target))
        return f"torch.{name}" if getattr(torch, name, None) is node.target else name


def _needed(nodes: Sequence[fx.Node]) -> list[fx.Node]:
    """The nodes that the output depends on; all of them if tracing ended before. Work in place is never left out."""
    if not nodes or nodes[-1].op != "output":
        return list(nodes)
    needed = {nodes[-1]}
    for node in reversed(nodes):
        if node in needed or (node.op in ("call_function", "call_method") and works_in_place(node.target, node.kwargs)):
            needed.update((node, *node.all_input_nodes))
    return [node for node in nodes if node in needed]


def _contains_nothing(*given: Any) -> bool:
    todo = list(given)
    while todo:
        item = todo.pop()
        if item is NOTHING:
            return True
        if isinstance(item, tuple | list):
            todo.extend(item)
        elif isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, slice):
            todo.extend((item.start, item.stop, item.step))
    return False
