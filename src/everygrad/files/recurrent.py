"""Recurrent networks as JSON: the arguments of their constructors, and those of their cells.

A cell of one's own is a function, which a file does not hold: its graph is written instead, and played again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import fields as fields_of
from types import MappingProxyType
from typing import Any, final

from everygrad.errors import FileFormatError, InputError, UnsupportedError
from everygrad.files.document import fields, flag, items, name, number, text, whole, wrong
from everygrad.files.graphs import MAX_RANK, build_cell, describe_cell
from everygrad.files.operations import build_operation, describe_operation
from everygrad.graph import ELEMENTWISE, LOSSES, Symbol
from everygrad.graph.time import Cell as GraphCell
from everygrad.networks import GRU, LSTM, Cell, Elman, Recurrent
from everygrad.networks.arguments import activation_of
from everygrad.networks.cells import RecurrentCell

Reader = Callable[[Any, str], Any]

MAX_LAYERS = 1000


def _size(value: object, where: str) -> int:
    return whole(value, where, 1)


def _optional_size(value: object, where: str) -> int | None:
    return None if value is None else _size(value, where)


def _activation(value: object, where: str) -> Any:
    return build_operation(value, where, ELEMENTWISE)


CELLS: Mapping[str, tuple[type, Mapping[str, Reader]]] = MappingProxyType(
    {
        "elman": (Elman, {"inputs": _size, "units": _size, "activation": _activation, "bias": flag}),
        "lstm": (
            LSTM,
            {"inputs": _size, "units": _size, "projection": _optional_size, "bias": flag, "forget_bias": number},
        ),
        "gru": (GRU, {"inputs": _size, "units": _size, "reset": text, "bias": flag}),
    }
)
"""Name -> the cell, and how each argument of its constructor is read."""

OWN = "own"
"""What a cell of one's own is called there."""

NAMES = ("kind", "cell", "outputs", "read", "layers", "bidirectional", "loss", "lengths", "initial", "embedding")
NAMES += ("weighted", "remember")


def describe_recurrent(net: Recurrent) -> dict[str, Any]:
    """The network in JSON-able values; raises `UnsupportedError` for an operation that is not in the table."""
    return {
        "kind": "recurrent",
        "cell": _describe_cell(net),
        "outputs": net.outputs,
        "read": net.read,
        "layers": net.depth,
        "bidirectional": net.bidirectional,
        "loss": describe_operation(net.loss, "loss"),
        "lengths": net.lengths,
        "initial": net.initial,
        "embedding": None if net.embedding is None else list(net.embedding),
        "weighted": net.weighted,
        "remember": net.remember,
    }


def build_recurrent(value: object, where: str) -> Recurrent:
    """The network that ``value`` describes; raises `FileFormatError`, or what the constructors find."""
    found = fields(value, where, NAMES)
    lengths, embedding = found["lengths"], found["embedding"]
    return Recurrent(
        _build_cell(found["cell"], f"{where}.cell"),
        whole(found["outputs"], f"{where}.outputs", 1),
        text(found["read"], f"{where}.read"),  # type: ignore[arg-type]  # the constructor looks at it
        whole(found["layers"], f"{where}.layers", 1, MAX_LAYERS),
        flag(found["bidirectional"], f"{where}.bidirectional"),
        build_operation(found["loss"], f"{where}.loss", LOSSES),
        lengths if lengths == "mask" else flag(lengths, f"{where}.lengths"),
        flag(found["initial"], f"{where}.initial"),
        None if embedding is None else [_size(n, f"{where}.embedding") for n in items(embedding, f"{where}.embedding")],
        flag(found["weighted"], f"{where}.weighted"),
        text(found["remember"], f"{where}.remember"),  # type: ignore[arg-type]
    )


def _describe_cell(net: Recurrent) -> dict[str, Any]:
    cell = net.cell
    for called, (kind, arguments) in CELLS.items():
        if type(cell) is kind:
            values = {field.name: getattr(cell, field.name) for field in fields_of(kind)}
            if "activation" in values:
                values["activation"] = describe_operation(activation_of(values["activation"]), "activation")
            if "forget_bias" in values:
                values["forget_bias"] = float(values["forget_bias"])
            return {"name": called, **{key: values[key] for key in arguments}}
    if type(cell) is not Cell:
        raise UnsupportedError(f"a cell of the type {type(cell).__name__} cannot be saved: see eg.Cell for one's own")
    shapes = {layer.cell.inputs: layer.cell.shapes for layer in net.layers}
    return {
        "name": OWN,
        "called": str(getattr(cell.function, "__name__", "cell")),
        "states": [[state, int(size)] for state, size in cell.states.items()],
        "shapes": [[n, [[p, list(map(int, s))] for p, s in own.items()]] for n, own in shapes.items()],
        "cell": describe_cell(cell.cell),
    }


