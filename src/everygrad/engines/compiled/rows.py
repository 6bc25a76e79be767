"""What a recorded pass does with each sample by itself, outside of any loop, as one compiled function.

The calls of a pass are put on levels: on even ones NumPy does them, on odd ones what belongs together is compiled,
each as early as what it reads allows. All samples share the weights; sums over samples stay with NumPy and BLAS.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import final

import numpy as np

from everygrad.engines.compiled.elementwise import COMPARISONS, NAMES, constant
from everygrad.engines.compiled.kernel import Kernel
from everygrad.engines.compiled.layout import REDUCTIONS, work_of
from everygrad.engines.program.loops import Loop
from everygrad.engines.program.primitives import where_small
from everygrad.engines.program.recorded import Call, NotRecordableError, Recorded, Recorder, Value

WORTH_COMPILING = 2**23
"""Multiplications, or as much other work, of all samples below which NumPy's lines cost no more."""
LONGEST = 2**24
"""Numbers of a row whose places float32 counts exactly."""
SLOPES = "with_small_slopes"


def fused(recorder: Recorder, calls: Sequence[Call], outputs: Iterable[int], rows: int, dtype: np.dtype) -> list[Call]:
    """The calls with those that can be compiled together as one call of a function in ``recorder.machine``.

    ``outputs``: the numbers of the values that are returned; ``rows``: how many samples there are.
    """
    level: dict[int, int] = {}
    regions: dict[int, _Region] = {}
    each: dict[int, list[Call]] = {}
    for call in calls:
        below = max((level.get(value.number, 0) for value in call.reads), default=0)
        region = regions.setdefault(below | 1, _Region(recorder, rows, dtype))
        here = below | 1 if region.takes(call) else below + below % 2
        each.setdefault(here, []).append(call)
        level |= {value.number: here for value in call.results}
    found: list[Call] = []
    for here in sorted(each):
        read = {value.number for other, some in each.items() if other != here for c in some for value in c.reads}
        whole = regions[here].compiled(read | set(outputs)) if here % 2 else None
        found += each[here] if whole is None else [whole]
    return found


def _expanded(recorder: Recorder, calls: Iterable[Call]) -> Iterator[Call]:
    """The calls, with those of each number in place of `with_small_slopes`, which visits a few only."""
    for call in calls:
        if call.written != SLOPES:
            yield call
            continue
        slope, z, rate = call.operands
        first = len(recorder.calls)
        given = [Recorded(recorder, value, recorder.examples[value.number]) for value in (slope, z)]
        where_small(recorder.namespace, given[0], given[1], rate)
        *some, last = recorder.calls[first:]
        del recorder.calls[first:]
        yield from some
        yield replace(last, result=call.result)


