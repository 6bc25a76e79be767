"""Where the results of a loop's body go: to what is kept, into memory used again at each step, or to fresh memory."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from everygrad.engines.program.recorded import Call, Recorder, Value

_VIEWS = (
    "[]",
    ".T",
    "matrix_transpose",
    "reshape",
    "broadcast_to",
    "permute_dims",
    "squeeze",
    "expand_dims",
    "real",
    "with_small_slopes",
    "ascontiguousarray",
)
"""What may show the memory of its first operand, or write to it and give it back."""


def live(calls: Sequence[Call], wanted: Sequence[Value]) -> tuple[Call, ...]:
    """The calls on which these values depend, in order."""
    needed, found = {value.number for value in wanted}, []
    for call in reversed(calls):
        if any(value.number in needed for value in call.results):
            found.append(call)
            needed |= {value.number for value in call.reads}
    return tuple(reversed(found))


def once(calls: Sequence[Call]) -> tuple[list[Call], dict[int, int]]:
    """The calls without those that do again what was done before, and for each of these the earlier result."""
    same: dict[int, int] = {}
    seen: dict[str, Call] = {}
    found = []
    for call in calls:
        operands, options = (_renamed(part, same) for part in (call.operands, call.options))
        key = repr((call.written, operands, options))
        if key in seen:
            earlier = seen[key].results
            same |= {value.number: first.number for value, first in zip(call.results, earlier, strict=True)}
        else:
            seen[key] = Call(call.written, call.function, operands, options, call.result, call.others)
            found.append(seen[key])
    return found, same


def _renamed(operand: Any, same: Mapping[int, int]) -> Any:
    if isinstance(operand, Value):
        return Value(same.get(operand.number, operand.number))
    if isinstance(operand, tuple | list):
        return type(operand)(_renamed(part, same) for part in operand)
    return operand


def elementwise(call: Call) -> bool:
    """Whether it is one of NumPy's functions of each element, which can write to a given place."""
    return isinstance(call.function, np.ufunc) and call.function is not np.matmul and call.function.signature is None


def shows(call: Call) -> bool:
    """Whether the result shows memory of an operand, with basic indices only."""
    return call.written in _VIEWS and len(call.reads) == 1


def root_of(calls: Sequence[Call]) -> Callable[[Value], int]:
    """value -> the number of the one whose memory it may show; its own if it shows no other's."""
    root: dict[int, int] = {}
    for call in calls:
        if call.written in _VIEWS and call.reads:
            root[call.result.number] = root.get(call.reads[0].number, call.reads[0].number)
    return lambda value: root.get(value.number, value.number)


@final
class Memory:
    """Buffers of one body: who may be written to, and from which line on a buffer is free again.

    ``new`` makes a variable's name.
    ``kept``: number of a value -> the name of the place that keeps it. ``fresh``: values that outlive the step
    without being kept; they get memory of their own at each step.
    """

    def __init__(
        self,
        recorder: Recorder,
        calls: Sequence[Call],
        kept: Mapping[int, str],
        outlive: Sequence[Value],
        new: Callable[[str], str],
    ) -> None:
        self._new = new
        self._examples, self.kept, self.head = recorder.examples, dict(kept), []
        self.root = root_of(calls)
        self._last: dict[int, float] = {}
        for i, call in enumerate(calls):
            for value in call.reads:
                self._last[self.root(value)] = i
        self.fresh = {self.root(value) for value in outlive} - set(kept)
        self._last |= dict.fromkeys(self.fresh, math.inf)
        self._buffer: dict[int, str] = {}
        self._free: list[tuple[tuple[tuple[int, ...], np.dtype], str]] = []

    def buffered(self, value: Value) -> bool:
        """Whether it lies in a buffer, which is at one place at all steps."""
        return self.root(value) in self._buffer

    def _like(self, number: int) -> tuple[tuple[int, ...], np.dtype]:
        return self._examples[number].shape, self._examples[number].dtype

    def place(self, i: int, call: Call) -> str | None:
        """Where line i is to write its result, None for fresh memory."""
        number = call.result.number
        if number in self.kept and (elementwise(call) or call.function is np.matmul):
            return self.kept[number]
        if number in self.fresh or not (elementwise(call) or call.function is np.matmul):
            return None
        return self._buffer_for(i, call)

    def _buffer_for(self, i: int, call: Call) -> str:
        number, like = call.result.number, self._like(call.result.number)
        if elementwise(call):
            for value in call.reads:  # in place of an operand that nobody reads later
                own = [other for other in call.reads if self.root(other) == value.number]
                if (
                    self._buffer.get(value.number)
                    and self._last[value.number] == i
                    and self._like(value.number) == like
                    and all(other == value for other in own)
                ):
                    self._buffer[number] = self._buffer.pop(value.number)
                    return self._buffer[number]
        for k, (what, name) in enumerate(self._free):
            if what == like:
                del self._free[k]
                self._buffer[number] = name
                return name
        name = self._new("buffer")
        self.head.append(f"{name} = empty({like[0]}, {like[1].name})")
        self._buffer[number] = name
        return name

    def release(self, i: int, call: Call) -> None:
        """After line i: the buffers that were read for the last time are free."""
        for number in dict.fromkeys(self.root(value) for value in call.reads):
            if self._last[number] == i and number in self._buffer:
                self._free.append((self._like(number), self._buffer.pop(number)))
