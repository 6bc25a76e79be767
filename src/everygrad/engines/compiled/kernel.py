"""A recorded loop as one compiled function: weights packed once, samples split over threads for all steps."""

import struct
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np

from everygrad.engines.compiled.choice import threads
from everygrad.engines.compiled.frame import LINE, Frame, Slot, address, framed
from everygrad.engines.compiled.layout import Layout, invariants, used
from everygrad.engines.compiled.machine import function_of, target
from everygrad.engines.compiled.packing import Packing, pack
from everygrad.engines.compiled.threads import together
from everygrad.engines.compiled.writer import NAME, Writer
from everygrad.engines.pool import empty
from everygrad.engines.program.recorded import Operand, Value

if TYPE_CHECKING:
    from everygrad.engines.program.loops import Loop

WORTH_SPLITTING = 2**21
"""Multiplications of a whole loop below which a second thread costs more than it saves."""
MOST_FRAMES = 64
"""Frames kept of one loop: ever new strides must not fill the memory."""


@final
class Kernel:
    """Called as the function that `text_of` writes: steps, sequences, what is carried, shared arrays, constants.

    Raises `NotRecordableError` for what is not elementwise, a product with a shared matrix, a reduction of the last
    axis or a part of it.
    """

    def __init__(self, loop: "Loop", reverse: bool, before: Mapping[str, str]) -> None:
        numbers, self._before = invariants(loop)
        layout = Layout(loop, numbers)
        goal = target(layout.dtype.itemsize)
        writer = Writer(layout, goal)
        self.text = writer.text()
        self._function = function_of(self.text, NAME)
        self._dtype, self._batch, self._reverse = layout.dtype, layout.batch, reverse
        xs, carry = ([value.number for value in part.values()] for part in (loop.xs, loop.carry))
        shared = [value.number for value in loop.shared.values() if value.number in loop.read]
        self._arguments = [*xs, *carry, *shared, *loop.constants]
        self._computed = [call.result.number for call in self._before]
        place = {number: i for i, number in enumerate((*self._arguments, *self._computed))}
        self._carry = [place[number] for number in carry]
        names = list(loop.kept)
        self._first = {names.index(name): place[loop.carry[carried].number] for name, carried in before.items()}
        self._kept = [(loop.example(v).shape, loop.example(v).dtype, n in before) for n, v in loop.kept.items()]
        self._work = sum(stage.work for stage in layout.stages)
        self._frames: dict[tuple[Any, ...], Frame] = {}
        self._own: list[tuple[tuple[int, ...], np.dtype]] = []
        self._packed: list[tuple[int, int, Packing]] = []  # slot, argument
        self._slots: list[Slot] = []
        matrices = {root for root, matrix in used(layout).items() if matrix}
        kept = list(layout.kept.values())
        for number in writer.slots:
            if number in matrices:
                packing = Packing(loop.recorder.examples[number].shape, goal)
                self._packed.append((len(self._slots), place[number], packing))
                self._slots.append(self._inside((packing.nbytes,), np.dtype(np.uint8)))
            elif number in kept:
                self._slots.append(Slot("kept", kept.index(number), True))
            elif number in carry or number in layout.carried.values():
                after = list(layout.carried.values())
                which = carry.index(number) if number in carry else after.index(number)
                self._slots.append(Slot("carry" if number in carry else "taken", self._carry[which]))
            elif number in layout.scratch:
                kind = np.dtype(np.bool_) if layout.is_condition(number) else layout.dtype
                self._slots.append(self._inside((layout.batch, layout.scratch[number]), kind))
            else:
                self._slots.append(Slot("given", place[number], number in xs))
        self._matrices = sum(packing.depth * packing.columns for _, _, packing in self._packed)
        self._format = f"{3 * len(self._slots)}q"

    def _inside(self, shape: tuple[int, ...], kind: np.dtype) -> Slot:
        self._own.append((shape, kind))
        return Slot("own", len(self._own) - 1)

    def __call__(self, steps: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        given = [array if type(array) is np.ndarray else self._array(array) for array in arrays]
        if self._before:
            values = dict(zip(self._arguments, given, strict=True))
            for call in self._before:
                values[call.result.number] = np.asarray(_done(call.function, call.operands, call.options, values))
            given += [values[number] for number in self._computed]
        key = (steps, *[array.strides for array in given])
        frame = self._frames.get(key)
        if frame is None:
            frame = self._framed(steps, given)
            if len(self._frames) >= MOST_FRAMES:
                self._frames.clear()
            self._frames[key] = frame
        for i, kind in frame.changed:
            given[i] = given[i].astype(kind, order="C")
        numbers = list(frame.table)
        block = empty((frame.nbytes,), np.dtype(np.uint8))
        base = address(block)
        margin = -base % LINE
        base += margin
        for slot, offset in frame.inside:
            numbers[3 * slot] += base + offset
        kept = [
            np.ndarray(shape, kind, block, margin + offset) if offset >= 0 else empty(shape, kind)
            for shape, kind, offset in frame.kept
        ]
        for k, i in self._first.items():
            kept[k][0] = given[i]
        states = {i: (np.array(given[i], order="C"), np.empty(given[i].shape, self._dtype)) for i in self._carry}
        for i, slot in enumerate(self._slots):
            if slot.sort == "given":
                numbers[3 * i] += address(given[slot.number])
            elif slot.sort == "kept" and frame.kept[slot.number][2] < 0:
                numbers[3 * i] += address(kept[slot.number])
            elif slot.sort == "carry" or slot.sort == "taken":
                numbers[3 * i] += address(states[slot.number][slot.sort == "taken"])
        if self._packed:
            jobs = [p.job(address(given[i]), given[i].strides, numbers[3 * slot]) for slot, i, p in self._packed]
            pack(jobs, self._matrices, (given, block))
        self._run(numbers, steps, (given, block, kept, states))
        return (*(pair[steps % 2] for pair in states.values()), *kept)

    def _array(self, number: Any) -> np.ndarray:
        """A number, NumPy's or one that stands in the text, as an array, whose memory stays where it is."""
        return np.asarray(number) if isinstance(number, np.generic) else np.asarray(number, self._dtype)

    def _framed(self, steps: int, given: list[np.ndarray]) -> Frame:
        kept = [((steps + more, *shape), kind, more) for shape, kind, more in self._kept]
        where = self._batch, steps, self._reverse
        return framed(self._slots, given, kept, self._own, where, self._dtype)

    def _run(self, numbers: list[int], steps: int, memory: Any) -> None:
        """All samples, in as many parts as there are threads if that is worth it.

        ``memory``: what must not be given to others while a thread still writes to it.
        """
        count = min(threads(), self._batch) if self._work * steps * self._batch > WORTH_SPLITTING else 1
        if count == 1:
            self._function(struct.pack(self._format, *numbers), self._batch, steps)
            return
        ends = [self._batch * i // count for i in range(count + 1)]
        jobs = []
        for first, stop in pairwise(ends):
            moved = (n + numbers[i + 2] * first if i % 3 == 0 else n for i, n in enumerate(numbers))
            jobs.append(partial(_with, memory, self._function, struct.pack(self._format, *moved), stop - first, steps))
        together(jobs)


def _with(_memory: Any, function: Callable[..., Any], *operands: Any) -> None:
    """The function, by somebody who holds the memory that it works on."""
    function(*operands)


def _done(function: Callable[..., Any], operands: tuple, options: tuple, values: dict[int, np.ndarray]) -> Any:
    def found(operand: Operand) -> Any:
        if isinstance(operand, Value):
            return values[operand.number]
        return type(operand)(map(found, operand)) if isinstance(operand, tuple | list) else operand

    return function(*map(found, operands), **{name: found(value) for name, value in options})
