"""The function of a loop: all steps of some samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import final

from everygrad.engines.compiled.elementwise import constant, written
from everygrad.engines.compiled.functions import Functions
from everygrad.engines.compiled.layout import Group, Layout, Line, Part, Product, Reduction, reads_of, used
from everygrad.engines.compiled.lines import Lines, Target
from everygrad.engines.compiled.products import product
from everygrad.engines.compiled.reductions import reduced
from everygrad.engines.program.recorded import Call, NotRecordableError, Operand, Value

NAME = "steps"
COSTLY = frozenset({"exp", "tanh", "divide", "erfc", "log1p", "expm1", "log", "sin", "cos"})
Read = Callable[[Part], str]
HEAD = f"define void @{NAME}(ptr %table, i64 %rows, i64 %steps) {{\nentry:\n"


@final
class Writer:
    """Writes the text. ``slots``: the arrays in the order of the table: (pointer, bytes to the next step, row)."""

    def __init__(self, layout: Layout, target: Target) -> None:
        self._layout, self._target = layout, target
        self._lines = Lines(target)
        matrices = [root for root, matrix in used(layout).items() if matrix]
        self.carry = {layout.loop.carry[name].number: layout.carried[name] for name in layout.loop.carry}
        read = [root for root, matrix in used(layout).items() if not matrix]
        sources = {layout.source(part).root for stage in layout.stages for part in reads_of(stage)}
        xs = [value.number for value in layout.loop.xs.values() if value.number in sources]
        self.slots = [*xs, *read, *matrices, *layout.kept.values(), *self.carry, *self.carry.values(), *layout.scratch]
        self._moving = {*xs, *layout.kept.values()}
        self._given = {*xs, *read}
        self._pointer: dict[int, str] = {}
        self._row: dict[int, str] = {}
        self._step: dict[int, str] = {}

    def text(self) -> str:
        """The module."""
        lines = self._lines
        for i, slot in enumerate(self.slots):
            for j, (where, kind) in enumerate(((self._pointer, "ptr"), (self._step, "i64"), (self._row, "i64"))):
                where[slot] = lines.let(f"load {kind}, ptr {lines.at('%table', 24 * i + 8 * j)}")
        fixed = dict(self._pointer)
        swapped = [*self.carry, *self.carry.values()]
        with lines.loop(0, "%steps", 1, [("ptr", fixed[slot]) for slot in swapped]) as time:
            for slot, carried in zip(swapped, time.carried, strict=True):
                self._pointer[slot] = carried[0]
            for i in range(len(swapped)):
                time.carried[i][3] = time.carried[i - len(self.carry)][0]
            for slot in self.slots:
                if slot in self._moving:
                    self._pointer[slot] = lines.at(fixed[slot], lines.times(time.index, self._step[slot]))
            for stage in self._layout.stages:
                if isinstance(stage, Product):
                    self._product(stage)
                elif isinstance(stage, Reduction):
                    self._reduction(stage)
                else:
                    self._group(stage)
        body = "\n".join(lines.text)
        return f"{HEAD}{body}\n  ret void\n}}\n" + "\n".join(sorted(lines.declared)) + "\n!0 = !{}\n"

    def _product(self, stage: Product) -> None:
        source, home = self._layout.source(stage.vector), self._layout.places[stage.number][0]
        size = self._target.itemsize
        product(
            self._lines,
            (self._lines.at(self._pointer[source.root], source.offset * size), self._row[source.root]),
            self._pointer[stage.matrix],
            (self._lines.at(self._pointer[home.root], home.offset * size), self._row[home.root]),
            stage.shape,
        )

    def _reduction(self, stage: Reduction) -> None:
        source, home = self._layout.source(stage.source), self._layout.places[stage.number][0]
        lines, everywhere, size = self._lines, self._lines.target, self._target.itemsize
        lines.target = self._narrowed(stage.source.width)
        with lines.loop(0, "%rows", 1) as row:
            start = lines.at(self._pointer[source.root], lines.times(row.index, self._row[source.root]))
            found = reduced(lines, stage.how, lines.at(start, source.offset * size), stage.source.width)
            place = lines.at(self._pointer[home.root], lines.times(row.index, self._row[home.root]))
            lines.do(f"store {self._target.number} {found}, ptr {lines.at(place, home.offset * size)}, align {size}")
        lines.target = everywhere

    def _narrowed(self, width: int) -> Target:
        """The target with vectors of at most so many numbers."""
        lanes = self._target.lanes
        while lanes > width:
            lanes //= 2
        return replace(self._target, lanes=lanes)

    def _group(self, stage: Group) -> None:
        target = self._narrowed(stage.width)
        lanes = target.lanes
        with self._lines.loop(0, "%rows", 1) as row:
            start: dict[int, str] = {}
            for part in self._touched(stage):
                if part.root not in start:
                    offset = self._lines.times(row.index, self._row[part.root])
                    start[part.root] = self._lines.at(self._pointer[part.root], offset)
            whole = stage.width - stage.width % lanes
            if whole > lanes:
                with self._lines.loop(0, whole, lanes) as chunk:
                    self._chunk(stage, start, chunk.index, target)
            else:
                self._chunk(stage, start, 0, target)
            if whole < stage.width:  # the last ones once more, with those that are left
                self._chunk(stage, start, stage.width - lanes, target)

    def _touched(self, stage: Group) -> list[Part]:
        """The memory that a group reads or writes."""
        layout = self._layout
        inside = {line.number for line in stage.lines}
        reads = [layout.source(part) for part in reads_of(stage) if part.root not in inside]
        return [*reads, *(place for line in stage.lines for place in layout.places[line.number])]

    def _chunk(self, stage: Group, start: dict[int, str], index: str | int, target: Target) -> None:
        """As many units as a vector has numbers, from the index on."""
        lines, layout = self._lines, self._layout
        lines.target, everywhere = target, lines.target
        functions = Functions(lines)
        made: dict[int, str] = {}
        loaded: dict[Part, str] = {}

        def read(part: Part) -> str:
            if part.root in made:
                return made[part.root]
            if part not in loaded:
                loaded[part] = self._load(part, start, index, target)
            return loaded[part]

        rare = self._rare(stage)
        later = {line.number for lines_of in rare.values() for line in lines_of}
        for line in stage.lines:
            if line.number in later:
                continue
            if line.number in rare:
                made[line.number] = self._seldom(line, rare[line.number], read, made, functions)
            else:
                made[line.number] = self._value(line, read, functions)
            for place in layout.places[line.number]:
                self._store(made[line.number], layout.is_condition(line.number), place, start, index, target)
        lines.target = everywhere

    def _rare(self, stage: Group) -> dict[int, list[Line]]:
        """A choice -> the lines that only its first alternative needs, if one of them is costly."""
        made = {line.number: line for line in stage.lines}
        users: dict[int, set[int]] = {}
        for line in stage.lines:
            for part in line.reads:
                users.setdefault(part.root, set()).add(line.number)
        found: dict[int, list[Line]] = {}
        for line in stage.lines:
            if line.call is None or line.call.written != "where" or not isinstance(line.call.operands[1], Value):
                continue
            condition, first = (self._layout.part(v).root for v in line.call.operands[:2] if isinstance(v, Value))
            own: list[Line] = []
            alone = {line.number}
            for other in reversed(stage.lines[: stage.lines.index(line)]):
                wanted = other.number == first or users.get(other.number, set()) & {o.number for o in own}
                if wanted and users[other.number] <= alone and not self._layout.places[other.number]:
                    own.insert(0, other)
                    alone.add(other.number)
            if condition in made and any(o.call is not None and o.call.written in COSTLY for o in own):
                found[line.number] = own
        return found

    def _seldom(self, line: Line, own: list[Line], read: Read, made: dict[int, str], functions: Functions) -> str:
        """A choice whose first alternative is computed only if one of the numbers needs it."""
        lines, target = self._lines, self._lines.target
        assert line.call is not None
        inside = {other.number for other in own}
        for part in (part for other in (*own, line) for part in other.reads):
            if part.root not in inside:
                read(part)  # before the branch: later lines may read it, too
        condition, otherwise = (self._operand(line.call.operands[i], read, functions)[0] for i in (0, 2))
        bits = lines.let(f"bitcast {target.many('i1')} {condition} to i{target.lanes}")
        some = lines.let(f"icmp ne i{target.lanes} {bits}, 0")
        name, before = lines.fresh_label("seldom"), lines.block
        lines.branch(some, f"{name}.yes", f"{name}.end")
        lines.label(f"{name}.yes")
        for other in own:
            made[other.number] = self._value(other, read, functions)
        first = self._operand(line.call.operands[1], read, functions)[0]
        chosen = functions.select(condition, first, otherwise)
        lines.jump(f"{name}.end")
        lines.label(f"{name}.end")
        return lines.let(f"phi {target.vector} [ {otherwise}, %{before} ], [ {chosen}, %{name}.yes ]")

    def _operand(self, operand: Operand, read: Read, functions: Functions) -> tuple[str, bool]:
        """(the vector, whether it holds truth values)."""
        if isinstance(operand, Value):
            return read(self._layout.part(operand)), self._layout.is_condition(operand.number)
        number = constant(operand)
        if number is None:
            raise NotRecordableError(f"an operand of type {type(operand).__name__}")
        return functions.number(number), False

    def _value(self, line: Line, read: Read, functions: Functions) -> str:
        if line.call is None:
            return read(line.reads[0])
        call = line.call
        if any(isinstance(v, Value) for _, v in call.options):
            raise NotRecordableError(f"{call.written} with options")
        name = call.written
        pairs = [self._operand(o, read, functions) for o in call.operands[: 1 if name == "astype" else None]]
        operands, conditions = [o for o, _ in pairs], [c for _, c in pairs]
        if name == "exp" and (below := self._at_most_zero(call)) is not None:
            z = read(self._layout.part(below))  # e^min(z, 0): 1 or e^-|z|, which the sigmoid function needs anyway
            e = functions.exp(functions.negative(functions.one("fabs", z)))
            return functions.select(functions.compare("oge", z, functions.number(0.0)), functions.number(1.0), e)
        if name in ("**", "power") and constant(call.operands[1]) == 2.0:
            name, operands, conditions = "square", operands[:1], conditions[:1]
        return written(functions, name, operands, conditions)

    def _at_most_zero(self, call: Call) -> Value | None:
        """z, if the call is of min(z, 0)."""
        of = next((c for c in self._layout.loop.calls if c.result == call.operands[0]), None)
        if of is None or of.written != "minimum" or constant(of.operands[1]) != 0.0:
            return None
        if not self._layout.together(of.result.number, call.result.number):
            return None
        z = of.operands[0]
        if not isinstance(z, Value) or z.number in self._layout.invariant:
            return None
        return z

    def _address(self, place: Part, start: dict[int, str], index: str | int, size: int) -> str:
        lines = self._lines
        return lines.at(start[place.root], lines.plus(lines.times(index, size), place.offset * size))

    def _load(self, part: Part, start: dict[int, str], index: str | int, target: Target) -> str:
        lines, source = self._lines, self._layout.source(part)
        condition = self._layout.is_condition(part.root)
        size, kind = (1, "i8") if condition else (target.itemsize, target.number)
        still = ", !invariant.load !0" if source.root in self._given else ""
        if part.width == 1:
            found = lines.let(f"load {kind}, ptr {self._address(source, start, 0, size)}, align {size}{still}")
            found = lines.spread(found, kind)
        else:
            address = self._address(source, start, index, size)
            found = lines.let(f"load {target.many(kind)}, ptr {address}, align {size}{still}")
        return lines.let(f"icmp ne {target.many('i8')} {found}, zeroinitializer") if condition else found

    def _store(
        self, value: str, condition: bool, place: Part, start: dict[int, str], index: str | int, target: Target
    ) -> None:
        lines, kind, size = self._lines, target.vector, target.itemsize
        if condition:
            value = lines.let(f"zext {target.many('i1')} {value} to {target.many('i8')}")
            kind, size = target.many("i8"), 1
        lines.do(f"store {kind} {value}, ptr {self._address(place, start, index, size)}, align {size}")
