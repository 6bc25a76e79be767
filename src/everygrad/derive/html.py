"""A derivation as HTML: formulas in MathML, every text from outside escaped, nothing fetched from anywhere."""

import re
from html import escape
from typing import final

from everygrad.derive.expr import Chain, Expr, Name
from everygrad.derive.notation import Notation
from everygrad.derive.records import Block, Derivation, Equations, Inline, Prose, Table
from everygrad.derive.text import clean

STYLE = """
body{max-width:60rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif;color:#1a1a1a;background:#fff}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .8rem;text-align:left;border-bottom:1px solid #bbb}
.lines>mtr>mtd:last-child{text-align:left}.wide{overflow-x:auto}math[display=block]{margin:.8rem 0;text-align:left}
.check{padding:.6rem 1rem;border-left:4px solid #1b7837;background:#eef6ee}.check.wrong{border-color:#b2182b}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}.check{background:#1d2a1d}}
@media print{.wide{overflow:visible}}
"""


def escaped(content: str) -> str:
    """Escaped text without control characters."""
    return escape(clean(content), quote=True)


@final
class MathNotation(Notation[str]):
    """Formulas as presentation MathML."""

    stacks = True

    def row(self, *pieces: str) -> str:
        return pieces[0] if len(pieces) == 1 else f"<mrow>{''.join(pieces)}</mrow>"

    def parens(self, inside: str) -> str:
        return f"<mrow><mo>(</mo>{inside}<mo>)</mo></mrow>"

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        sign, mantissa = ("<mo>−</mo>", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
        shown = f"{sign}<mn>{mantissa}</mn>"
        if exponent:
            shown += f"<mo>×</mo><msup><mn>10</mn><mn>{int(exponent)}</mn></msup>"
        return f"<mrow>{shown}</mrow>" if sign or exponent else shown

    def name(self, name: Name) -> str:
        match = re.fullmatch(r"([^\W\d_]+)(\d*)(?:_(\w+))?", name.text)
        base, *below = match.groups(default="") if match else (name.text, "", "")
        subs = ",".join(filter(None, (*below, name.step)))
        shown = f"<mi>{escaped(base)}</mi>"
        if subs:
            shown = f"<msub>{shown}<mi>{escaped(subs)}</mi></msub>"
        index = f"<mo>[</mo><mi>{escaped(','.join(name.index))}</mi><mo>]</mo>" if name.index else ""
        return f"<mrow>{shown}{index}</mrow>" if index else shown

    def words(self, text: str) -> str:
        return f"<mtext>{escaped(text).replace(' ', chr(0xA0))}</mtext>"

    def sign(self, sign: str, unary: bool = False) -> str:
        return f"<mo>{escaped({'>=': '≥', '<=': '≤', '-': '−'}.get(sign, sign))}</mo>"

    def times(self, sign: str) -> str:
        return {"*": "<mo>·</mo>", "@": '<mspace width="0.25em"/>', "⊙": "<mo>⊙</mo>", "⊗": "<mo>⊗</mo>"}[sign]

    def quotient(self, above: str, below: str) -> str:
        return f"<mfrac>{_one(above)}{_one(below)}</mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{_one(base)}{_one(exponent)}</msup>"

    def call(self, function: str, arguments: list[str]) -> str:
        inside = "<mo>,</mo>".join(arguments)
        shown = {"sigmoid": "σ", "Phi": "Φ", "phi": "φ"}.get(function, function)
        return f"<mrow><mi>{escaped(shown)}</mi><mo>(</mo>{inside}<mo>)</mo></mrow>"

    def transpose(self, of: str) -> str:
        return f"<msup>{_one(of)}<mo>⊤</mo></msup>"

    def at(self, of: str, index: list[str]) -> str:
        return f"<mrow>{of}<mo>[</mo>{'<mo>,</mo>'.join(index)}<mo>]</mo></mrow>"

    def big(self, sign: str, index: str, lower: str, upper: str, body: str) -> str:
        sign = {"Σ": "∑", "Π": "∏"}[sign]
        below = f"{index}={lower}" if lower else index
        command = f"<munderover><mo>{sign}</mo><mi>{escaped(below)}</mi><mi>{escaped(upper)}</mi></munderover>"
        return (
            f"<mrow>{command if lower else f'<munder><mo>{sign}</mo><mi>{escaped(below)}</mi></munder>'}{body}</mrow>"
        )

    def cases(self, rows: list[tuple[str, str | None]]) -> str:
        lines = [
            f"<mtr><mtd>{v}</mtd><mtd><mtext>{'if' if c else 'otherwise'}&#160;</mtext>{c or ''}</mtd></mtr>"
            for v, c in rows
        ]
        return f"<mrow><mo>{{</mo><mtable>{''.join(lines)}</mtable></mrow>"

    def chain(self, parts: list[str | None], sign: str) -> str:
        return f"<mrow>{self.sign(sign).join(p or '' for p in parts)}</mrow>"

    def partial(self, of: str, wrt: str, immediate: bool) -> str:
        d = "<msup><mo>∂</mo><mo>+</mo></msup>" if immediate else "<mo>∂</mo>"
        return f"<mfrac><mrow>{d}{of}</mrow><mrow><mo>∂</mo>{wrt}</mrow></mfrac>"

    def matrix(self, rows: list[list[str]], vector: bool) -> str:
        inside = "".join(f"<mtr>{''.join(f'<mtd>{c}</mtd>' for c in row)}</mtr>" for row in rows)
        return f"<mrow><mo>(</mo><mtable>{inside}</mtable><mo>)</mo></mrow>"

    def brackets(self, parts: list[str]) -> str:
        return f"<mrow><mo>[</mo>{'<mo>;</mo>'.join(parts)}<mo>]</mo></mrow>"


MATH = MathNotation()


def _one(shown: str) -> str:
    return f"<mrow>{shown}</mrow>"


def inline(part: Inline) -> str:
    """A piece of a sentence."""
    return f"<math>{MATH.show(part)}</math>" if isinstance(part, Expr) else escaped(part)


def fragment(d: Derivation) -> str:
    """The derivation without a page around it."""
    parts = [f"<h1>{escaped(d.title)}</h1>"]
    for i, part in enumerate(d.parts, start=1):
        parts.append(f"<h2>{i}. {escaped(part.title)}</h2>")
        parts += [_block(block) for block in part.blocks]
    shown = "".join(map(inline, d.check))
    parts.append(f'<p class="check{"" if d.ok else " wrong"}"><strong>Check:</strong> {shown}</p>')
    return "\n".join(parts)


def to_html(d: Derivation) -> str:
    """The page."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(d.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{fragment(d)}\n</main>\n"
        "</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Prose(parts):
            return f"<p>{''.join(map(inline, parts))}</p>"
        case Equations(lines):
            return "\n".join(f'<div class="wide">{_display(line)}</div>' for line in lines)
        case Table(head, rows):
            heads = "".join(f'<th scope="col">{inline(cell)}</th>' for cell in head)
            body = "\n".join(f"<tr>{''.join(f'<td>{inline(cell)}</td>' for cell in row)}</tr>" for row in rows)
            table = f"<table><thead><tr>{heads}</tr></thead><tbody>\n{body}\n</tbody></table>"
            return f'<div class="wide" tabindex="0">{table}</div>'


def _display(line: Expr) -> str:
    """One formula; a long chain with each of its parts below the one before."""
    if not isinstance(line, Chain) or len(line.parts) < 3:
        return f'<math display="block">{MATH.show(line)}</math>'
    left = "" if line.parts[0] is None else MATH.show(line.parts[0])
    rows = []
    for i, part in enumerate(line.parts[1:]):
        assert part is not None  # only the left side may be empty
        cells = (left if not i else "", MATH.sign(line.sign), MATH.show(part, 1))
        rows.append(f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in cells)}</mtr>")
    return f'<math display="block"><mtable class="lines" displaystyle="true">{"".join(rows)}</mtable></math>'
