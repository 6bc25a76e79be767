"""A recorded loop as one compiled function: weights packed once, samples split over threads for all steps."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np

from everygrad.engines.compiled.choice import threads
from everygrad.engines.compiled.layout import Layout, Product, invariants, used
from everygrad.engines.compiled.machine import function_of, target
from everygrad.engines.compiled.products import packed
from everygrad.engines.compiled.threads import together
from everygrad.engines.compiled.writer import NAME, Writer
from everygrad.engines.pool import empty
from everygrad.engines.program.recorded import Operand, Value

if TYPE_CHECKING:
    from everygrad.engines.program.loops import Loop

WORTH_SPLITTING = 2**21
"""Multiplications of a whole loop below which a second thread costs more than it saves."""


@final
class Kernel:
    """Called as the function that `text_of` writes: steps, sequences, what is carried, shared arrays, constants.

    Raises `NotRecordableError` for what is not elementwise, a product with a shared matrix, or a part of the last axis.
    """

    def __init__(self, loop: "Loop", reverse: bool, before: Mapping[str, str]) -> None:
        self._numbers, self._before = invariants(loop)
        self._layout = Layout(loop, self._numbers)
        self._target = target(self._layout.dtype.itemsize)
        writer = Writer(self._layout, self._target)
        self.text = writer.text()
        self._function = function_of(self.text, NAME)
        self._reverse, self._slots = reverse, writer.slots
        self._xs = [value.number for value in loop.xs.values()]
        self._carry = [value.number for value in loop.carry.values()]
        shared = [value.number for value in loop.shared.values() if value.number in loop.read]
        self._arguments = [*self._xs, *self._carry, *shared, *loop.constants]
        self._kept = {n: (loop.example(value).shape, loop.example(value).dtype) for n, value in loop.kept.items()}
        self._first = {name: loop.carry[carried].number for name, carried in before.items()}
        self._used = used(self._layout)
        self._work = sum(
            stage.shape[0] * stage.shape[1] if isinstance(stage, Product) else 16 * stage.width * len(stage.lines)
            for stage in self._layout.stages
        )

    def __call__(self, steps: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        layout = self._layout
        values = dict(zip(self._arguments, arrays, strict=True))
        kept = []
        for name, (shape, dtype) in self._kept.items():
            whole = empty((steps + (name in self._first), *shape), dtype)
            if name in self._first:
                whole[0] = values[self._first[name]]
            values[layout.kept[name]] = whole[1:] if name in self._first else whole
            kept.append(whole)
        for call in self._before:
            values[call.result.number] = np.asarray(_done(call.function, call.operands, call.options, values))
        batch = len(values[self._carry[0]])
        moving = {*self._xs, *layout.kept.values()}  # of these each step has its own part
        for root, matrix in self._used.items():
            values[root] = packed(values[root], self._target) if matrix else values[root]
        after = []
        for number, taken in zip(self._carry, layout.carried.values(), strict=True):
            values[number] = np.array(values[number], order="C")
            values[taken] = np.empty_like(values[number])
            after.append(values[number] if steps % 2 == 0 else values[taken])
        for number, width in layout.scratch.items():
            kind = np.dtype(np.bool_) if layout.is_condition(number) else layout.dtype
            values[number] = np.empty((batch, width), kind)
        table = np.array([self._entry(values, slot, moving, batch) for slot in self._slots], dtype=np.int64)
        count = min(threads(), batch) if self._work * steps * batch > WORTH_SPLITTING else 1
        ends = [batch * i // count for i in range(count + 1)]
        parts = [table + [[1, 0, 0]] * table[:, 2:] * first for first in ends[:-1]]
        sizes = [stop - first for first, stop in pairwise(ends)]
        jobs = [(part.ctypes.data, size, steps) for part, size in zip(parts, sizes, strict=True)]
        together([partial(self._function, *job) for job in jobs])
        return (*after, *kept)

    def _entry(self, values: dict[int, np.ndarray], slot: int, moving: set[int], batch: int) -> tuple[int, int, int]:
        """(address, bytes from step to step, bytes from sample to sample)."""
        array = values[slot]
        if array.ndim and array.shape[-1] > 1 and array.strides[-1] != array.itemsize:
            array = values[slot] = np.ascontiguousarray(array)  # the numbers of a row must lie side by side
        time = 0
        address = array.__array_interface__["data"][0]
        strides, shape = array.strides, array.shape
        if slot in moving:
            time, strides, shape = strides[0], strides[1:], shape[1:]
            if self._reverse:
                address, time = address + (array.shape[0] - 1) * time, -time
        row = strides[0] if shape and shape[0] == batch and (len(shape) == 2 or slot in moving) else 0
        return address, time, row


def _done(function: Callable[..., Any], operands: tuple, options: tuple, values: dict[int, np.ndarray]) -> Any:
    def found(operand: Operand) -> Any:
        if isinstance(operand, Value):
            return values[operand.number]
        return type(operand)(map(found, operand)) if isinstance(operand, tuple | list) else operand

    return function(*map(found, operands), **{name: found(value) for name, value in options})
