"""From an operation's own formula, a string for people, to a tree; what is not understood stays words."""

import re
from collections.abc import Sequence
from typing import final

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr

_FIRST = 0xE000
"""Operands are written as characters of the private use area, so that no name can be mistaken for syntax."""

FUNCTIONS = frozenset(("log", "exp", "softmax", "sum", "tanh", "sigmoid", "sqrt", "sin", "cos", "max", "min"))
"""Those that may stand before what they are applied to without parentheses."""

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<operand>[\ue000-\uf8ff])|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|>=|<=|[-+*/()\[\],;:<>=ᵀ⊗⊙·])"
)


class _NotUnderstoodError(Exception):
    """The text is no formula in the notation of this file."""


def marks(count: int) -> list[str]:
    """What stands for the operands while an operation writes its formula."""
    return [chr(_FIRST + i) for i in range(count)]


def parse(text: str, operands: Sequence[Expr] = ()) -> Expr:
    """The tree of a formula in which `marks` stand for the operands.

    Notation: ``+ - * / **``, ``W h`` (a product of matrices), ``f(u, v)``, ``uᵀ``, ``u[...]``, ``[u; v]``, ``[u > 0]``,
    ``I ⊗ hᵀ``, ``u if c else v``, ``u with t = v``. Any other text becomes a `Phrase` of its words and operands.
    """
    try:
        parser = _Parser(_tokens(text), operands)
        found = parser.whole()
    except _NotUnderstoodError:
        return _phrase(text, operands)
    return found


def _tokens(text: str) -> list[tuple[str, str, bool]]:
    """(kind, text, whether a space stands before it)."""
    found, position, spaced = [], 0, True
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _NotUnderstoodError
        position = match.end()
        kind = match.lastgroup or ""
        if kind != "space":
            found.append((kind, match.group(), spaced))
        spaced = kind == "space"
    return found


def _phrase(text: str, operands: Sequence[Expr]) -> Expr:
    parts: list[Expr] = []
    for piece in re.split(r"([\ue000-\uf8ff])", text):
        if len(piece) == 1 and 0 <= ord(piece) - _FIRST < len(operands):
            parts.append(operands[ord(piece) - _FIRST])
        elif piece:
            parts.append(e.Words(piece))
    return parts[0] if len(parts) == 1 else e.Phrase(tuple(parts))


