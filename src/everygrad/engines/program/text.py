"""Lines of a recording as Python text that stands on NumPy alone."""

import keyword
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from everygrad.engines.program.primitives import PRIMITIVES
from everygrad.engines.program.recorded import Call, NotRecordableError, Operand, Value

SIGNS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@", "greater": ">", "greater_equal": ">=",
    "less": "<", "less_equal": "<=", "equal": "==", "not_equal": "!=", "bitwise_and": "&", "bitwise_or": "|",
    "**": "**",
}  # fmt: skip
"""What is written between two operands instead of NumPy's name."""
_UNARY = {"negative": "-", "invert": "~"}
_LEVELS = {"**": 5, "*": 3, "/": 3, "@": 3, "+": 2, "-": 2}
WIDEST = 110
"""Characters of a line."""
_ATOM, _SIGNED, _COMPARED = 6, 4, 1
_NUMPY = {name for name in dir(np) if not name.startswith("_")} - {"float", "bool", "int", "str", "range", "zip"}
_TAKEN = {*keyword.kwlist, *_NUMPY, "erfc", "float", "range", "zip"}


def reserved(*more: str) -> dict[str, int]:
    """The names that no variable may have, to begin with: the functions that the text calls."""
    return dict.fromkeys((*PRIMITIVES, *more), 1)


def identifier(name: str, taken: dict[str, int]) -> str:
    """A variable's name, added to ``taken``: ``"slope of h by input 0"`` -> ``slope_of_h_by_input_0``.

    ``taken``: name -> how many variables were called so before a number was added.
    """
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "v"
    if plain[0].isdigit() or plain in _TAKEN:
        plain = f"{plain}_" if not plain[0].isdigit() else f"v{plain}"
    found = plain
    while found in taken:
        taken[plain] += 1
        found = f"{plain}_{taken[plain]}"
    taken[found] = 1
    return found


class Term(str):
    """Text with how tightly it binds: `_ATOM` for a name, a number or a call."""

    level: int

    def __new__(cls, text: str, level: int) -> "Term":
        self = super().__new__(cls, text)
        self.level = level
        return self


def expression(call: Call, name: Callable[[Value], str], out: str | None = None) -> Term:
    """The right-hand side of a line; with ``out`` the whole line, which writes there."""
    if call.written == "[]":
        return Term(f"{_closed(written(call.operands[0], name), _ATOM)}[{_index(call.operands[1], name)}]", _ATOM)
    operands = [written(operand, name) for operand in call.operands]
    options = [f"{key}={written(value, name)}" for key, value in call.options]
    if out is not None:
        return Term(f"{call.written}({', '.join([*operands, *options, f'out={out}'])})", _ATOM)
    if call.written == ".T":
        return Term(f"{_closed(operands[0], _ATOM)}.T", _ATOM)
    if call.written in SIGNS and not options:
        sign = SIGNS[call.written]
        level = _LEVELS.get(sign, _COMPARED)
        left, right = _closed(operands[0], level), _closed(operands[1], level + 1)
        return Term(f"{left} {sign} {right}", level)
    if call.written in _UNARY and not options:
        return Term(_UNARY[call.written] + _closed(operands[0], _SIGNED), _SIGNED)
    return Term(f"{call.written}({', '.join([*operands, *options])})", _ATOM)


def _closed(text: str, level: int) -> str:
    """In brackets, if it binds less tightly than this."""
    own = text.level if isinstance(text, Term) else _SIGNED if text.startswith("-") else _ATOM
    return text if own >= level else f"({text})"


def _index(index: Operand, name: Callable[[Value], str]) -> str:
    return ", ".join(_part(part, name) for part in index) if isinstance(index, tuple) and index else _part(index, name)


def _part(part: Operand, name: Callable[[Value], str]) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, str(part.step)])
    return "..." if part is Ellipsis else written(part, name)


def written(operand: Operand, name: Callable[[Value], str]) -> str:
    """An operand as text."""
    if isinstance(operand, Value):
        return name(operand)
    if isinstance(operand, float):
        return repr(operand) if math.isfinite(operand) else f"float({str(operand)!r})"
    if operand is None or isinstance(operand, bool | int | str):
        return repr(operand)
    if isinstance(operand, np.dtype) or (isinstance(operand, type) and issubclass(operand, np.generic)):
        return np.dtype(operand).name
    if isinstance(operand, list):
        return f"[{', '.join(written(part, name) for part in operand)}]"
    if isinstance(operand, tuple):
        return f"({''.join(written(part, name) + ', ' for part in operand).rstrip()})"
    raise NotRecordableError(f"{type(operand).__name__} among the operands of a line")


def wrapped(line: str) -> str:
    """A line in several, each at most `WIDEST` wide where that can be: broken after a comma within brackets.

    A line with a text in it stays whole.
    """
    if "'" in line or '"' in line:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    done, rest, deeper = [], line, indent + "        "
    while len(rest) > WIDEST:
        depth, at = 0, 0
        for i, letter in enumerate(rest[:WIDEST]):
            depth += (letter in "([{") - (letter in ")]}")
            if letter == "," and depth + bool(done) > 0 and rest[i + 1 : i + 2] == " ":
                at = i + 1
        if at <= len(deeper):
            break
        done.append(rest[:at])
        rest = deeper + rest[at:].lstrip()
    return "\n".join([*done, rest])


def imports(text: str) -> str:
    """The first lines of a file with this text: what it reads of NumPy (and SciPy's erfc)."""
    words = set(re.findall(r"(?<![.\w])[a-z_]\w*", text))
    lines = [f"from numpy import ({', '.join(sorted(words & _NUMPY))})"] if words & _NUMPY else []
    lines = [wrapped(line) for line in lines]
    return "\n".join([*lines, *(["from scipy.special import erfc"] if "erfc" in words else [])])


def function_of(text: str, name: str, instead: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The function of a text; what is ``instead`` takes the place of NumPy's functions, or is there for it to call."""
    names: dict[str, Any] = dict(PRIMITIVES)
    exec(compile(text, "<straight-line code of everygrad>", "exec"), names)
    names.update(instead)
    return names[name]
