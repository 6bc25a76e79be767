"""A recorded loop as stages: products, and groups of elementwise lines that run over the units of a sample together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from everygrad.engines.program.places import elementwise
from everygrad.engines.program.recorded import Call, NotRecordableError, Value

if TYPE_CHECKING:
    from everygrad.engines.program.loops import Loop


@final
@dataclass(frozen=True, slots=True)
class Part:
    """``width`` numbers of each sample, from ``offset`` on, of the array ``root``."""

    root: int
    offset: int
    width: int


@final
@dataclass(slots=True, eq=False)
class Line:
    """An elementwise line, or a copy (``call`` is None). ``number`` is the result's; ``to``: further places it goes."""

    number: int
    width: int
    call: Call | None
    reads: tuple[Part, ...]


@final
@dataclass(slots=True)
class Group:
    """Lines of one width, done together for each sample."""

    width: int
    lines: list[Line] = field(default_factory=list)

    @property
    def work(self) -> int:
        """What it costs for each sample, in multiplications."""
        return 16 * self.width * len(self.lines)


@final
@dataclass(frozen=True, slots=True)
class Product:
    """``vector`` of each sample times a matrix that all samples and steps share."""

    number: int
    vector: Part
    matrix: int
    shape: tuple[int, int]

    @property
    def work(self) -> int:
        """What it costs for each sample, in multiplications."""
        return self.shape[0] * self.shape[1]


@final
@dataclass(frozen=True, slots=True)
class Reduction:
    """One number of each sample: the ``how`` (sum, max, min, argmax) of ``source``."""

    number: int
    how: str
    source: Part

    @property
    def work(self) -> int:
        """What it costs for each sample, in multiplications."""
        return 4 * self.source.width


Stage = Group | Product | Reduction
REDUCTIONS = {"add.reduce": "sum", "maximum.reduce": "max", "minimum.reduce": "min", "argmax": "argmax"}
"""What is written -> what it gives of each sample."""


