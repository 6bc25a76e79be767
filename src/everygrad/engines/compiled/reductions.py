"""One number of the vector of a sample: its sum, its extremes and where the greatest is."""

import math
from collections.abc import Callable

from everygrad.engines.compiled.functions import Functions
from everygrad.engines.compiled.lines import Lines

Load = Callable[[str | int], str]
"""The numbers from an index on, as a vector."""
_EMPTY = {"sum": 0.0, "max": -math.inf, "min": math.inf}


def reduced(lines: Lines, how: str, start: str, width: int) -> str:
    """The sum, max, min or argmax of ``width`` numbers from ``start`` on; vectors must not be longer than these.

    NaN is the greatest and the least, as in NumPy; of equal ones argmax is the first. It is given as a floating-point
    number.
    """
    target, f = lines.target, Functions(lines)
    size, kind = target.itemsize, target.vector

    def load(index: str | int) -> str:
        return lines.let(f"load {kind}, ptr {lines.at(start, lines.times(index, size))}, align {size}")

    if how != "argmax":
        return _first(lines, _folded(lines, f, how, load, width))
    greatest = lines.spread(_first(lines, _folded(lines, f, "max", load, width)))

    def where(index: str | int) -> str:
        x = load(index)
        here = f.logic("or", f.compare("oeq", x, greatest), f.compare("uno", x, x))
        if isinstance(index, int):
            first = target.splat(float(index))
        else:
            first = lines.spread(lines.let(f"sitofp i64 {index} to {target.number}"))
        count = ", ".join(f"{target.number} {target.literal(float(i))}" for i in range(target.lanes))
        return f.select(here, f.two("fadd", first, f"<{count}>"), f.number(math.inf))

    return _first(lines, _folded(lines, f, "min", where, width))


def _folded(lines: Lines, f: Functions, how: str, load: Load, width: int) -> str:
    """All numbers in one vector, whose first one is the result."""
    target = lines.target
    lanes, kind = target.lanes, target.vector

    def join(a: str, b: str) -> str:
        return f.two("fadd", a, b) if how == "sum" else f.extreme("ogt" if how == "max" else "olt", a, b)

    whole = width - width % lanes
    if whole == lanes:
        total = load(0)
    else:
        with lines.loop(0, whole, lanes, [(kind, f.number(_EMPTY[how]))]) as chunk:
            chunk.carried[0][3] = join(chunk.carried[0][0], load(chunk.index))
        total = chunk.carried[0][0]
    if whole < width:  # a vector that ends with the last one: those before it are counted already
        old = lanes - (width - whole)
        new = f"<{', '.join(f'i1 {str(i >= old).lower()}' for i in range(lanes))}>"
        total = join(total, f.select(new, load(width - lanes), f.number(_EMPTY[how])))
    while lanes > 1:
        lanes //= 2
        order = ", ".join(f"i32 {(i + lanes) % target.lanes}" for i in range(target.lanes))
        turned = lines.let(f"shufflevector {kind} {total}, {kind} poison, <{target.lanes} x i32> <{order}>")
        total = join(total, turned)
    return total


def _first(lines: Lines, vector: str) -> str:
    return lines.let(f"extractelement {lines.target.vector} {vector}, i32 0")
