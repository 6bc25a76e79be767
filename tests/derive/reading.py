"""Printed numbers, read back: every `left = ... = numbers` and every row of a table of a derivation's text."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from everygrad.derive import Derivation
from everygrad.derive import expr as e
from everygrad.derive.expr import Expr
from everygrad.derive.records import Equations, Prose, Table
from everygrad.derive.text import inline

NUMBER = r"-?(?:\d+/\d+|\d+(?:\.\d+)?(?:e[+-]?\d+)?)"


def as_number(text: str) -> float:
    """``-0.25``, ``3/4``."""
    return float(Fraction(text)) if "/" in text else float(text)


def as_array(text: str) -> np.ndarray | None:
    """A number, ``[1, 2]`` or ``[[1, 2], [3, 4]]``; None if it is something else, or has a gap."""
    if re.fullmatch(NUMBER, text):
        return np.array(as_number(text))
    if not re.fullmatch(rf"[\[\], ]*(?:{NUMBER}[\[\], ]*)+", text) or not text.startswith("["):
        return None
    quoted = re.sub(NUMBER, lambda m: repr(as_number(m.group())), text)
    return np.array(eval(quoted, {"__builtins__": {}}))


@dataclass(frozen=True)
class Said:
    """``left`` is printed to be ``value``; ``middle``: the formulas between the two."""

    left: str
    value: np.ndarray
    middle: tuple[str, ...]


def said(d: Derivation) -> list[Said]:
    """All equations of a derivation that end in numbers, from the lines as a terminal shows them."""
    found = []
    for part in d.parts:
        for block in part.blocks:
            lines: list[Expr] = []
            if isinstance(block, Equations):
                lines = list(block.lines)
            elif isinstance(block, Prose):
                lines = [p for p in block.parts if isinstance(p, e.Chain)]
            for line in lines:
                if isinstance(line, e.Chain) and line.sign == "=":
                    texts = [inline(p) for p in line.parts if p is not None]
                    value = as_array(texts[-1])
                    if value is not None and len(texts) > 1:
                        found.append(Said(texts[0], value, tuple(texts[1:-1])))
    return found


def tables(d: Derivation, title: str) -> list[tuple[list[str], list[list[str]]]]:
    """(head, rows) of the tables in the parts with this title."""
    return [
        ([inline(c) for c in block.head], [[inline(c) for c in row] for row in block.rows])
        for part in d.parts
        if title in part.title
        for block in part.blocks
        if isinstance(block, Table)
    ]


def name_and_index(text: str) -> tuple[str, tuple[int, ...]]:
    """``h[2,1]`` -> h, (2, 1)."""
    match = re.fullmatch(r"(.+?)(?:\[([-\d,]+)\])?", text)
    assert match is not None
    name, index = match.groups()
    return name, tuple(int(i) for i in index.split(",")) if index else ()


def close(printed: Any, value: Any) -> bool:
    """Whether a printed number is the value rounded to six digits."""
    return bool(np.allclose(np.asarray(printed, float), np.asarray(value, float), rtol=6e-6, atol=1e-300))
