"""Arrays as formulas, and formulas with their numbers put in."""

from fractions import Fraction
from typing import Any

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Name
from everygrad.derive.records import Inline
from everygrad.derive.setting import Setting

MOST = 8
"""Rows and columns that are written; of more the first and the last."""


def number(x: Any) -> e.Number:
    """One number."""
    if isinstance(x, Fraction):
        return e.Number(x.numerator if x.denominator == 1 else x)
    if isinstance(x, int | np.integer):
        return e.Number(int(x))
    return e.Number(float(x))


def array(a: Any) -> Expr:
    """A number, a column or a matrix; large ones without their middle. Whole numbers (labels) as they are."""
    a = np.asarray(a)
    if a.ndim == 0:
        return number(a[()])
    if a.ndim == 1:
        return e.Matrix(tuple((entry,) for entry in _some([number(x) for x in a])), True)
    if a.ndim == 2:
        rows = [tuple(_some([number(x) for x in row])) for row in a]
        return e.Matrix(tuple(_some(rows, (e.GAP,) * len(rows[0]) if rows else ())), False)
    return e.Words(f"an array of {times(a.shape)} numbers")


def _some(items: list[Any], gap: Any = e.GAP) -> list[Any]:
    return items if len(items) <= MOST else [*items[: MOST - 2], gap, items[-1]]


def times(shape: tuple[int, ...]) -> str:
    """``3 × 4``; ``a number``."""
    return " × ".join(map(str, shape)) or "a number"


def substituted(node: Expr, s: Setting, sample: int) -> Expr:
    """The formula with the values of quantities and gradients in the places of their names."""
    keys = {(n.text, n.step) for n in e.walk(node) if isinstance(n, Name)}
    values = s.numbers.environment(keys, sample)
    nodes = s.numbers.nodes

    def change(part: Expr) -> Expr:
        match part:
            case e.Partial(of, Name(text, step, index)) if of == s.target and (text, step) in nodes:
                return _entry(s.numbers.gradient(nodes[text, step], sample), index, part)
            case Name(text, step, index) if (text, step) in values:
                return _entry(values[text, step], index, part)
            case Name("B", "", ()):
                return e.Number(s.samples)
            case e.Big(index=letter):  # its body runs over the index
                return part if letter != "n" else e.mapped(part, change)
        return e.mapped(part, change)

    return change(node)


def _entry(a: Any, index: tuple[str, ...], part: Expr) -> Expr:
    if not index:
        return array(a)
    if not all(i.isdigit() for i in index):
        return part
    return number(np.asarray(a)[tuple(map(int, index))])


def before_the_first(s: Setting) -> list[Inline]:
    """What is to be known about the states before the first step."""
    if not s.written.initial:
        return []
    found: list[Inline] = []
    for node in s.written.initial:
        found += ["; " if found else " ", s.name(node), " is ", e.Words(node)]
    several = len(s.written.initial) > 1
    return [*found, f", the initial state{'s' if several else ''}, before the first step."]


def sentence(*parts: Inline) -> tuple[Inline, ...]:
    """The pieces of a sentence, neighbouring text joined."""
    found: list[Inline] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return tuple(found)


def listed(items: list[Inline], word: str = "and") -> list[Inline]:
    """a, b and c."""
    found: list[Inline] = []
    for i, item in enumerate(items):
        found += [] if not i else [f" {word} "] if i == len(items) - 1 else [", "]
        found.append(item)
    return found
