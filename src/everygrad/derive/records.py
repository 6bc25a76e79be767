"""A derivation as one record: titled parts of prose, equations and tables, from which every output is made."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

from everygrad.derive.expr import Chain, Expr, Matrix, Number, walk

Inline = str | Expr


def _plain(value: Any) -> Any:
    """Arrays as lists, fractions as text."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Fraction) else value


@final
@dataclass(frozen=True, slots=True)
class Prose:
    """A sentence or more, with formulas in it."""

    parts: tuple[Inline, ...]


@final
@dataclass(frozen=True, slots=True)
class Equations:
    """Formulas in lines of their own."""

    lines: tuple[Expr, ...]


@final
@dataclass(frozen=True, slots=True)
class Table:
    """A head and rows of cells."""

    head: tuple[Inline, ...]
    rows: tuple[tuple[Inline, ...], ...]


def joined(lines: list[Expr]) -> Equations:
    """Lines that begin with an equals sign become parts of the one before; what would be said twice is said once."""
    found: list[Expr] = []
    for line in lines:
        before = found[-1] if found else None
        if isinstance(line, Chain) and isinstance(before, Chain) and line.parts[0] is None:
            new = [part for part in line.parts[1:] if part != before.parts[-1]]
            found[-1] = Chain((*before.parts, *new), before.sign)
        else:
            found.append(line)
    return Equations(tuple(found))


Block = Prose | Equations | Table


@final
@dataclass(frozen=True, slots=True)
class Part:
    """One step of the derivation."""

    title: str
    blocks: tuple[Block, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """A written derivation: ``print`` it, or take it as Markdown, LaTeX (a document that compiles) or HTML (MathML).

    ``title``: what is derived; ``question`` the same as a formula. ``value``: the gradient that was asked for, a number
    or an array, fractions if exact. ``oracle``: what the complex step says, ``error``: how far apart they are, relative
    to the norm; ``check``: the last line, in words, and ``ok`` whether they agree.
    """

    title: str
    question: Expr | None
    parts: tuple[Part, ...]
    value: Any
    oracle: Any
    error: float
    tolerance: float
    check: tuple[Inline, ...]
    ok: bool

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Derivation({self.title}; {len(self.parts)} parts; {'right' if self.ok else 'WRONG'})"

    def _repr_html_(self) -> str:
        from everygrad.derive.html import fragment

        return fragment(self)

    def to_text(self) -> str:
        """For a terminal."""
        from everygrad.derive.text import to_text

        return to_text(self)

    def to_markdown(self) -> str:
        """Markdown with formulas between dollar signs, as GitHub, GitLab and Jupyter show them."""
        from everygrad.derive.markdown import to_markdown

        return to_markdown(self)

    def to_latex(self) -> str:
        """A complete document for pdflatex; it needs amsmath and amssymb, nothing else."""
        from everygrad.derive.latex import to_latex

        return to_latex(self)

    def to_html(self) -> str:
        """A complete page without any request to elsewhere; the formulas are MathML."""
        from everygrad.derive.html import to_html

        return to_html(self)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what was asked, the gradient, the oracle's and their distance."""
        return {
            "title": self.title,
            "value": _plain(self.value),
            "oracle": _plain(self.oracle),
            "error": self.error,
            "tolerance": self.tolerance,
            "ok": self.ok,
            "parts": [part.title for part in self.parts],
        }

    def formulas(self) -> Iterator[Expr]:
        """All formulas, in the order in which they are read."""
        if self.question is not None:
            yield self.question
        for part in self.parts:
            for block in part.blocks:
                cells: tuple[Inline, ...]
                match block:
                    case Prose(parts):
                        cells = parts
                    case Equations(lines):
                        cells = lines
                    case Table(head, rows):
                        cells = (*head, *(cell for row in rows for cell in row))
                yield from (cell for cell in cells if isinstance(cell, Expr))
        yield from (part for part in self.check if isinstance(part, Expr))

    def numbers(self) -> list[Any]:
        """All numbers in the formulas, in the order in which they are read."""
        return [node.value for formula in self.formulas() for node in walk(formula) if isinstance(node, Number)]

    def matrices(self) -> list[Matrix]:
        """All vectors and matrices of numbers."""
        return [node for formula in self.formulas() for node in walk(formula) if isinstance(node, Matrix)]
