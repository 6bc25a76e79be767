"""A function without loops as straight-line code that stands on NumPy alone.

What is read once is written where it is read. Large results of elementwise functions and products go to memory that
`empty` gives (in the library a pool of the memory of earlier calls), or in place of an operand that nobody reads later.
"""

import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

import numpy as np

from everygrad.engines.compiled.threads import WORTH_SPLITTING, product
from everygrad.engines.pool import SMALLEST, empty
from everygrad.engines.program.places import elementwise, live, once, root_of
from everygrad.engines.program.primitives import PRIMITIVES
from everygrad.engines.program.recorded import Call, NotRecordableError, Recorder, Value
from everygrad.engines.program.text import WIDEST, expression, function_of, identifier, imports, reserved, wrapped

Fuse = Callable[[Recorder, Sequence[Call], Iterable[int]], Sequence[Call]]
"""What puts several calls together as one of ``recorder.machine``."""
LONGEST = 60
"""Characters of an expression that is written where it is read."""


@final
class Whole:
    """The text of a function of the arrays ``given``.

    ``returned`` are the dictionaries of arrays that it returns, those that are not empty;
    ``names`` are values' names, of which the first counts. ``marks``: (number of recorded calls, comment).
    """

    def __init__(
        self,
        recorder: Recorder,
        given: Mapping[str, Value],
        returned: Mapping[str, Mapping[str, Value]],
        names: Sequence[tuple[Value, str]],
        marks: Sequence[tuple[int, str]] = (),
        fuse: Fuse | None = None,
    ) -> None:
        self._examples, self._returned = recorder.examples, returned
        self._functions, self._machine = recorder.functions, recorder.machine
        calls, self._same = once(recorder.calls)
        known = {value.number for value in given.values()}
        calls = [call for call in calls if call.result.number not in known]
        self._outputs = {self._number(value) for part in returned.values() for value in part.values()}
        self.calls = live(calls, [Value(number) for number in self._outputs])
        if fuse is not None:
            self.calls = fuse(recorder, self.calls, self._outputs)
        self._at = {call.result.number: i for i, call in enumerate(recorder.calls)}
        self._marks = list(marks)
        taken = reserved(*recorder.functions, *recorder.machine)
        self._variable = {value.number: identifier(name, taken) for name, value in given.items()}
        self.arguments = tuple(self._variable.values())
        self._taken = taken
        for value, name in names:
            if self._number(value) not in self._variable:
                self._variable[self._number(value)] = identifier(name, taken)
        self._named = set(self._variable)
        self.head = self._constants(recorder)
        self._root = root_of(self.calls)
        self._inline = self._read_once()
        self._text: dict[int, str] = {}
        self._later: dict[int, int] = {}
        self._over = self._in_place()
        self.lines = self._written()

    def _number(self, value: Value) -> int:
        return self._same.get(value.number, value.number)

    def _constants(self, recorder: Recorder) -> list[str]:
        """Numbers are written as such, small arrays before the function."""
        read = {value.number for call in self.calls for value in call.reads} | self._outputs
        usual = {self._examples[number].dtype for number in self._variable}  # a plain number takes these as they are
        lines = []
        for number in recorder.constants.values():
            array = self._examples[number]
            if number not in read:
                continue
            if array.ndim == 0 and number not in self._outputs and array.dtype in usual:
                self._variable[number] = repr(array.item())
            elif array.size <= 64:
                self._variable[number] = identifier("constant", self._taken)
                lines.append(f"{self._variable[number]} = array({array.tolist()}, {array.dtype.name})")
            else:
                raise NotRecordableError(f"an array of shape {array.shape} that is no argument")
        return lines

    def _large(self, call: Call) -> bool:
        """Whether the result gets its place."""
        whole = self._examples[call.result.number]
        if call.function is np.matmul and whole.ndim == 2:
            depth = self._examples[call.reads[0].number].shape[-1]
            return whole.nbytes >= SMALLEST or whole.size * depth >= WORTH_SPLITTING
        return whole.nbytes >= SMALLEST and elementwise(call) and whole.ndim > 0

    def _read_once(self) -> set[int]:
        uses = Counter(value.number for call in self.calls for value in call.reads)
        return {
            call.result.number
            for call in self.calls
            if not call.others
            and call.result.number not in self._outputs
            and uses[call.result.number] == 1
            and call.result.number not in self._named
            and not self._large(call)
        }

    def _in_place(self) -> dict[int, int]:
        """Result -> the operand whose memory it takes."""
        where: dict[int, int] = {}  # the line at which a call is really done
        last: dict[int, int] = {}
        for i, call in reversed(list(enumerate(self.calls))):
            line = where.get(call.result.number, i) if call.result.number in self._inline else i
            for value in call.reads:
                where.setdefault(value.number, line)
                root = self._root(value)
                last[root] = max(last.get(root, 0), line)
        for number in self._outputs:
            last[self._root(Value(number))] = len(self.calls)
        own: set[int] = set()
        over: dict[int, int] = {}
        for i, call in enumerate(self.calls):
            if not self._large(call):
                continue
            number = call.result.number
            own.add(number)
            like = self._examples[number]
            for value in call.reads if elementwise(call) else ():
                u = value.number
                others = [v for v in call.reads if self._root(v) == u]
                same = self._examples[u].shape == like.shape and self._examples[u].dtype == like.dtype
                if u in own and u not in self._outputs and last.get(u) == i and same and set(others) == {value}:
                    over[number] = u
                    break
        for call in reversed(self.calls):  # both have the name of the later one
            number = call.result.number
            if number in over and over[number] not in self._named:
                self._later[over[number]] = self._later.get(number, number)
        return over

    def _name(self, value: Value) -> str:
        return self._text.get(value.number) or self._label(value.number)

    def _label(self, number: int) -> str:
        """The variable of a value, which is that of the last one in the same place."""
        number = self._later.get(number, number)
        if number not in self._variable:
            self._variable[number] = identifier("value", self._taken)
        return self._variable[number]

    def _written(self) -> list[str]:
        lines = []
        for call in self.calls:
            while self._marks and self._at[call.result.number] >= self._marks[0][0]:
                lines += ["", f"# {self._marks.pop(0)[1]}"]
            number = call.result.number
            if number in self._over and self._label(number) == self._label(self._over[number]):
                lines.append(expression(call, self._name, self._label(number)))
                continue
            place = None
            if number in self._over:
                place = self._label(self._over[number])
            elif self._large(call):
                like = self._examples[number]
                place = f"empty({like.shape}, {like.dtype.name})"
            text = expression(call, self._name, place)
            if number in self._inline and len(text) <= LONGEST:
                self._text[number] = text
                continue
            labels = ", ".join(self._label(value.number) for value in call.results)
            lines.append(f"({labels}) = {text}" if call.others else f"{labels} = {text}")
        return lines

    def function(self, text: str, name: str) -> Callable[..., Any]:
        """The function of its `text`; where some of it is compiled, large products run on the same threads."""
        products = {"matmul": product} if self._machine else {}
        return function_of(text, name, {"empty": empty, **products, **self._machine})

    def text(self, name: str, doc: str = "") -> str:
        """The whole file: imports, constants, the function."""
        inside = textwrap.wrap(f'"""{doc}"""', WIDEST) if doc else []
        inside += self.lines
        shown = [(what, part) for what, part in self._returned.items() if part]
        for what, part in shown:
            pairs = [f"{key!r}: {self._name(Value(self._number(value)))}" for key, value in part.items()]
            inside += ["", f"{what} = {{", *_rows(pairs), "}"]
        inside.append(f"return {', '.join(what for what, _ in shown)}")
        body = "\n".join(wrapped(f"    {line}") if line else "" for line in inside)
        function = wrapped(f"def {name}({', '.join(self.arguments)}):") + f"\n{body}\n"
        whole = "\n".join([*self._functions.values(), function])
        own = [inspect.getsource(primitive) for n, primitive in PRIMITIVES.items() if f"{n}(" in whole]
        parts = ["\n".join(self.head), *own, *self._functions.values(), function]
        used = imports("\n".join([*self.head, *self._functions.values(), function]))
        head = "\n".join(["import numpy as np" * bool(own), used])
        return "\n\n\n".join(part.strip() for part in (head, *parts) if part.strip()) + "\n"


def _rows(pairs: Sequence[str]) -> list[str]:
    """The pairs of a dictionary in lines."""
    rows: list[str] = []
    for pair in pairs:
        if rows and len(rows[-1]) + len(pair) + 2 <= WIDEST - 8:
            rows[-1] += f" {pair},"
        else:
            rows.append(f"    {pair},")
    return rows