@final
class Layout:
    """The stages of a loop, and where every value is.

    ``places``: a value -> the parts of memory that take it: of what is kept, of what is carried, of joined arrays, or
    scratch of its own. Numbers below zero stand for memory without a value: see ``kept`` and ``carried``.
    """

    def __init__(self, loop: "Loop", invariant: frozenset[int]) -> None:
        self.loop, self.invariant = loop, invariant
        moving = [loop.example(value) for value in (*loop.carry.values(), *loop.xs.values())]
        self.batch = moving[0].shape[0]
        kinds = [array.dtype for array in moving if array.dtype in (np.float32, np.float64)]
        if not kinds:
            raise NotRecordableError(f"numbers of type {moving[0].dtype}")
        self.dtype = kinds[0]
        self.stages: list[Stage] = []
        self.scratch: dict[int, int] = {}  # a value -> its width
        self.places: dict[int, list[Part]] = {}
        self._parts: dict[int, Part] = {}
        self._stage: dict[int, int] = {}  # a value -> the stage that makes it
        self._lines: dict[int, Line] = {}
        self._copies = 0
        for value in (*loop.xs.values(), *loop.carry.values()):
            self._parts[value.number] = self._given(value)
        calls = [call for call in loop.calls if call.result.number not in invariant]
        self._targets(calls)
        for call in calls:
            self._add(call)
        for number, targets in self._wanted.items():
            for place in targets:
                if place not in self.places.get(number, []):
                    self._copy(self._parts[number], place)
        self._give_memory()

    def _given(self, value: Value) -> Part:
        """An array that the loop is given, of this step or of all."""
        shape = self.loop.example(value).shape
        return Part(value.number, 0, self._width(shape))

    def _width(self, shape: tuple[int, ...]) -> int:
        if len(shape) == 2 and shape[0] == self.batch:
            return shape[1]
        if shape == (self.batch,):
            return 1
        raise NotRecordableError(f"an array of shape {shape} where there are {self.batch} samples")

    def part(self, value: Value) -> Part:
        """Where a value is read from; one that no step changes has its own array."""
        if value.number not in self._parts:
            shape, kind = self.loop.example(value).shape, self.loop.example(value).dtype
            if kind not in (self.dtype, np.bool_) and kind.kind not in "iu":
                raise NotRecordableError(f"numbers of type {kind} among those of type {self.dtype}")
            if len(shape) > 2 or (len(shape) == 2 and shape[0] not in (1, self.batch)):
                raise NotRecordableError(f"an array of shape {shape} where there are {self.batch} samples")
            self._parts[value.number] = Part(value.number, 0, shape[-1] if shape else 1)
        return self._parts[value.number]

    def _targets(self, calls: list[Call]) -> None:
        """What takes each value: -1 - i for the i-th array that is kept or carried."""
        self._wanted: dict[int, list[Part]] = {}
        self.kept = {name: -1 - i for i, name in enumerate(self.loop.kept)}
        self.carried = {name: -1 - len(self.kept) - i for i, name in enumerate(self.loop.carried)}
        for names, values in ((self.kept, self.loop.kept), (self.carried, self.loop.carried)):
            for name, value in values.items():
                width = self._width(self.loop.example(value).shape)
                self.part(value) if value.number in self.invariant else None
                self._wanted.setdefault(value.number, []).append(Part(names[name], 0, width))

    def _add(self, call: Call) -> None:
        number = call.result.number
        example = self.loop.example(call.result)
        if call.function is np.matmul:
            self._product(call)
        elif elementwise(call) or call.written in ("where", "astype", "**", "clip"):
            if example.dtype not in (self.dtype, np.bool_):
                raise NotRecordableError(f"numbers of type {example.dtype}")
            self._aligned(call)
            line = Line(number, self._width(example.shape), call, tuple(map(self.part, call.reads)))
            if any(part.width not in (1, line.width) for part in line.reads):
                raise NotRecordableError(f"{call.written} of arrays of different shapes")
            self._line(line)
        elif call.written in REDUCTIONS:
            self._reduction(call)
        elif call.written in ("concat", "concatenate"):
            self._join(call)
        else:
            self._view(call)

    def _aligned(self, call: Call) -> None:
        """That numbers of samples are not taken for numbers of units: NumPy aligns the last axes."""
        result = self.loop.example(call.result).ndim
        for value in call.reads:
            if value.number not in self.invariant and self.loop.example(value).ndim != result:
                raise NotRecordableError(f"{call.written} of arrays with different numbers of axes")

    def _line(self, line: Line) -> None:
        """Put a line into the first group where all that it reads is there."""
        earliest = 0
        for part in line.reads:
            made = self._stage.get(part.root, -1)
            together = part.root in self._lines and part == self._parts[part.root] and part.width == line.width
            earliest = max(earliest, made if together else made + 1)
        for k in range(earliest, len(self.stages) + 1):
            if k == len(self.stages):
                self.stages.append(Group(line.width))
            stage = self.stages[k]
            if isinstance(stage, Group) and stage.width == line.width:
                stage.lines.append(line)
                break
        self._stage[line.number] = k
        self._lines[line.number] = line
        self._parts[line.number] = Part(line.number, 0, line.width)
        self.places[line.number] = [*self._wanted.get(line.number, [])]

    def _copy(self, source: Part, place: Part) -> int:
        """Write a value that is in memory to one more place; returns the stage that does it."""
        number = -10_000 - self._copies
        self._copies += 1
        self._line(Line(number, place.width, None, (source,)))
        self.places[number] = [place]
        return self._stage[number]

    def _product(self, call: Call) -> None:
        vector, matrix = call.operands
        shapes = [self.loop.example(v).shape if isinstance(v, Value) else () for v in (vector, matrix)]
        if not isinstance(matrix, Value) or matrix.number not in self.invariant or len(shapes[1]) != 2:
            raise NotRecordableError("a product with something else than a matrix that all steps share")
        if self.loop.example(matrix).dtype != self.dtype:
            raise NotRecordableError(f"a matrix of type {self.loop.example(matrix).dtype}")
        if vector.number in self.invariant or len(shapes[0]) != 2:
            raise NotRecordableError("a product of something else than a vector of each sample")
        number = call.result.number
        self._parts[number] = Part(number, 0, shapes[1][1])
        self._stage[number] = len(self.stages)
        self.stages.append(Product(number, self.part(vector), matrix.number, shapes[1]))
        self._in_memory(number)

    def _reduction(self, call: Call) -> None:
        of, example = call.operands[0], self.loop.example(call.result)
        axis = dict(call.options).get("axis")
        if not isinstance(of, Value) or of.number in self.invariant or self.loop.example(of).ndim != 2:
            raise NotRecordableError(f"{call.written} of something else than a vector of each sample")
        if axis not in (-1, 1, (-1,), (1,)) or example.size != self.batch:
            raise NotRecordableError(f"{call.written} along another axis than the last")
        number = call.result.number
        self._parts[number] = Part(number, 0, 1)
        self._stage[number] = len(self.stages)
        self.stages.append(Reduction(number, REDUCTIONS[call.written], self.part(of)))
        self._in_memory(number)

    def _in_memory(self, number: int) -> None:
        """A value with a home of its own: the first place that wants it, or scratch; the others get copies."""
        width = self._parts[number].width
        if not self._wanted.get(number):
            self.scratch[number] = width
        self.places[number] = self._wanted.get(number, [Part(number, 0, width)])[:1]

    def _join(self, call: Call) -> None:
        """The parts write to their places in the whole."""
        number, parts = call.result.number, call.operands[0]
        example = self.loop.example(call.result)
        if dict(call.options).get("axis", 0) not in (-1, example.ndim - 1) or example.ndim != 2:
            raise NotRecordableError("arrays that are joined along another axis than the last")
        self._parts[number] = Part(number, 0, self._width(example.shape))
        self._in_memory(number)
        home, start, stage = self.places[number][0], 0, -1
        for value in parts:
            part = self.part(value)
            place = Part(home.root, home.offset + start, self.loop.example(value).shape[-1])
            start += place.width
            line = self._lines.get(part.root)
            if line is not None and part == self._parts[line.number]:
                self.places[line.number].append(place)
                stage = max(stage, self._stage[line.number])
            else:
                stage = max(stage, self._copy(part, place))
        self._stage[number] = stage

    def _view(self, call: Call) -> None:
        """Numbers of one operand, side by side: found by doing to whole numbers what is done to the array."""
        reads = [value for value in call.reads if value.number not in self.invariant]
        source = reads[0]
        shape = self.loop.example(source).shape
        places = np.arange(int(np.prod(shape))).reshape(shape)

        def example(operand: Any) -> Any:
            if isinstance(operand, Value):
                return places if operand == source else self.loop.example(operand)
            return type(operand)(map(example, operand)) if isinstance(operand, tuple | list) else operand

        try:
            seen = call.function(*map(example, call.operands), **{k: example(v) for k, v in call.options})
        except Exception as error:
            raise NotRecordableError(f"{call.written}: {error}") from None
        result = self.loop.example(call.result)
        of = self.part(source)
        flat = np.asarray(seen)
        if len(reads) > 1 or flat.shape != result.shape or result.dtype != self.loop.example(source).dtype:
            raise NotRecordableError(call.written)
        width = self._width(flat.shape)
        flat = flat.reshape(self.batch, width)
        row = of.width * np.arange(self.batch)[:, None]
        first = int(flat[0, 0])
        if (flat == first + row).all():
            width = 1  # one number of each sample, as often as it is wanted
        elif not (flat == first + row + np.arange(width)).all():
            raise NotRecordableError(f"{call.written}: numbers that are not side by side")
        self._parts[call.result.number] = Part(of.root, of.offset + first, width)
        if call.result.number in self._wanted and width != self._width(result.shape):
            raise NotRecordableError(f"{call.written} of what is kept")

    def _give_memory(self) -> None:
        """Scratch for values that another stage reads and that go nowhere else."""
        for k, stage in enumerate(self.stages):
            for part in reads_of(stage):
                inside = isinstance(stage, Group) and self._stage.get(part.root) == k and part.root in self._lines
                if part.root in self._lines and not inside and not self.places[part.root]:
                    self.scratch[part.root] = self._lines[part.root].width
                    self.places[part.root] = [Part(part.root, 0, self.scratch[part.root])]

    def source(self, part: Part) -> Part:
        """The memory that a part is read from."""
        if not self.places.get(part.root):
            return part
        home = self.places[part.root][0]
        return Part(home.root, home.offset + part.offset, part.width)

    def together(self, one: int, other: int) -> bool:
        """Whether two values are made in the same stage."""
        return self._stage[one] == self._stage[other]

    def is_condition(self, number: int) -> bool:
        """Whether it holds truth values, a byte each."""
        return number >= 0 and self.loop.recorder.examples[number].dtype == np.bool_


