"""The text in the metadata: strict JSON, read value by value with the place where it stands."""

import hashlib
import json
import math
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from everygrad.errors import FileFormatError

FORMAT = "everygrad"
"""The metadata's key, and the name of the format inside."""
VERSION = 1
"""Raised when a file of a new kind could not be read by the versions before."""

MAX_BYTES = 1 << 32
"""How large a file may be, by default: 4 GiB."""
MAX_HEADER = 1 << 25
"""How large the header with all metadata may be: 32 MiB, about 100,000 nodes."""
MAX_NODES = 100_000
"""How many nodes a graph may have, and how many layers a feed-forward network."""
MAX_NAME = 200
"""How many characters a name may have."""


def write_json(value: object) -> str:
    """One text for one value: keys sorted, ASCII. Raises ValueError or TypeError for what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text; names used twice, NaN and infinity are refused, as is nesting without end."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise FileFormatError(f"{where} is not valid JSON: {reason}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)[:40]!r} is there twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def digest(document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of what a file says, so that a damaged one is never taken for another network.

    Of the document without ``sha256``, as `write_json` writes it; then for each array, sorted by name, of
    [name, dtype, shape] likewise, and of its bytes. Raises ValueError if the document is no JSON.
    """
    found = hashlib.sha256(write_json({k: v for k, v in document.items() if k != "sha256"}).encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(write_json([name, str(array.dtype), list(array.shape)]).encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def wrong(where: str, expected: str, value: object) -> FileFormatError:
    """The error for a value of another kind than expected."""
    return FileFormatError(f"{where}: expected {expected}, got {reprlib.repr(value)}")


def fields(value: object, where: str, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """An object with these fields and no others."""
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    missing = [name for name in required if name not in value]
    extra = [name[:MAX_NAME] for name in value if name not in required and name not in optional]
    if missing or extra:
        listed = [f"{name!r} is missing" for name in missing] + [f"{name!r} is unknown" for name in extra[:10]]
        raise FileFormatError(f"{where}: {', '.join(listed)}")
    return value


def items(value: object, where: str, most: int = MAX_NODES) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise wrong(where, "a list", value)
    if len(value) > most:
        raise FileFormatError(f"{where} has {len(value):,} entries, the limit is {most:,}")
    return value


def text(value: object, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise wrong(where, "a text", value)
    return value


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a quantity, if anything: it must be safe to show and to make a file name of."""
    if not name or len(name) > MAX_NAME:
        return f"a name has 1 to {MAX_NAME} characters"
    if not name.isprintable():
        return "a name has printable characters only"
    if "/" in name or "\\" in name or name in (".", "..", "__metadata__"):
        return "a name is no path and not reserved"
    return None


def name(value: object, where: str) -> str:
    """The name of a quantity."""
    found = text(value, where)
    problem = name_problem(found)
    if problem:
        raise wrong(where, f"a name ({problem})", found)
    return found


def flag(value: object, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(where, "true or false", value)
    return value


def whole(value: object, where: str, least: int = -(2**63), most: int = 2**63 - 1) -> int:
    """A whole number in this range."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        span = f" in [{least}, {most}]" if least > -(2**63) else ""
        raise wrong(where, f"a whole number{span}", value)
    return value


def number(value: object, where: str) -> float:
    """A finite number; a whole one must not be larger than floats can count (2⁶³)."""
    if not isinstance(value, float):
        return float(whole(value, where))
    if not math.isfinite(value):
        raise wrong(where, "a finite number", value)
    return value
