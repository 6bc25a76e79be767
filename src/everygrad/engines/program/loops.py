"""A loop over time as straight-line code: its body is recorded at one step, written as text, and run for all steps.

Results of elementwise functions and products go where they are kept, or into memory that is used again at the next
step, so that a step costs its arithmetic and little else. The text stands on NumPy alone.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.engines.compiled.choice import engine
from everygrad.engines.loop import Arrays, Body, Reuse
from everygrad.engines.pool import empty
from everygrad.engines.program.places import Memory, elementwise, live, shows
from everygrad.engines.program.recorded import Call, NotRecordableError, Recorder, Value
from everygrad.engines.program.text import expression, function_of, identifier, imports, reserved, wrapped

INDENT = "    "
MOST_CODES = 64
"""Codes kept of one cell: batches of ever new sizes must not fill the memory."""


@final
@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that was recorded: its arrays by name, its lines, what it carries on and what it keeps."""

    recorder: Recorder
    xs: Mapping[str, Value]
    carry: Mapping[str, Value]
    shared: Mapping[str, Value]
    carried: Mapping[str, Value]
    kept: Mapping[str, Value]
    calls: tuple[Call, ...]

    @property
    def constants(self) -> list[int]:
        """The arrays that the body closed over, by their number."""
        return [number for number in self.recorder.constants.values() if number in self.read]

    @property
    def read(self) -> set[int]:
        """The numbers of the values that are read or returned."""
        read = {value.number for call in self.calls for value in call.reads}
        return read | {value.number for value in (*self.carried.values(), *self.kept.values())}

    def example(self, value: Value) -> np.ndarray:
        """What the array was at the step that was recorded."""
        return self.recorder.examples[value.number]


def record(body: Body, carry: Arrays, x: Arrays, shared: Mapping[str, Any]) -> Loop:
    """Record a body at one step. Raises `NotRecordableError`, and whatever the body raises."""
    recorder = Recorder()
    recorder.each_alone = engine() == "compiled"
    given = [{name: recorder.given(value) for name, value in part.items()} for part in (x, carry, shared)]
    after, kept = body(dict(given[1]), dict(given[0]), dict(given[2]))
    values = [{name: recorder.value_of(v) for name, v in part.items()} for part in (*given, after, kept)]
    for name, array in carry.items():
        new = recorder.examples[values[3][name].number]
        if new.shape != array.shape or new.dtype != array.dtype:
            raise NotRecordableError(f"{name!r} changes its shape or dtype in a step")
    x, carry, shared, carried, kept = values
    calls = live(recorder.calls, [*carried.values(), *kept.values()])
    return Loop(recorder, x, carry, shared, carried, kept, calls)


def text_of(loop: Loop, name: str, reverse: bool = False, before: Mapping[str, str] = MappingProxyType({})) -> str:
    """A function that runs the loop and returns what is carried after it and what is kept of each step, as one tuple.

    ``before``: see `scan`. Its arguments: the number of steps, the sequences, what is carried, the shared arrays that
    are read, and the constants, in this order.
    """
    lines = _Lines(loop, name, "grad " if reverse else "")
    over = {now: f"{whole}[::-1]" if reverse else whole for now, whole in lines.over().items()}
    if not over:
        raise NotRecordableError("nothing is read or kept at each step")
    one, several = "for {} in {}:", "for ({}) in zip({}):"
    turns = (several if len(over) > 1 else one).format(", ".join(over), ", ".join(over.values()))
    inside = [*lines.room(before), *lines.memory.head, *lines.head, turns, *(INDENT + line for line in lines.lines)]
    kept = [lines.whole.get(n, text) for n, text in lines.kept.items()]
    inside.append(f"return ({', '.join([*lines.carry.values(), *kept])},)")
    head = f"def {name}({', '.join(['steps', *lines.arguments])}):"
    return "\n".join(map(wrapped, [head, *(INDENT + line for line in inside)])) + "\n"


