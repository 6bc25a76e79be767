"""A matrix as a product wants it: in panels of a few vectors of columns, each contiguous: panel, depth, column."""

import struct
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, final

from everygrad.engines.compiled.lines import Lines, Target
from everygrad.engines.compiled.machine import MachineCode, function_of
from everygrad.engines.compiled.products import panel
from everygrad.engines.compiled.threads import threads, together

NAME = "pack"
BLOCK = 64
"""Rows of the matrix whose parts of a panel stay in the nearest memory while its columns are gone through."""
Job = tuple[MachineCode, bytes, int]
"""A function, what it is told, the number of panels."""
WORTH_SPLITTING = 2**18
"""Numbers below which a second thread costs more than it saves."""


@final
class Packing:
    """How matrices of one shape (depth, columns) are packed."""

    def __init__(self, shape: tuple[int, int], target: Target) -> None:
        self.depth, self.columns = shape
        self._panels = -(-self.columns // panel(target))
        self.nbytes = self._panels * self.depth * panel(target) * target.itemsize
        self._function = _function(target)

    def job(self, address: int, strides: tuple[int, ...], to: int) -> Job:
        """To pack the matrix at an address, with bytes from row to row and from column to column."""
        where = struct.pack("6q", address, *strides, to, self.depth, self.columns)
        return self._function, where, self._panels


def pack(jobs: Sequence[Job], size: int, memory: Any = None) -> None:
    """Do the jobs; ``size`` numbers in all, in this ``memory``, which is held as long as one of them runs."""
    count = threads() if size > WORTH_SPLITTING else 1
    if count == 1:
        for function, where, panels in jobs:
            function(where, 0, panels)
    else:
        together([partial(_part, memory, jobs, i, count) for i in range(count)])


def _part(_memory: Any, jobs: Sequence[Job], i: int, count: int) -> None:
    for function, where, panels in jobs:
        function(where, panels * i // count, panels * (i + 1) // count)


@cache
def _function(target: Target) -> MachineCode:
    return function_of(text(target), NAME)


def text(target: Target) -> str:
    """A function (job, first panel, stop); the columns that are missing in the last panel become zero."""
    lines, size, width = Lines(target), target.itemsize, panel(target)
    source, down, right, to, depth, columns = (
        lines.let(f"load {'ptr' if i in (0, 3) else 'i64'}, ptr {lines.at('%job', 8 * i)}") for i in range(6)
    )
    beside = lines.let(f"icmp eq i64 {right}, {size}")
    with lines.loop("%first", "%stop", 1) as p:
        column = lines.times(p.index, width)
        begin = lines.at(source, lines.times(column, right))
        place = lines.at(to, lines.times(lines.times(column, depth), size))
        has = _least(lines, lines.let(f"sub i64 {columns}, {column}"), width)
        whole = lines.let(f"icmp eq i64 {has}, {width}")
        quick = lines.let(f"and i1 {beside}, {whole}")
        name = lines.fresh_label("panel")
        lines.branch(quick, f"{name}.rows", f"{name}.blocks")
        lines.label(f"{name}.rows")
        _rows(lines, (begin, down), place, depth)
        lines.jump(f"{name}.end")
        lines.label(f"{name}.blocks")
        _blocks(lines, (begin, down, right), place, depth, has)
        lines.jump(f"{name}.end")
        lines.label(f"{name}.end")
    body = "\n".join(lines.text)
    declared = "\n".join(sorted(lines.declared))
    return f"define void @{NAME}(ptr %job, i64 %first, i64 %stop) {{\nentry:\n{body}\n  ret void\n}}\n{declared}\n"


def _rows(lines: Lines, source: tuple[str, str], place: str, depth: str) -> None:
    """A full panel whose columns lie side by side: vectors."""
    target = lines.target
    size, lanes, width = target.itemsize, target.lanes, panel(target)
    with lines.loop(0, depth, 1) as k:
        at, to = (
            lines.at(source[0], lines.times(k.index, source[1])),
            lines.at(place, lines.times(k.index, width * size)),
        )
        for v in range(width // lanes):
            part = lines.let(f"load {target.vector}, ptr {lines.at(at, v * lanes * size)}, align {size}")
            lines.do(f"store {target.vector} {part}, ptr {lines.at(to, v * lanes * size)}, align {size}")


def _blocks(lines: Lines, source: tuple[str, str, str], place: str, depth: str, has: str) -> None:
    """Any panel, number by number: of so many rows all that there is of one column, then of the next."""
    target = lines.target
    size, width, number = target.itemsize, panel(target), target.number
    with lines.loop(0, depth, BLOCK) as block:
        stop = _least(lines, lines.plus(block.index, BLOCK), depth)
        for start, end, there in ((0, has, True), (has, width, False)):
            with lines.loop(start, end, 1) as c:
                from_ = lines.at(source[0], lines.times(c.index, source[2]))
                to = lines.at(place, lines.times(c.index, size))
                with lines.loop(block.index, stop, 1) as k:
                    value = target.literal(0.0)
                    if there:
                        at = lines.at(from_, lines.times(k.index, source[1]))
                        value = lines.let(f"load {number}, ptr {at}, align {size}")
                    goal = lines.at(to, lines.times(k.index, width * size))
                    lines.do(f"store {number} {value}, ptr {goal}, align {size}")


def _least(lines: Lines, a: str | int, b: str | int) -> str:
    return lines.call("llvm.smin.i64", "i64", f"i64 {a}", f"i64 {b}")
