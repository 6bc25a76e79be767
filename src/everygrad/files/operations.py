"""Operations as JSON, and back through the white list: the table of operations, and nothing else."""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from everygrad.errors import EverygradError, FileFormatError, UnsupportedError
from everygrad.files.document import fields, flag, items, name, number, text, whole, wrong
from everygrad.graph import ELEMENTWISE, LOSSES, OPERATIONS, Operation, operation
from everygrad.graph.time import Cell, Scan

MAX_INPUTS = 100_000
MAX_UNITS = 10_000_000
"""How many units a state may have that begins at zero: these zeros are made, whatever the parameters' shapes."""


def _indices(value: object, where: str) -> list[int]:
    return [whole(v, f"{where}[{i}]") for i, v in enumerate(items(value, where, most=10_000_000))]


def _part(value: object, where: str) -> list[int | None]:
    part = [None if v is None else whole(v, f"{where}[{i}]") for i, v in enumerate(items(value, where, most=3))]
    if len(part) != 3 or part[2] == 0:
        raise wrong(where, "[start, stop, step] with a step that is not 0", value)
    return part


def _one_of(*choices: str) -> Callable[[object, str], str]:
    def choose(value: object, where: str) -> str:
        found = text(value, where)
        if found not in choices:
            raise wrong(where, " or ".join(choices), found)
        return found

    return choose


def _sizes(value: object, where: str) -> dict[str, int] | None:
    """The sizes of states, or nothing."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong(where, "an object or null", value)
    return {key: whole(size, f"{where}.{key[:40]}", 1, MAX_UNITS) for key, size in value.items()}


ATTRIBUTES: Mapping[str, Callable[[object, str], Any]] = MappingProxyType(
    {
        "alpha": number,
        "at": _one_of("all", "end"),
        "half": flag,
        "indices": _indices,
        "label": name,
        "masked": flag,
        "outputs": _one_of("sum", "mean"),
        "p": number,
        "part": _part,
        "quantity": name,
        "reduction": _one_of("mean", "sum", "none"),
        "remember": _one_of("all", "sqrt"),
        "reverse": flag,
        "scalar": flag,
        "sizes": _sizes,
        "slope": number,
        "smoothing": number,
        "step": whole,
    }
)
"""What each attribute of any operation may be; a scan's cell is the number of one of the graph's cells."""

ARITY: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(ELEMENTWISE, (1, 1)),
        **dict.fromkeys(LOSSES, (2, 3)),
        **dict.fromkeys(("add", "subtract", "multiply", "divide", "dot", "embedding", "keep_steps"), (2, 2)),
        **dict.fromkeys(("select", "flatten", "transpose", "sum", "at_step"), (1, 1)),
        "affine": (2, 3),
        "concatenate": (1, MAX_INPUTS),
        "mean_over_time": (1, 2),
        "reduce": (1, 2),
        "step_weight": (2, 3),
    }
)
"""How many inputs each operation takes, at least and at most."""


def arity(op: Operation) -> tuple[int, int]:
    """How many inputs an operation takes, at least and at most."""
    if isinstance(op, Scan):
        return len(op.slots), len(op.slots)
    return ARITY[op.name]


def describe_operation(op: Operation, where: str, cells: list[Cell] | None = None) -> dict[str, Any]:
    """{"name", "attributes"}; raises `UnsupportedError` for an operation that the table does not give back.

    ``cells``: those met so far, to which that of a scan is added; None where there can be no scan.
    """
    if isinstance(op, Scan) and cells is None:
        raise UnsupportedError(f"{where}: a scan cannot be here")
    given = {
        key: _number_of(value, cells) if isinstance(value, Cell) else value for key, value in op.attributes.items()
    }
    attributes = {key: _plain(value, f"{where}: {key}") for key, value in given.items()}
    description = {"name": op.name, "attributes": attributes}
    again = None
    if op.name in OPERATIONS:
        try:
            again = build_operation(description, where, cells=cells or ())
        except FileFormatError as error:
            raise UnsupportedError(str(error)) from None
    if type(again) is not type(op):
        known = ", ".join(OPERATIONS)
        raise UnsupportedError(
            f"{where}: the operation {op.name!r} ({type(op).__qualname__}) is not in the table of operations, so a "
            f"file cannot name it. Write it with those that are: {known}; or save the parameters alone"
        )
    return description


def _number_of(cell: Cell, cells: list[Cell] | None) -> int:
    """Which of the cells it is; a new one is added."""
    known = [] if cells is None else cells
    for i, other in enumerate(known):
        if other is cell or other == cell:
            return i
    known.append(cell)
    return len(known) - 1


def build_operation(
    value: object,
    where: str,
    table: Mapping[str, Callable[..., Operation]] = OPERATIONS,
    cells: Sequence[Cell] = (),
) -> Operation:
    """The operation that ``value`` describes, made by the table; raises `FileFormatError`."""
    found = fields(value, where, ("name", "attributes"))
    called = text(found["name"], f"{where}.name")
    given = found["attributes"]
    if not isinstance(given, dict):
        raise wrong(f"{where}.attributes", "an object", given)
    attributes: dict[str, Any] = {}
    for key, attribute in given.items():
        if key == "cell":
            attributes[key] = _cell(attribute, f"{where}.{key}", cells)
        elif key not in ATTRIBUTES:
            raise FileFormatError(f"{where}: an operation has no attribute {key[:40]!r}")
        else:
            attributes[key] = ATTRIBUTES[key](attribute, f"{where}.{key}")
    try:
        built = operation(called, table, **attributes)
    except (EverygradError, TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: {error}") from None
    if dict(built.attributes) != attributes:  # a default left out, or one that contradicts another
        expected = sorted(built.attributes)
        raise FileFormatError(f"{where}: {called!r} with the attributes {sorted(attributes)}, expected {expected}")
    return built


def _cell(value: object, where: str, cells: Sequence[Cell]) -> Cell:
    at = whole(value, where, 0)
    if at >= len(cells):
        raise FileFormatError(f"{where}: there is no cell {at}, the graph has {len(cells)}")
    return cells[at]


def _plain(value: object, where: str) -> object:
    """The value in Python's own types, as JSON has them."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(v, where) for v in value]
    if isinstance(value, dict):
        return {str(key): _plain(v, where) for key, v in value.items()}
    raise UnsupportedError(f"{where} is {value!r}: a file holds finite numbers, texts and lists of them")