@final
class _Lines:
    """The lines of a body, and the names in them. What ends in ``_t`` is the part of this step.

    ``before`` stands before the names of what is carried and kept.
    """

    def __init__(self, loop: Loop, name: str, before: str) -> None:
        self._loop, self._taken = loop, reserved(name, "steps", *loop.recorder.functions)
        self.xs = self._identifiers(loop.xs)
        self.carry = self._identifiers(loop.carry, before)
        self._constants = {v.number: self._new(n) for n, v in loop.shared.items() if v.number in loop.read}
        self._constants |= {number: self._new(f"constant_{i + 1}") for i, number in enumerate(loop.constants)}
        self.kept = self._identifiers(loop.kept, before)
        self.arguments = [*self.xs.values(), *self.carry.values(), *self._constants.values()]
        self._now = {n: self._new(f"{text}_t") for n, text in self.xs.items()}
        self._places = {n: self._new(f"{text}_t") for n, text in self.kept.items()}
        self._names = {v.number: self._now[n] for n, v in loop.xs.items()}
        self._names |= {v.number: self.carry[n] for n, v in loop.carry.items()} | self._constants
        kept: dict[int, str] = {}
        for n, value in loop.kept.items():
            if value.number not in self._names:
                kept.setdefault(value.number, self._places[n])
        self._parts: dict[str, tuple[str, slice]] = {}  # a name -> the place that it is a part of
        joined = [call for call in loop.calls if self._joins(call, kept)]
        outlive = [value for value in loop.carried.values() if value.number not in self._names]
        self.memory = Memory(loop.recorder, loop.calls, kept, outlive, self._new)
        self.head: list[str] = []
        self.lines: list[str] = []
        self.whole: dict[str, str] = {}  # the arrays with the first value in front
        self._hoisted: dict[str, str] = {}
        for i, call in enumerate(loop.calls):
            if call in joined:
                self._names[call.result.number] = kept[call.result.number]
            else:
                self._write(i, call)
            self.memory.release(i, call)
        self._finish()

    def _new(self, name: str) -> str:
        return identifier(name, self._taken)

    def _identifiers(self, names: Mapping[str, Value], before: str = "") -> dict[str, str]:
        return {name: self._new(before + name) for name in names}

    def name(self, value: Value) -> str:
        """The variable that holds a value."""
        return self._names[value.number]

    def _joins(self, call: Call, kept: dict[int, str]) -> bool:
        """Whether it joins results that can be written to their part of the whole at once; then they are."""
        whole = call.result.number
        if call.written not in ("concat", "concatenate") or whole not in kept:
            return False
        parts, axis = call.operands[0], dict(call.options).get("axis", 0)
        made = {c.result.number for c in self._loop.calls if elementwise(c)}
        numbers = [part.number for part in parts if isinstance(part, Value)]
        alone = len(set(numbers)) == len(parts) and not set(numbers) & (kept.keys() | self._names.keys())
        last = self._loop.example(call.result).ndim - 1
        if not alone or not made.issuperset(numbers) or axis not in (-1, last):
            return False
        start = 0
        for part in parts:
            stop = start + self._loop.example(part).shape[-1]
            kept[part.number] = self._new(f"{kept[whole]}_{start}_{stop}")
            self._parts[kept[part.number]] = (kept[whole], slice(start, stop))
            start = stop
        return True

    def _write(self, i: int, call: Call) -> None:
        number = call.result.number
        place = self.memory.place(i, call)
        if place is not None:
            self._names[number] = place
            self.lines.append(expression(call, self.name, place))
            return
        text = expression(call, self.name)
        still = shows(call) and (self.memory.buffered(call.reads[0]) or call.reads[0].number in self._constants)
        if still and text in self._hoisted:
            self._names[number] = self._hoisted[text]
            return
        self._names[number] = self._new("part" if shows(call) else "value")
        if still:
            self._hoisted[text] = self._names[number]
        (self.head if still else self.lines).append(f"{self._names[number]} = {text}")

    def _finish(self) -> None:
        """Copy what is kept and was computed elsewhere, and carry on."""
        for n, value in self._loop.kept.items():
            if self.name(value) != self._places[n]:
                self.lines.append(f"{self._places[n]}[...] = {self.name(value)}")
        on = {self.carry[n]: self.name(v) for n, v in self._loop.carried.items() if self.name(v) != self.carry[n]}
        if on:
            self.lines.append(f"{', '.join(on)} = {', '.join(on.values())}")

    def room(self, before: Mapping[str, str]) -> list[str]:
        """The lines that make the arrays for what is kept."""
        found = []
        for n, value in self._loop.kept.items():
            like = self._loop.example(value)
            rows, name = ("steps + 1", self._new(f"{self.kept[n]}_all")) if n in before else ("steps", self.kept[n])
            shape = ", ".join([rows, *map(str, like.shape)])
            found.append(f"{name} = empty(({shape}), {like.dtype.name})")
            if n in before:
                self.whole[n] = name
                found += [f"{name}[0] = {self.carry[before[n]]}", f"{self.kept[n]} = {name}[1:]"]
        return found

    def over(self) -> dict[str, str]:
        """The names of this step -> the sequences they run over."""
        words = set(re.findall(r"\w+", "\n".join(self.lines)))
        whole = {self._now[n]: text for n, text in self.xs.items()}
        whole |= {self._places[n]: text for n, text in self.kept.items()}
        for name, (of, part) in self._parts.items():
            whole[name] = f"{whole[of]}[..., {part.start}:{part.stop}]"
        return {name: text for name, text in whole.items() if name in words}


