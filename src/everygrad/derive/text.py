"""A derivation for a terminal: formulas in lines of text, matrices with their rows below each other."""

import unicodedata
from dataclasses import dataclass
from textwrap import wrap
from typing import final

from everygrad.derive.expr import Chain, Expr, Name
from everygrad.derive.notation import Notation, broken
from everygrad.derive.records import Block, Derivation, Equations, Inline, Prose, Table

WIDTH = 100


@final
@dataclass(frozen=True, slots=True)
class Box:
    """Lines of one width; the one in the middle stands on the line of what is beside it."""

    lines: tuple[str, ...]

    @property
    def middle(self) -> int:
        return (len(self.lines) - 1) // 2


def beside(*boxes: Box) -> Box:
    """Boxes beside each other, their middles in one line."""
    above = max(box.middle for box in boxes)
    below = max(len(box.lines) - box.middle for box in boxes)
    lines = [""] * (above + below)
    for box in boxes:
        width = max(map(len, box.lines))
        first = above - box.middle
        for i in range(len(lines)):
            inside = box.lines[i - first] if first <= i < first + len(box.lines) else ""
            lines[i] += inside.ljust(width)
    return Box(tuple(lines))


@final
class TextNotation(Notation[Box]):
    """Formulas as text. ``inline``: matrices too stay in one line; ``columns``: vectors are columns, as in print."""

    def __init__(self, inline: bool = False, columns: bool = False) -> None:
        self.inline, self.columns = inline, columns

    def row(self, *pieces: Box) -> Box:
        return beside(*pieces)

    def parens(self, inside: Box) -> Box:
        return beside(Box(("(",)), inside, Box((")",)))

    def number(self, text: str) -> Box:
        return Box((text,))

    def name(self, name: Name) -> Box:
        inside = ",".join((name.step, *name.index) if name.step else name.index)
        return Box((clean(name.text) + (f"[{inside}]" if inside else ""),))

    def words(self, text: str) -> Box:
        return Box((clean(text),))

    def sign(self, sign: str, unary: bool = False) -> Box:
        return Box((sign if unary else f" {sign} ",))

    def times(self, sign: str) -> Box:
        return Box(({"*": " · ", "@": " ", "⊙": " ⊙ ", "⊗": " ⊗ "}[sign],))

    def quotient(self, above: Box, below: Box) -> Box:
        return beside(above, Box(("/",)), below)

    def power(self, base: Box, exponent: Box) -> Box:
        return beside(base, Box(("^",)), exponent)

    def call(self, function: str, arguments: list[Box]) -> Box:
        pieces = [Box((clean(function) + "(",))]
        for i, argument in enumerate(arguments):
            pieces += [Box((", ",)), argument] if i else [argument]
        return beside(*pieces, Box((")",)))

    def transpose(self, of: Box) -> Box:
        return beside(of, Box(("ᵀ", *("",) * (len(of.lines) - 1)))) if len(of.lines) > 1 else Box((of.lines[0] + "ᵀ",))

    def at(self, of: Box, index: list[Box]) -> Box:
        pieces = [of, Box(("[",))]
        for i, item in enumerate(index):
            pieces += [Box((",",)), item] if i else [item]
        return beside(*pieces, Box(("]",)))

    def big(self, sign: str, index: str, lower: str, upper: str, body: Box) -> Box:
        bounds = f"{index}={lower}..{upper}" if lower else index
        return beside(Box((f"{sign}_{bounds} " if len(bounds) == 1 else f"{sign}_({bounds}) ",)), body)

    def cases(self, rows: list[tuple[Box, Box | None]]) -> Box:
        pieces = []
        for value, condition in rows:
            pieces += [value, Box((" if ",)), condition, Box((", ",))] if condition else [Box(("else ",)), value]
        return beside(*pieces)

    def chain(self, parts: list[Box | None], sign: str) -> Box:
        pieces = []
        for i, part in enumerate(parts):
            pieces += [self.sign(sign)] if i else []
            pieces += [part] if part is not None else []
        return beside(*pieces)

    def partial(self, of: Box, wrt: Box, immediate: bool) -> Box:
        return beside(Box(("∂⁺" if immediate else "∂",)), of, Box(("/∂",)), wrt)

    def matrix(self, rows: list[list[Box]], vector: bool) -> Box:
        texts = [[cell.lines[0] for cell in row] for row in rows]
        if vector and not self.columns:
            return Box((f"[{', '.join(row[0] for row in texts)}]",))
        if self.inline:
            return Box(("[" + ", ".join(f"[{', '.join(row)}]" for row in texts) + "]",))
        widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
        lines = ["  ".join(t.rjust(w) for t, w in zip(row, widths, strict=True)) for row in texts]
        return Box(tuple(f"[{line}]" for line in lines))

    def brackets(self, parts: list[Box]) -> Box:
        pieces = [Box(("[",))]
        for i, part in enumerate(parts):
            pieces += [Box(("; ",)), part] if i else [part]
        return beside(*pieces, Box(("]",)))


