"""Formulas as small trees: written once, shown as text, LaTeX and MathML, and evaluated with numbers or fractions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Literal, final

Numeric = int | float | Fraction
Sign = Literal["*", "@", "⊙", "⊗"]


@dataclass(frozen=True, slots=True)
class Expr:
    """One node of a formula; equal trees are equal. Trees are shallow: long sums and products are one node."""


@final
@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A number: whole, floating point or a fraction."""

    value: Numeric


@final
@dataclass(frozen=True, slots=True)
class Name(Expr):
    """A quantity, ``h1``; at a time step, ``h`` at ``k-1``; an element of it, ``W2[m,3]``. ``shape``: of the whole."""

    text: str
    step: str = ""
    index: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None


@final
@dataclass(frozen=True, slots=True)
class Words(Expr):
    """Text inside a formula, as it is."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Phrase(Expr):
    """Words and formulas one behind the other: what is not written in the usual notation."""

    parts: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Sum(Expr):
    """u + v - w; a term to be subtracted is a `Minus`."""

    terms: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Minus(Expr):
    """-u."""

    of: Expr


@final
@dataclass(frozen=True, slots=True)
class Product(Expr):
    """Factors: ``*`` of numbers or element by element, ``@`` of matrices, ``⊙`` element by element, ``⊗`` outer."""

    factors: tuple[Expr, ...]
    sign: Sign = "*"


@final
@dataclass(frozen=True, slots=True)
class Quotient(Expr):
    """above / below."""

    above: Expr
    below: Expr


@final
@dataclass(frozen=True, slots=True)
class Power(Expr):
    """base ** exponent."""

    base: Expr
    exponent: Expr


@final
@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function of its arguments."""

    function: str
    arguments: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Transpose(Expr):
    """The transposed matrix or row."""

    of: Expr


@final
@dataclass(frozen=True, slots=True)
class At(Expr):
    """An element, or what stands in brackets behind a formula: ``softmax(a2)[m]``, ``h[2:5]``, ``E[token]``."""

    of: Expr
    index: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Big(Expr):
    """Σ or Π of the body over an index; without bounds over all of it."""

    sign: Literal["Σ", "Π"]
    index: str
    body: Expr
    lower: str = ""
    upper: str = ""


@final
@dataclass(frozen=True, slots=True)
class Cases(Expr):
    """The first value whose condition holds; the last condition may be None: otherwise."""

    rows: tuple[tuple[Expr, Expr | None], ...]


@final
@dataclass(frozen=True, slots=True)
class Chain(Expr):
    """left = middle = right, or with other signs (``>``, ``≤``); None on the left continues the line before."""

    parts: tuple[Expr | None, ...]
    sign: str = "="


@final
@dataclass(frozen=True, slots=True)
class Partial(Expr):
    """∂of/∂wrt; ``immediate``: ∂⁺, all that is before the step held constant."""

    of: Expr
    wrt: Expr
    immediate: bool = False


@final
@dataclass(frozen=True, slots=True)
class Matrix(Expr):
    """Rows of entries; ``vector``: a column, which text writes in one line."""

    rows: tuple[tuple[Expr, ...], ...]
    vector: bool = False


@final
@dataclass(frozen=True, slots=True)
class Diag(Expr):
    """The diagonal matrix of a vector."""

    of: Expr


@final
@dataclass(frozen=True, slots=True)
class Iverson(Expr):
    """[condition]: 1 where it holds, else 0."""

    of: Expr


@final
@dataclass(frozen=True, slots=True)
class Stack(Expr):
    """[u; v]: one below the other."""

    parts: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Where(Expr):
    """The body, with a name for one of its parts."""

    body: Expr
    name: Expr
    value: Expr


def mapped(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The same node with every child changed."""

    def through(value: Any) -> Any:
        if isinstance(value, Expr):
            return change(value)
        return tuple(through(item) for item in value) if isinstance(value, tuple) else value

    old = [getattr(expr, field.name) for field in fields(expr)]
    new = [through(value) for value in old]
    return expr if new == old else type(expr)(*new)


def children(expr: Expr) -> Iterator[Expr]:
    """The nodes directly below."""
    todo: list[Any] = [getattr(expr, field.name) for field in fields(expr)]
    while todo:
        value = todo.pop(0)
        if isinstance(value, Expr):
            yield value
        elif isinstance(value, tuple):
            todo[:0] = value


def walk(expr: Expr) -> Iterator[Expr]:
    """All nodes, parents first."""
    todo = [expr]
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(list(children(node)))


def replaced(expr: Expr, what: Expr, by: Expr) -> Expr:
    """The tree with every part equal to ``what`` replaced."""
    return by if expr == what else mapped(expr, lambda part: replaced(part, what, by))


def plus(*terms: Expr) -> Expr:
    """The sum, without nested sums and without a sum of one."""
    flat: list[Expr] = []
    for term in terms:
        if isinstance(term, Sum):
            flat += term.terms
        elif isinstance(term, Minus) and isinstance(term.of, Sum):
            flat += [minus(t) for t in term.of.terms]
        else:
            flat.append(term)
    return flat[0] if len(flat) == 1 else Sum(tuple(flat))


def minus(of: Expr) -> Expr:
    """-of, without a double sign."""
    if isinstance(of, Number):
        return Number(-of.value)
    return of.of if isinstance(of, Minus) else Minus(of)


ONE, ZERO = Number(1), Number(0)
GAP = Words("…")


def times(*factors: Expr, sign: Sign = "*") -> Expr:
    """The product, without nested ones of the same sign, without factors 1; signs in front."""
    flat: list[Expr] = []
    negative = False
    for factor in factors:
        if isinstance(factor, Minus):
            negative, factor = not negative, factor.of
        elif factor == Number(-1):
            negative, factor = not negative, ONE
        flat += factor.factors if isinstance(factor, Product) and factor.sign == sign else [factor]
    kept = tuple(f for f in flat if f != ONE)
    made = kept[0] if len(kept) == 1 else Product(kept, sign) if kept else ONE
    return minus(made) if negative else made


def equal(*parts: Expr | None, sign: str = "=") -> Chain:
    """part = part = ..."""
    return Chain(parts, sign)
