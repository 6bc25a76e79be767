"""Text in LLVM's language: values by number, vectors of one width, loops."""

import struct
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class Target:
    """What the text is written for: bytes of a number (4 or 8), numbers in a vector, vectors that registers hold."""

    itemsize: int
    lanes: int
    registers: int

    @property
    def number(self) -> str:
        """LLVM's name of the type of one number."""
        return "float" if self.itemsize == 4 else "double"

    @property
    def whole(self) -> str:
        """The type of an integer of the same size."""
        return f"i{8 * self.itemsize}"

    def many(self, of: str) -> str:
        """The type of a vector."""
        return f"<{self.lanes} x {of}>"

    @property
    def vector(self) -> str:
        """The type of a vector of numbers."""
        return self.many(self.number)

    @property
    def suffix(self) -> str:
        """What an intrinsic's name ends in for vectors."""
        return f"v{self.lanes}f{8 * self.itemsize}"

    def literal(self, value: float) -> str:
        """A number as LLVM reads it: the bits of a double that the type holds exactly."""
        rounded = struct.unpack("f", struct.pack("f", value))[0] if self.itemsize == 4 else value
        return f"0x{struct.unpack('Q', struct.pack('d', rounded))[0]:016X}"

    def splat(self, value: float) -> str:
        """A vector of one number."""
        return f"<{', '.join([f'{self.number} {self.literal(value)}'] * self.lanes)}>"


@final
class Loop:
    """A loop that is being written: its index, and what it carries from turn to turn."""

    def __init__(self, index: str, label: str) -> None:
        self.index, self.label = index, label
        self.carried: list[list[str]] = []  # name, type, first value, next value


@final
class Lines:
    """The body of one function, line by line."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.text: list[str] = []
        self.declared: set[str] = set()
        self._count = 0
        self._block = "entry"

    def new(self) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"%v{self._count}"

    def let(self, right: str) -> str:
        """A new name for the value of the right-hand side."""
        name = self.new()
        self.text.append(f"  {name} = {right}")
        return name

    def do(self, line: str) -> None:
        """A line without a value."""
        self.text.append(f"  {line}")

    def call(self, function: str, result: str, *operands: str) -> str:
        """A call of an intrinsic or of a function of the C library; ``operands`` have their types."""
        kinds = ", ".join(operand.rpartition(" ")[0] if ">" not in operand else _kind(operand) for operand in operands)
        self.declared.add(f"declare {result} @{function}({kinds})")
        line = f"call {result} @{function}({', '.join(operands)})"
        if result == "void":
            self.do(line)
            return ""
        return self.let(line)

    def spread(self, number: str, kind: str | None = None) -> str:
        """A vector of one number, of the target's type or another one."""
        kind = kind or self.target.number
        many, zeros = self.target.many(kind), f"<{self.target.lanes} x i32> zeroinitializer"
        one = self.let(f"insertelement {many} poison, {kind} {number}, i32 0")
        return self.let(f"shufflevector {many} {one}, {many} poison, {zeros}")

    def label(self, name: str) -> None:
        """Go on in a new block."""
        self.text.append(f"{name}:")
        self._block = name

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def jump(self, to: str) -> None:
        self.do(f"br label %{to}")

    def fresh_label(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    @property
    def block(self) -> str:
        """The label of the block that is being written."""
        return self._block

    def at(self, pointer: str, offset: str | int) -> str:
        """The address so many bytes further on."""
        return pointer if offset == 0 else self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def times(self, a: str | int, b: str | int) -> str | int:
        """The product of two whole numbers; known ones are multiplied here."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        return self.let(f"mul i64 {a}, {b}")

    def plus(self, a: str | int, b: str | int) -> str | int:
        """The sum of two whole numbers."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        return a if b == 0 else self.let(f"add i64 {a}, {b}")

    @contextmanager
    def loop(
        self, start: str | int, stop: str | int, step: int, carried: Sequence[tuple[str, str]] = ()
    ) -> Generator[Loop]:
        """``for index in range(start, stop, step)``; ``carried`` are (type, first value) of what goes on.

        The body sets the next values in ``loop.carried[i][3]``; after the loop ``loop.carried[i][0]`` are the last.
        """
        name, before = self.fresh_label("loop"), self._block
        self.jump(f"{name}.head")
        self.label(f"{name}.head")
        found = Loop(self.new(), name)
        found.carried = [[self.new(), kind, first, first] for kind, first in carried]
        place = len(self.text)
        go = self.let(f"icmp slt i64 {found.index}, {stop}")
        self.branch(go, f"{name}.body", f"{name}.exit")
        self.label(f"{name}.body")
        yield found
        self.jump(f"{name}.latch")
        self.label(f"{name}.latch")
        following = self.let(f"add i64 {found.index}, {step}")
        self.jump(f"{name}.head")
        phis = [("i64", found.index, str(start), following)]
        phis += [(kind, own, first, last) for own, kind, first, last in found.carried]
        self.text[place:place] = [
            f"  {own} = phi {kind} [ {first}, %{before} ], [ {last}, %{name}.latch ]" for kind, own, first, last in phis
        ]
        self.label(f"{name}.exit")


def _kind(operand: str) -> str:
    """The type in front of an operand: ``<8 x float> %v1`` -> ``<8 x float>``."""
    return operand[: operand.index(">") + 1]