def reads_of(stage: Stage) -> Iterator[Part]:
    """What a stage reads."""
    if isinstance(stage, Product):
        yield stage.vector
    elif isinstance(stage, Reduction):
        yield stage.source
    else:
        for line in stage.lines:
            yield from line.reads


def invariants(loop: "Loop") -> tuple[frozenset[int], list[Call]]:
    """(numbers of what is the same at all steps, the lines that compute some of it)."""
    given = {value.number for part in (loop.xs, loop.carry) for value in part.values()}
    varying, calls = set(given), []
    for call in loop.calls:
        if any(value.number in varying for value in call.reads):
            varying.add(call.result.number)
        else:
            calls.append(call)
    return frozenset(range(len(loop.recorder.examples))) - varying, calls


def work_of(loop: "Loop") -> int:
    """What one step of one sample costs, in multiplications. Raises `NotRecordableError`."""
    return sum(stage.work for stage in Layout(loop, invariants(loop)[0]).stages)


def used(layout: Layout) -> Mapping[int, bool]:
    """The invariant arrays that the stages read -> whether as a matrix."""
    found: dict[int, bool] = {}
    for stage in layout.stages:
        for part in reads_of(stage):
            if part.root in layout.invariant:
                found[part.root] = False
    for stage in layout.stages:
        if isinstance(stage, Product):
            if found.get(stage.matrix) is False:
                raise NotRecordableError("a matrix of a product that is read element by element, too")
            found[stage.matrix] = True
    return found