@final
class _Parser:
    """Recursive descent; an operation's formula is a line, so its depth is small."""

    def __init__(self, tokens: list[tuple[str, str, bool]], operands: Sequence[Expr]) -> None:
        self.tokens, self.operands, self.at = tokens, operands, 0

    def whole(self) -> Expr:
        found = self.choice()
        if self.taken("with"):
            name = self.atom()
            self.need("=")
            found = e.Where(found, name, self.choice())
        if self.at < len(self.tokens):
            raise _NotUnderstoodError
        return found

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def adjacent(self, text: str) -> bool:
        return self.peek() == text and not self.tokens[self.at][2]

    def taken(self, *texts: str) -> str:
        found = self.peek()
        if found and found in texts:
            self.at += 1
            return found
        return ""

    def need(self, text: str) -> None:
        if not self.taken(text):
            raise _NotUnderstoodError

    def choice(self) -> Expr:
        value = self.comparison()
        if not self.taken("if"):
            return value
        condition = self.comparison()
        self.need("else")
        return e.Cases(((value, condition), (self.choice(), None)))

    def comparison(self) -> Expr:
        left = self.sum()
        sign = self.taken(">", "<", ">=", "<=")
        return e.Chain((left, self.sum()), sign) if sign else left

    def sum(self) -> Expr:
        terms = [e.minus(self.product()) if self.taken("-") else self.product()]
        while sign := self.taken("+", "-"):
            terms.append(self.product() if sign == "+" else e.minus(self.product()))
        return e.plus(*terms)

    def product(self) -> Expr:
        """Chains of * and / one beside the other: ``W h``, ``1/B (z - t)``."""
        parts = [self.chain()]
        while self.starts():
            parts.append(self.chain())
        for i, part in enumerate(parts[:-1]):
            if isinstance(part, e.Name) and part.text in FUNCTIONS:  # log softmax(z)
                parts[i:] = [e.Call(part.text, (_joined(parts[i + 1 :]),))]
                break
        return parts[0] if len(parts) == 1 else _joined(parts)

    def starts(self) -> bool:
        if self.at >= len(self.tokens):
            return False
        kind, text, _ = self.tokens[self.at]
        return kind in ("operand", "number") or (kind == "name" and text not in ("if", "else", "with")) or text == "("

    def chain(self) -> Expr:
        found = self.power()
        while sign := self.taken("*", "/", "⊗", "⊙"):
            right = self.power()
            if sign == "/":
                found = e.Quotient(found, right)
            elif sign == "*":
                found = e.times(found, right) if found != e.ONE else right
            else:
                found = e.Product((found, right), "⊗" if sign == "⊗" else "⊙")
        return found

    def power(self) -> Expr:
        base = self.postfix()
        if not self.taken("**"):
            return base
        exponent = e.minus(self.power()) if self.taken("-") else self.power()
        if isinstance(exponent, e.Sum) and all(isinstance(term, e.Number) for term in exponent.terms):
            exponent = e.Number(sum(term.value for term in exponent.terms if isinstance(term, e.Number)))
        return base if exponent == e.ONE else e.Power(base, exponent)

    def postfix(self) -> Expr:
        found = self.atom()
        while True:
            if self.taken("ᵀ"):
                found = e.Transpose(found)
            elif self.adjacent("["):
                self.at += 1
                found = e.At(found, self.index())
            else:
                return found

    def index(self) -> tuple[Expr, ...]:
        """What stands in brackets behind something: an operand, or text such as ``2:5`` or ``t=-1``."""
        start, depth = self.at, 1
        while depth:
            if self.at >= len(self.tokens):
                raise _NotUnderstoodError
            depth += {"[": 1, "]": -1}.get(self.peek(), 0)
            self.at += 1
        inside = self.tokens[start : self.at - 1]
        if len(inside) == 1 and inside[0][0] == "operand":
            return (self._operand(inside[0][1]),)
        return (e.Words("".join((" " if s and i else "") + t for i, (_, t, s) in enumerate(inside))),)

    def atom(self) -> Expr:
        if self.at >= len(self.tokens):
            raise _NotUnderstoodError
        kind, text, _ = self.tokens[self.at]
        self.at += 1
        if kind == "operand":
            return self._operand(text)
        if kind == "number":
            return e.Number(int(text) if text.isdigit() else float(text))
        if kind == "name" and text not in ("if", "else", "with"):
            if not self.adjacent("("):
                return e.Name(text)
            self.at += 1
            arguments = [self.choice()]
            while self.taken(","):
                arguments.append(self.choice())
            self.need(")")
            return e.Call(text, tuple(arguments))
        if text == "(":
            found = self.choice()
            self.need(")")
            return found
        if text == "[":
            parts = [self.choice()]
            while self.taken(";"):
                parts.append(self.choice())
            self.need("]")
            return e.Stack(tuple(parts)) if not isinstance(parts[0], e.Chain) else e.Iverson(parts[0])
        raise _NotUnderstoodError

    def _operand(self, mark: str) -> Expr:
        i = ord(mark) - _FIRST
        if i >= len(self.operands):
            raise _NotUnderstoodError
        return self.operands[i]


def _joined(parts: Sequence[Expr]) -> Expr:
    """Factors beside each other: numbers and constants of a formula first, then a product of matrices."""
    scalars = [p for p in parts if _scalar(p)]
    others = [p for p in parts if not _scalar(p)]
    if not others:
        return e.times(*scalars)
    inner = others[0] if len(others) == 1 else e.Product(tuple(others), "@")
    return e.times(*scalars, inner) if scalars else inner


def _scalar(part: Expr) -> bool:
    if isinstance(part, e.Quotient):
        return _scalar(part.above) and _scalar(part.below)
    return isinstance(part, e.Number) or (isinstance(part, e.Name) and part.text in ("B", "K", "c"))