def _build_cell(value: object, where: str) -> RecurrentCell:
    called = text(value.get("name") if isinstance(value, dict) else None, f"{where}.name")
    if called == OWN:
        return _build_own(value, where)
    if called not in CELLS:
        raise wrong(f"{where}.name", f"one of {', '.join(CELLS)}, {OWN}", called)
    kind, arguments = CELLS[called]
    found = fields(value, where, ("name", *arguments))
    return kind(**{key: read(found[key], f"{where}.{key}") for key, read in arguments.items()})


def _build_own(value: object, where: str) -> Cell:
    found = fields(value, where, ("name", "called", "states", "shapes", "cell"))
    pairs = [_pair(p, f"{where}.states") for p in items(found["states"], f"{where}.states")]
    states = {name(state, f"{where}.states"): _size(size, f"{where}.states") for state, size in pairs}
    if len(states) < len(pairs):
        raise FileFormatError(f"{where}.states: a state is there twice")
    shapes = {}
    for i, pair in enumerate(items(found["shapes"], f"{where}.shapes", MAX_LAYERS)):
        inputs, own = _pair(pair, f"{where}.shapes[{i}]")
        shapes[_size(inputs, f"{where}.shapes[{i}]")] = _shapes(own, f"{where}.shapes[{i}]")
    if not shapes:
        raise FileFormatError(f"{where}.shapes is empty: the shapes of the parameters are missing")
    graph = build_cell(found["cell"], f"{where}.cell")
    played = Played(graph, name(found["called"], f"{where}.called"))
    first = next(iter(shapes))
    made = Cell(played, first, states, shapes[first] if len(shapes) == 1 else Known(shapes))
    if made.cell != graph:
        raise FileFormatError(
            f"{where}.cell: its states, {graph.states}, are not named as those of a cell, ('h', 'h_prev')"
        )
    return made


def _pair(value: object, where: str) -> list[Any]:
    found = items(value, where, 2)
    if len(found) != 2:
        raise wrong(where, "a list of two", value)
    return found


def _shapes(value: object, where: str) -> dict[str, tuple[int, ...]]:
    """Parameters with their shapes, in order (an object of JSON has none)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for pair in items(value, where):
        key, shape = _pair(pair, where)
        if name(key, where) in shapes:
            raise FileFormatError(f"{where}: the parameter {key!r} is there twice")
        shapes[key] = tuple(_size(n, where) for n in items(shape, where, MAX_RANK))
    return shapes


@final
@dataclass(frozen=True, slots=True)
class Known:
    """The shapes of a cell's parameters by the number of inputs, of the layers that were saved."""

    shapes: Mapping[int, Mapping[str, tuple[int, ...]]]

    def __call__(self, inputs: int) -> Mapping[str, tuple[int, ...]]:
        if inputs not in self.shapes:
            known = ", ".join(map(str, self.shapes))
            raise InputError(f"this cell comes from a file, which has its shapes for {known} inputs, not for {inputs}")
        return self.shapes[inputs]


@final
@dataclass(frozen=True)
class Played:
    """A cell's graph as a function of symbols: it makes the same nodes under the same names."""

    graph: GraphCell
    title: str

    @property
    def __name__(self) -> str:
        return self.title

    def __call__(self, x: Symbol, states: Mapping[str, Symbol], parameters: Mapping[str, Symbol]) -> dict[str, Symbol]:
        builder = x.builder
        before = {previous: state for state, previous in self.graph.states}
        symbols = {self.graph.input: x}
        for node in self.graph.graph.nodes:
            if node.name in before:
                symbols[node.name] = states[before[node.name]]
            elif node.role == "parameter":
                symbols[node.name] = parameters[node.name]
            elif node.constant is not None:
                symbols[node.name] = builder.given(node.name, "constant", node.constant)
            elif node.operation is not None:
                symbols[node.name] = builder.apply(node.operation, *(symbols[i] for i in node.inputs), name=node.name)
        return {state: symbols[state] for state, _ in self.graph.states}