INLINE, DISPLAY, PRINTED = TextNotation(inline=True), TextNotation(), TextNotation(columns=True)


def clean(text: str) -> str:
    """Without control characters and direction overrides, which a name could hold."""
    bad = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in bad else c for c in text)


def inline(part: Inline) -> str:
    """A piece of a sentence."""
    return INLINE.show(part).lines[0].rstrip() if isinstance(part, Expr) else clean(part)


def to_text(d: Derivation) -> str:
    """The whole derivation; its last line is the check."""
    title = clean(d.title)
    lines = [title, "=" * len(title)]
    for i, part in enumerate(d.parts, start=1):
        lines += ["", f"{i}. {clean(part.title)}"]
        for block in part.blocks:
            lines += ["", *_block(block)]
    lines += ["", f"Check: {''.join(map(inline, d.check))}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Prose(parts):
            return [f"   {line}" for line in wrap("".join(map(inline, parts)), WIDTH - 3, break_long_words=False)]
        case Equations(lines):
            return [f"       {text}" for line in lines for text in _equation(line)]
        case Table(head, rows):
            return _table([[_cell(cell) for cell in row] for row in (head, *rows)])


def _equation(line: Expr) -> list[str]:
    """One formula; a chain of several goes on below its first equals sign."""
    whole = DISPLAY.show(line).lines
    fits = max(map(len, whole)) <= WIDTH - 7
    if not isinstance(line, Chain) or (len(line.parts) < 3 and fits):
        return list(whole)
    if len(whole) == 1 and len(whole[0]) <= WIDTH - 30:
        return list(whole)
    head, *rest = line.parts
    assert head is not None  # lines that go on were joined
    left = DISPLAY.show(head)
    width, found = max(map(len, left.lines)), []
    for i, part in enumerate(rest):
        assert part is not None  # as above
        front = left if not i else Box((" " * width,))
        for j, piece in enumerate(_pieces(part, WIDTH - 10 - width)):
            sign = f" {line.sign} " if not j else "   "
            found += beside(front if not j else Box((" " * width,)), Box((sign,)), piece).lines
    return found


def _pieces(part: Expr, width: int) -> list[Box]:
    """A long sum or product in several lines, each with its sign in front."""
    return [
        beside(DISPLAY.times(sign) if sign not in ("+", "-") else Box((f"{sign} ",)), DISPLAY.show(piece, 1))
        if sign
        else DISPLAY.show(piece, 1)
        for sign, piece in broken(part, width, measure)
    ]


def measure(part: Expr) -> int:
    """The columns that a formula takes."""
    return max(map(len, DISPLAY.show(part, 1).lines))


def _table(rows: list[list[Box]]) -> list[str]:
    """Columns below each other; a cell may have several lines."""
    widths = [max(max(map(len, row[i].lines)) for row in rows) for i in range(len(rows[0]))]
    found: list[str] = []
    tall = any(len(cell.lines) > 1 for row in rows for cell in row)
    for n, row in enumerate(rows):
        padded = [Box(tuple(line.ljust(w) for line in cell.lines)) for cell, w in zip(row, widths, strict=True)]
        found += [] if n < 2 or not tall else [""]
        found += beside(*(beside(Box(("   " if not i else "  ",)), cell) for i, cell in enumerate(padded))).lines
        found += ["   " + "-" * (sum(widths) + 2 * len(widths) - 2)] if not n else []
    return found


def _cell(part: Inline) -> Box:
    return DISPLAY.show(part) if isinstance(part, Expr) else Box((clean(part),))
