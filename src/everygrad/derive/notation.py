"""What all outputs share: where parentheses go, how many digits a number has, what is left out of a long formula."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Numeric

Shown = TypeVar("Shown")

DIGITS = 6
MOST_TERMS = 12
"""Terms of a sum that are written; of a longer one the first and the last."""

CHAIN, SUM, PRODUCT, POWER, ATOM = range(5)
"""How strongly a formula holds together."""


def digits(value: Numeric) -> str:
    """Six significant digits; a fraction as it is."""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    return f"{value + 0.0:.{DIGITS}g}"  # + 0.0: no -0


def binds(node: Expr) -> int:
    """How strongly the loosest operator of a formula holds."""
    match node:
        case e.Chain() | e.Phrase() | e.Where() | e.Cases():
            return CHAIN
        case e.Sum() | e.Minus() | e.Big():
            return SUM
        case e.Number(value):
            if value < 0:
                return SUM
            return PRODUCT if isinstance(value, Fraction) and value.denominator != 1 else ATOM
        case e.Product() | e.Quotient() | e.Partial():
            return PRODUCT
        case e.Power() | e.Transpose():
            return POWER
    return ATOM


def broken(part: Expr, limit: int, measure: Callable[[Expr], int]) -> list[tuple[str, Expr]]:
    """A formula too long for a line as (the sign in front, a piece) for each line: sums first, then products."""
    if measure(part) <= limit or not isinstance(part, e.Sum | e.Product):
        return [("", part)]
    if isinstance(part, e.Product):
        groups = _grouped(part.factors, limit, lambda group: measure(e.Product(group, part.sign)))
        return [(part.sign if i else "", e.Product(group, part.sign)) for i, group in enumerate(groups)]
    found: list[tuple[str, Expr]] = []
    for group in _grouped(_elided(part.terms), limit, lambda group: measure(e.Sum(group))):
        first = _opposite(group[0])
        sign = ("-" if first is not None else "+") if found else ""
        terms = (first, *group[1:]) if first is not None and found else group
        inner = broken(terms[0], limit, measure) if len(terms) == 1 else [("", e.Sum(terms))]
        found += [(sign, inner[0][1]), *inner[1:]]
    return found


def _grouped(items: Sequence[Expr], limit: int, measure: Callable[[tuple[Expr, ...]], int]) -> list[tuple[Expr, ...]]:
    """As many neighbours together as fit."""
    groups: list[tuple[Expr, ...]] = []
    for item in items:
        if groups and measure((*groups[-1], item)) <= limit:
            groups[-1] = (*groups[-1], item)
        else:
            groups.append((item,))
    return groups


def _elided(terms: Sequence[Expr]) -> Sequence[Expr]:
    return terms if len(terms) <= MOST_TERMS else (*terms[: MOST_TERMS - 3], e.GAP, *terms[-2:])


def _opposite(term: Expr) -> Expr | None:
    """-term, of a term that begins with a minus sign."""
    match term:
        case e.Minus(of):
            return of
        case e.Number(value) if value < 0:
            return e.Number(-value)
        case e.Product((e.Number(value), *rest), sign) if value < 0:
            return e.Product((e.Number(-value), *rest), sign)
    return None


class Notation(ABC, Generic[Shown]):
    """One way to show formulas. Subclasses say how each piece looks; this class, what is in it."""

    stacks: bool = False
    """Whether a quotient is shown as a fraction, whose parts need no parentheses."""

    def show(self, node: Expr, least: int = CHAIN) -> Shown:
        """A formula, in parentheses if it holds together less than ``least``."""
        strength = binds(node)
        if self.stacks and isinstance(node, e.Quotient | e.Partial):
            strength = POWER if least != POWER + 1 else PRODUCT
        if self.stacks and isinstance(node, e.Cases):
            strength = ATOM
        shown = self._node(node)
        return self.parens(shown) if strength < least else shown

    def _node(self, node: Expr) -> Shown:
        match node:
            case e.Number(value) if isinstance(value, Fraction) and value.denominator != 1:
                above = self.number(str(abs(value.numerator)))
                whole = self.quotient(above, self.number(str(value.denominator)))
                return self.row(self.sign("-", unary=True), whole) if value < 0 else whole
            case e.Number(value):
                return self.number(digits(value))
            case e.Name():
                return self.name(node)
            case e.Words(text):
                return self.words(text)
            case e.Phrase(parts):
                return self.row(*(self.show(p, CHAIN if isinstance(p, e.Words | e.Chain) else ATOM) for p in parts))
            case e.Sum(terms):
                return self._sum(terms)
            case e.Minus(of):
                return self.row(self.sign("-", unary=True), self.show(of, PRODUCT))
            case e.Product(factors, sign):
                return self._product(factors, sign)
            case e.Quotient(above, below):
                low = CHAIN if self.stacks else PRODUCT
                return self.quotient(self.show(above, low), self.show(below, CHAIN if self.stacks else POWER))
            case e.Power(base, exponent):
                return self.power(self.show(base, POWER + 1), self.show(exponent, CHAIN if self.stacks else ATOM))
            case e.Call(function, arguments):
                return self.call(function, [self.show(a) for a in arguments])
            case e.Transpose(of):
                return self.transpose(self.show(of, POWER + 1))
            case e.At(of, index):
                return self.at(self.show(of, ATOM), [self.show(i) for i in index])
            case e.Big(sign, index, body, lower, upper):
                return self.big(sign, index, lower, upper, self.show(body, SUM if isinstance(body, e.Big) else PRODUCT))
            case e.Cases(rows):
                return self.cases([(self.show(v), None if c is None else self.show(c)) for v, c in rows])
            case e.Chain(parts, sign):
                return self.chain([None if p is None else self.show(p, SUM) for p in parts], sign)
            case e.Partial(of, wrt, immediate):
                return self.partial(self.show(of, ATOM), self.show(wrt, ATOM), immediate)
            case e.Matrix(rows, vector):
                return self.matrix([[self.show(entry) for entry in row] for row in rows], vector)
            case e.Diag(of):
                return self.call("diag", [self.show(of)])
            case e.Iverson(of):
                return self.brackets([self.show(of)])
            case e.Stack(parts):
                return self.brackets([self.show(p) for p in parts])
            case e.Where(body, name, value):
                return self.row(
                    self.show(body), self.words(" with "), self.show(name), self.sign("="), self.show(value)
                )
        raise AssertionError(type(node))  # the list above is complete

    def _sum(self, terms: Sequence[Expr]) -> Shown:
        pieces: list[Shown] = []
        for i, term in enumerate(_elided(terms)):
            positive = _opposite(term)
            negative = positive is not None
            positive = term if positive is None else positive
            if i or negative:
                pieces.append(self.sign("-" if negative else "+", unary=not i))
            pieces.append(self.show(positive, PRODUCT))
        return self.terms(pieces)

    def _product(self, factors: Sequence[Expr], sign: str) -> Shown:
        pieces: list[Shown] = []
        for i, factor in enumerate(factors):
            if i:
                pieces.append(self.times(sign))
            # a product inside of another one needs parentheses unless it is one of matrices or numbers
            inner = isinstance(factor, e.Product) and (factor.sign not in ("@", "*") or factor.sign == sign)
            big = isinstance(factor, e.Big) and i == len(factors) - 1
            slash = isinstance(factor, e.Quotient) and i > 0 and not self.stacks
            signed = not i and isinstance(factor, e.Number)
            pieces.append(self.show(factor, ATOM if inner or slash else SUM if big or signed else PRODUCT))
        return self.row(*pieces)

    def terms(self, pieces: list[Shown]) -> Shown:
        """The terms of a sum with their signs between them."""
        return self.row(*pieces)

    @abstractmethod
    def row(self, *pieces: Shown) -> Shown:
        """Pieces beside each other."""

    @abstractmethod
    def parens(self, inside: Shown) -> Shown: ...

    @abstractmethod
    def number(self, text: str) -> Shown: ...

    @abstractmethod
    def name(self, name: e.Name) -> Shown: ...

    @abstractmethod
    def words(self, text: str) -> Shown: ...

    @abstractmethod
    def sign(self, sign: str, unary: bool = False) -> Shown: ...

    @abstractmethod
    def times(self, sign: str) -> Shown: ...

    @abstractmethod
    def quotient(self, above: Shown, below: Shown) -> Shown: ...

    @abstractmethod
    def power(self, base: Shown, exponent: Shown) -> Shown: ...

    @abstractmethod
    def call(self, function: str, arguments: list[Shown]) -> Shown: ...

    @abstractmethod
    def transpose(self, of: Shown) -> Shown: ...

    @abstractmethod
    def at(self, of: Shown, index: list[Shown]) -> Shown: ...

    @abstractmethod
    def big(self, sign: str, index: str, lower: str, upper: str, body: Shown) -> Shown: ...

    @abstractmethod
    def cases(self, rows: list[tuple[Shown, Shown | None]]) -> Shown: ...

    @abstractmethod
    def chain(self, parts: list[Shown | None], sign: str) -> Shown: ...

    @abstractmethod
    def partial(self, of: Shown, wrt: Shown, immediate: bool) -> Shown: ...

    @abstractmethod
    def matrix(self, rows: list[list[Shown]], vector: bool) -> Shown: ...

    @abstractmethod
    def brackets(self, parts: list[Shown]) -> Shown: ...