@final
class _Region:
    """Calls of one level, and the part that each array from outside has in them: row, shared or matrix."""

    def __init__(self, recorder: Recorder, rows: int, dtype: np.dtype) -> None:
        self._recorder, self._rows, self._dtype = recorder, rows, dtype
        self._calls: list[Call] = []
        self._made: set[int] = set()
        self._places: set[int] = set()  # what argmax gives
        self._part: dict[int, str] = {}

    def takes(self, call: Call) -> bool:
        """Whether the call is one of each sample by itself; then it is in."""
        whole = self._shape(call.result)
        fits = whole[:1] == (self._rows,) and len(whole) <= 2 and not call.others
        counts = call.written == "argmax" and self._shape(call.operands[0])[-1] < LONGEST
        if not fits or not (counts or self._kind(call.result) in (self._dtype, np.bool_)):
            return False
        parts = self._parts(call)
        if parts is None or any(self._part.get(number, part) != part for number, part in parts.items()):
            return False
        self._part |= parts
        self._calls.append(call)
        self._made.add(call.result.number)
        self._places |= {call.result.number} if counts else set()
        return True

    def _shape(self, value: Value) -> tuple[int, ...]:
        return self._recorder.examples[value.number].shape if isinstance(value, Value) else ()

    def _kind(self, value: Value) -> np.dtype:
        return self._recorder.examples[value.number].dtype

    def _parts(self, call: Call) -> dict[int, str] | None:
        """The part of each array from outside, None if the call cannot be in."""
        options = dict(call.options)
        if call.function is np.matmul:
            return self._of_product(*call.operands)
        if call.written in REDUCTIONS and options.get("axis") in (-1, 1, (-1,), (1,)):
            return self._of_rows(call.operands[:1], 2) if len(call.operands) == 1 else None
        if call.written in NAMES or call.written == SLOPES:
            return self._of_elements(call) if not call.options else None
        if call.written in ("concat", "concatenate") and len(self._shape(call.result)) == 2:
            return self._of_rows(call.operands[0], 2) if options.get("axis", 0) in (-1, 1) else None
        if call.written in ("[]", "reshape") and call.reads == call.operands[:1]:
            of = call.reads[0]
            alone = {self._shape(of), self._shape(call.result)} == {(self._rows,), (self._rows, 1)}
            return {} if alone and of.number in self._made else None
        return None

    def _of_product(self, vector: Value, matrix: Value) -> dict[int, str] | None:
        if not isinstance(matrix, Value) or len(self._shape(matrix)) != 2 or matrix.number in self._made:
            return None
        parts = self._of_rows((vector,), 2)
        alike = self._kind(matrix) == self._dtype and matrix != vector
        return {**parts, matrix.number: "matrix"} if parts is not None and alike else None

    def _of_rows(self, values: Sequence[Value], axes: int) -> dict[int, str] | None:
        """Of arrays with a row for each sample."""
        parts = {}
        for value in values:
            shape = self._shape(value)
            if len(shape) != axes or shape[0] != self._rows or self._kind(value) != self._dtype:
                return None
            if value.number not in self._made:
                parts[value.number] = "row"
        return parts

    def _of_elements(self, call: Call) -> dict[int, str] | None:
        """Of what NumPy aligns by its last axis."""
        whole, parts, own = self._shape(call.result), {}, False
        operands = call.operands[:1] if call.written == "astype" else call.operands
        among_places = call.written in COMPARISONS and any(v.number in self._places for v in call.reads)
        for operand in operands:
            if not isinstance(operand, Value):
                if constant(operand) is None:
                    return None
                continue
            shape, kind = self._shape(operand), self._kind(operand)
            if kind not in (self._dtype, np.bool_) and not (among_places and kind.kind in "iu"):
                return None
            row = len(shape) == len(whole) and shape[0] == self._rows
            own = own or row
            if operand.number not in self._made:
                parts[operand.number] = "row" if row else "shared"
            elif not row:  # numbers of samples that are aligned with units
                return None
        return parts if own else None

    def compiled(self, read: set[int]) -> Call | None:
        """One call for all, whose results are those that are ``read`` elsewhere; None if it is not worth it."""
        kept = [call.result for call in self._calls if call.result.number in read]
        alone = all(call.function is np.matmul for call in self._calls)  # then BLAS does as well
        if not kept or alone or any(v.number in self._places for v in kept):
            return None
        xs = [number for number, part in self._part.items() if part == "row"]
        constants = set(self._recorder.constants.values())
        shared = [number for number, part in self._part.items() if part != "row" and number not in constants]
        named = [{str(number): Value(number) for number in part} for part in (xs, shared)]
        calls, factors = self._without_factors(_expanded(self._recorder, self._calls))
        given = {**named[1], **{f"factor {number}": Value(number) for number in factors}}
        loop = Loop(self._recorder, named[0], {}, given, {}, {str(v.number): v for v in kept}, tuple(calls))
        try:
            if work_of(loop) * self._rows < WORTH_COMPILING:
                return None
            kernel = Kernel(loop, False, {})
        except NotRecordableError as error:
            logging.getLogger("everygrad").debug("a part of a pass runs on NumPy, not compiled: %s", error)
            return None
        name = f"rows_{len(self._recorder.machine) + 1}"
        function = self._recorder.machine[name] = _one_step(kernel, len(xs))
        operands = (*map(Value, (*xs, *shared)), *factors.values(), *map(Value, loop.constants))
        return Call(name, function, operands, (), kept[0], tuple(kept[1:]))

    def _without_factors(self, calls: Iterable[Call]) -> tuple[list[Call], dict[int, float]]:
        """The calls with arrays in place of plain factors such as 1/B, and these numbers by that of their array.

        So the code is the same for batches of any size, and is compiled once.
        """
        found: list[Call] = []
        factors: dict[int, float] = {}
        for call in calls:
            operands = list(call.operands)
            for i, operand in enumerate(operands if call.written in ("multiply", "divide") else ()):
                if isinstance(operand, float) and abs(operand) not in (0.5, 1.0, 2.0):
                    operands[i] = Value(len(self._recorder.examples))
                    self._recorder.examples.append(np.asarray(operand, self._dtype))
                    factors[operands[i].number] = operand
            found.append(replace(call, operands=tuple(operands)))
        return found, factors


def _one_step(kernel: Kernel, count: int) -> Callable[..., np.ndarray | tuple[np.ndarray, ...]]:
    """A loop of one step; its first ``count`` arguments are sequences."""

    def rows(*arrays: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        found = tuple(whole[0] for whole in kernel(1, *(a[None] for a in arrays[:count]), *arrays[count:]))
        return found if len(found) > 1 else found[0]

    return rows
