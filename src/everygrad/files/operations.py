"""Operations as JSON, and back through the white list: the table of operations, and nothing else."""

import math
import numbers
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from everygrad.errors import EverygradError, FileFormatError, UnsupportedError
from everygrad.files.document import fields, flag, items, number, text, whole, wrong
from everygrad.graph import ELEMENTWISE, LOSSES, OPERATIONS, Operation, operation

MAX_INPUTS = 100_000


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


ATTRIBUTES: Mapping[str, Callable[[object, str], Any]] = MappingProxyType(
    {
        "alpha": number,
        "half": flag,
        "indices": _indices,
        "outputs": _one_of("sum", "mean"),
        "p": number,
        "part": _part,
        "reduction": _one_of("mean", "sum", "none"),
        "scalar": flag,
        "slope": number,
        "smoothing": number,
    }
)
"""What each attribute of any operation may be."""

ARITY: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        **dict.fromkeys(ELEMENTWISE, (1, 1)),
        **dict.fromkeys(LOSSES, (2, 3)),
        **dict.fromkeys(("add", "subtract", "multiply", "divide", "dot"), (2, 2)),
        **dict.fromkeys(("select", "flatten", "transpose", "sum"), (1, 1)),
        "affine": (2, 3),
        "concatenate": (1, MAX_INPUTS),
        "reduce": (1, 2),
    }
)
"""How many inputs each operation takes, at least and at most."""


def describe_operation(op: Operation, where: str) -> dict[str, Any]:
    """{"name", "attributes"}; raises `UnsupportedError` for an operation that the table does not give back."""
    attributes = {key: _plain(value, f"{where}: {key}") for key, value in op.attributes.items()}
    description = {"name": op.name, "attributes": attributes}
    again = None
    if op.name in OPERATIONS:
        try:
            again = build_operation(description, where)
        except FileFormatError as error:
            raise UnsupportedError(str(error)) from None
    if type(again) is not type(op):
        known = ", ".join(OPERATIONS)
        raise UnsupportedError(
            f"{where}: the operation {op.name!r} ({type(op).__qualname__}) is not in the table of operations, so a "
            f"file cannot name it. Write it with those that are: {known}; or save the parameters alone"
        )
    return description


def build_operation(value: object, where: str, table: Mapping[str, Callable[..., Operation]] = OPERATIONS) -> Operation:
    """The operation that ``value`` describes, made by the table; raises `FileFormatError`."""
    found = fields(value, where, ("name", "attributes"))
    name = text(found["name"], f"{where}.name")
    given = found["attributes"]
    if not isinstance(given, dict):
        raise wrong(f"{where}.attributes", "an object", given)
    attributes = {}
    for key, attribute in given.items():
        if key not in ATTRIBUTES:
            raise FileFormatError(f"{where}: an operation has no attribute {key[:40]!r}")
        attributes[key] = ATTRIBUTES[key](attribute, f"{where}.{key}")
    try:
        built = operation(name, table, **attributes)
    except (EverygradError, TypeError, ValueError) as error:
        raise FileFormatError(f"{where}: {error}") from None
    if dict(built.attributes) != attributes:  # a default left out, or one that contradicts another
        expected = sorted(built.attributes)
        raise FileFormatError(f"{where}: {name!r} with the attributes {sorted(attributes)}, expected {expected}")
    return built


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
    raise UnsupportedError(f"{where} is {value!r}: a file holds finite numbers, texts and lists of them")
