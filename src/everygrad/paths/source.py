"""The text of a formula: split into assignments by Python's own parser, evaluated by nobody."""

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

from everygrad.errors import InputError

MOST_CHARACTERS = 10_000


class Statement(NamedTuple):
    """name = expression."""

    name: str
    target: ast.Name
    expression: ast.expr


@final
@dataclass(frozen=True)
class Source:
    """A formula's text."""

    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The lines as the parser counts them."""
        return re.split(r"\r\n|\r|\n", self.text)

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [line.encode() for line in self.lines]

    def error(self, node: ast.expr | ast.stmt, what: str, kind: type[InputError] = InputError) -> InputError:
        """The error about a part of the text: what is wrong, the line, and a caret below the place."""
        column = len(self._bytes[node.lineno - 1][: node.col_offset].decode(errors="replace"))
        return self.error_at(node.lineno, column, what, kind)

    def error_at(self, line: int, column: int, what: str, kind: type[InputError] = InputError) -> InputError:
        """The same for a line (from 1) and a column (from 0)."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        column = min(max(column, 0), len(text))
        start = max(column - 60, 0)
        shown = text[start : column + 60].replace("\t", " ")
        return kind(f"formula, line {line}, column {column + 1}: {what}\n    {shown}\n    {' ' * (column - start)}^")

    def segment(self, node: ast.expr) -> str:
        """The text of an expression as it was written, on one line."""
        last = node.end_lineno or node.lineno
        parts = self._bytes[node.lineno - 1 : last]
        parts[-1] = parts[-1][: node.end_col_offset]
        parts[0] = parts[0][node.col_offset :]
        return " ".join(re.sub(r"#.*", "", part.decode()).strip() for part in parts).strip()

    def statements(self) -> list[Statement]:
        """The assignments; raises `InputError` with the place for anything else."""
        found: list[Statement] = []
        for statement in self._parse().body:
            if not isinstance(statement, ast.Assign):
                raise self.error(statement, _not_an_assignment(statement))
            if len(statement.targets) != 1:
                raise self.error(statement, "one name for each '=': write z = ... only once")
            target = statement.targets[0]
            if not isinstance(target, ast.Name):
                raise self.error(target, f"expected a single name before '=', got {describe(target)}")
            found.append(Statement(target.id, target, statement.value))
        if not found:
            raise InputError("the formula is empty: write something like 'y = x**2; z = log(y)'")
        return found

    def _parse(self) -> ast.Module:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about text that is refused here anyway
                return ast.parse(self.text)
        except SyntaxError as error:
            hint = f"this is not Python syntax ({error.msg})"
            raise self.error_at(error.lineno or 1, (error.offset or 1) - 1, hint) from None
        except (RecursionError, MemoryError):
            raise InputError("the formula is nested too deeply: give its parts names of their own") from None
        except ValueError as error:  # a null character, half of a surrogate pair, a number of thousands of digits
            raise InputError(f"the formula cannot be read: {error}") from None


def source(text: str) -> Source:
    """A formula's text, without common indentation; raises `InputError` if it is too long."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"the formula has {len(text):,} characters, the limit is {MOST_CHARACTERS:,}")
    return Source(textwrap.dedent(text).strip())


def _not_an_assignment(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Expr):
        return "a value without a name: write z = ... in front of it"
    if isinstance(statement, ast.AugAssign):
        return "a name is given one value: write z2 = z + ... in place of z += ..."
    return f"only assignments like y = x**2 are allowed, got {describe(statement)}"


_WORDS = {
    "AnnAssign": "an annotation",
    "Await": "'await'",
    "Call": "the result of another call",
    "UnaryOp": "'not' or '~'",
    "Mod": "%",
    "FloorDiv": "//",
    "MatMult": "@",
    "BitXor": "^ (a power is written **)",
    "BitAnd": "&",
    "BitOr": "|",
    "LShift": "<<",
    "RShift": ">>",
    "BoolOp": "'and' or 'or'",
    "Compare": "a comparison",
    "FunctionDef": "a function definition",
    "AsyncFunctionDef": "a function definition",
    "ClassDef": "a class definition",
    "Dict": "a dict",
    "DictComp": "a comprehension",
    "ListComp": "a comprehension",
    "SetComp": "a comprehension",
    "GeneratorExp": "a comprehension",
    "IfExp": "'if ... else'",
    "JoinedStr": "an f-string",
    "List": "a list",
    "NamedExpr": "':='",
    "Set": "a set",
    "Starred": "'*'",
    "Tuple": "a tuple",
    "ImportFrom": "an import",
}


def describe(node: ast.AST) -> str:
    """A piece of syntax that is not allowed, in words."""
    kind = type(node).__name__
    if isinstance(node, ast.Attribute):
        return f"an attribute (.{node.attr})"
    if isinstance(node, ast.Subscript):
        return "an index in brackets"
    return _WORDS.get(kind, f"'{kind.lower()}'")