@final
@dataclass(frozen=True, slots=True)
class Code:
    """A loop's function, and the names of what it reads of the shared arrays, carries on and keeps."""

    function: Callable[..., Any]
    shared: tuple[str, ...]
    carry: tuple[str, ...]
    kept: tuple[str, ...]


def run(
    body: Body,
    carry: Arrays,
    xs: Arrays,
    steps: int,
    reverse: bool,
    shared: Mapping[str, Any],
    reuse: Reuse,
    before: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Arrays, Arrays] | None:
    """`engines.loop.scan` of NumPy arrays as straight-line code, or None if the body cannot be recorded."""
    given = ({name: (array.shape[1:], array.dtype) for name, array in xs.items()}, _like(carry), _like(shared))
    chosen = engine()
    key = (chosen, reuse.key, reverse, *(tuple(part.items()) for part in given))
    codes = reuse.memo.setdefault("loops", {})
    code = codes.get(key)
    constants: list[np.ndarray] = []
    if code is None:
        at = steps - 1 if reverse else 0
        try:
            with np.errstate(all="ignore"):
                loop = record(body, carry, {name: array[at] for name, array in xs.items()}, shared)
            machine = _machine_code(loop, reverse, before) if chosen == "compiled" else None
            function = machine or compiled(text_of(loop, "steps", reverse, before))
        except Exception:  # whatever it was: step by step, it does its work or raises the same again
            return None
        constants = [loop.recorder.examples[number] for number in loop.constants]
        read = tuple(name for name, value in loop.shared.items() if value.number in loop.read)
        code = Code(function, read, tuple(loop.carry), tuple(loop.kept))
        if not constants:  # what else the body closes over may be another the next time
            if len(codes) >= MOST_CODES:
                codes.clear()
            codes[key] = code
    everywhere = (shared[name] for name in code.shared)
    given = (*xs.values(), *carry.values(), *everywhere, *constants)
    return _named(code.function(steps, *given), code.carry, code.kept)


def _machine_code(loop: Loop, reverse: bool, before: Mapping[str, str]) -> Callable[..., Any] | None:
    """The loop compiled, or None if it holds something that is not compiled."""
    from everygrad.engines.compiled.kernel import Kernel

    try:
        return Kernel(loop, reverse, before)
    except NotRecordableError as error:
        logging.getLogger("everygrad").debug("a loop runs on NumPy, not compiled: %s", error)
        return None


def inside(
    recorder: Recorder,
    body: Body,
    carry: Arrays,
    xs: Arrays,
    steps: int,
    reverse: bool,
    shared: Mapping[str, Any],
    before: Mapping[str, str],
) -> tuple[Arrays, Arrays]:
    """A loop within a recording: a function of its own, called in one line."""

    def example(array: Any) -> Any:
        return recorder.examples[recorder.value_of(array).number]

    at = steps - 1 if reverse else 0
    parts = [{name: example(array) for name, array in part.items()} for part in (xs, carry, shared)]
    loop = record(body, parts[1], {name: array[at] for name, array in parts[0].items()}, parts[2])
    if loop.constants:
        raise NotRecordableError("a loop closes over an array")
    name = f"{'backward' if reverse else 'forward'}_{len(recorder.functions) + len(recorder.machine) + 1}"
    function = _machine_code(loop, reverse, before) if engine() == "compiled" else None
    if function is not None:
        recorder.machine[name] = function
    else:
        recorder.functions[name] = text_of(loop, name, reverse, before)
        function = compiled(recorder.functions[name])
    read = [array for name, array in shared.items() if loop.shared[name].number in loop.read]
    found = recorder.call_several(name, function, (steps, *xs.values(), *carry.values(), *read))
    return _named(found, carry, loop.kept)


def _named(found: Sequence[Any], carry: Collection[str], kept: Iterable[str]) -> tuple[Arrays, Arrays]:
    """What the function of `text_of` returns, by name."""
    n = len(carry)
    return dict(zip(carry, found[:n], strict=True)), dict(zip(kept, found[n:], strict=True))


def _like(arrays: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


@lru_cache(maxsize=256)
def compiled(text: str) -> Callable[..., Any]:
    """The function of a text; the same text is compiled once."""
    return function_of(f"{imports(text)}\n{text}", text.removeprefix("def ").partition("(")[0], {"empty": empty})
