"""A derivation as a LaTeX document, which pdflatex sets with amsmath and amssymb alone."""

import re
import unicodedata
from typing import final

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Name
from everygrad.derive.notation import SUM, Notation, broken
from everygrad.derive.records import Block, Derivation, Equations, Inline, Prose, Table
from everygrad.derive.text import PRINTED, clean

WIDTH = 88
"""Letters of a formula in a line."""

_SPECIAL = {
    **{c: f"\\{c}" for c in "&%$#{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "_": r"\_\allowbreak{}",
    "[": "{[}",
    "]": "{]}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "→": r"\ensuremath{\to}",
    "−": r"\ensuremath{-}",
    "∂": r"\ensuremath{\partial}",
    "⁺": r"\ensuremath{^{+}}",
    "Σ": r"\ensuremath{\Sigma}",
    "Π": r"\ensuremath{\Pi}",
    "∞": r"\ensuremath{\infty}",
    "ᵀ": r"\ensuremath{^{\top}}",
    "⊙": r"\ensuremath{\odot}",
    "⊗": r"\ensuremath{\otimes}",
    "∇": r"\ensuremath{\nabla}",
    "ŷ": r"\ensuremath{\hat{y}}",
    "≠": r"\ensuremath{\ne}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "²": r"\ensuremath{^{2}}",
    "³": r"\ensuremath{^{3}}",
    "₀": r"\ensuremath{_{0}}",
}
_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "varepsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "varphi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
}
_FUNCTIONS = {"log", "exp", "tanh", "max", "min", "sin", "cos"}


def escaped(text: str) -> str:
    """Text between formulas: nothing in it is a command; letters that pdflatex lacks are named by their number."""
    return "".join(_character(c) for c in clean(text))


def _character(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c in _GREEK:
        return rf"\ensuremath{{\{_GREEK[c]}}}"
    if c.isascii():
        return c
    plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return plain if plain.isalnum() else f"U+{ord(c):04X}"


@final
class LatexNotation(Notation[str]):
    """Formulas in LaTeX's mathematics."""

    stacks = True

    def row(self, *pieces: str) -> str:
        return "".join(pieces)

    def parens(self, inside: str) -> str:
        return rf"\left({inside}\right)"

    def number(self, text: str) -> str:
        mantissa, _, exponent = text.partition("e")
        mantissa = {"NaN": r"\mathrm{NaN}", "∞": r"\infty", "-∞": r"-\infty"}.get(mantissa, mantissa)
        return rf"{mantissa} \times 10^{{{int(exponent)}}}" if exponent else mantissa

    def name(self, name: Name) -> str:
        if name.text == "1":
            return rf"\mathbf{{1}}{f'[{name.index[0]}]' if name.index else ''}"
        base, below = _split(name.text)
        base = base if len(base) == 1 else rf"\{_GREEK[base]}" if base in _GREEK else _word(base)
        subs = ",".join(filter(None, (_below(below), _step(name.step))))
        index = f"[{','.join(map(_step, name.index))}]" if name.index else ""
        return f"{base}{f'_{{{subs}}}' if subs else ''}{index}"

    def words(self, text: str) -> str:
        if text == "…":
            return r"\cdots"
        space = r"\quad " if text.startswith("   ") else ""
        return space + rf"\text{{{escaped(text)}}}"

    def sign(self, sign: str, unary: bool = False) -> str:
        sign = {">=": r"\ge", "<=": r"\le", "≤": r"\le", "≈": r"\approx"}.get(sign, sign)
        return sign if unary else f" {sign} "

    def times(self, sign: str) -> str:
        return {"*": r" \cdot ", "@": r" \, ", "⊙": r" \odot ", "⊗": r" \otimes "}[sign]

    def quotient(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{{{base}}}^{{{exponent}}}"

    def call(self, function: str, arguments: list[str]) -> str:
        head = rf"\{function}" if function in _FUNCTIONS else _called(function)
        return rf"{head}\left({', '.join(arguments)}\right)"

    def transpose(self, of: str) -> str:
        return rf"{{{of}}}^{{\top}}"

    def at(self, of: str, index: list[str]) -> str:
        return f"{of}[{','.join(index)}]"

    def big(self, sign: str, index: str, lower: str, upper: str, body: str) -> str:
        command = {"Σ": r"\sum", "Π": r"\prod"}[sign]
        index = _step(index)
        bounds = f"_{{{index}={_step(lower)}}}^{{{_step(upper)}}}" if lower else f"_{{{index}}}"
        return f"{command}{bounds} {body}"

    def cases(self, rows: list[tuple[str, str | None]]) -> str:
        lines = [rf"{v} & \text{{if }} {c}" if c is not None else rf"{v} & \text{{otherwise}}" for v, c in rows]
        inside = r" \\ ".join(lines)
        return rf"\begin{{cases}} {inside} \end{{cases}}"

    def chain(self, parts: list[str | None], sign: str) -> str:
        return self.sign(sign).join(p or "" for p in parts)

    def partial(self, of: str, wrt: str, immediate: bool) -> str:
        return rf"\frac{{\partial{'^{+}' if immediate else ''} {of}}}{{\partial {wrt}}}"

    def matrix(self, rows: list[list[str]], vector: bool) -> str:
        inside = r" \\ ".join(" & ".join(row) for row in rows)
        return rf"\begin{{pmatrix}} {inside} \end{{pmatrix}}"

    def brackets(self, parts: list[str]) -> str:
        inside = r";\ ".join(parts)
        return rf"\left[{inside}\right]"


LATEX = LatexNotation()


def _split(text: str) -> tuple[str, str]:
    """``h1`` -> h, 1; ``a_f`` -> a, f; ``loss`` -> loss."""
    match = re.fullmatch(r"([^\W\d_]+)(\d*)(?:_(\w+))?", text)
    if match is None:
        return text, ""
    base, number, rest = match.groups(default="")
    return base, ",".join(filter(None, (number, rest)))


def _word(text: str) -> str:
    return rf"\mathrm{{{text}}}" if re.fullmatch("[A-Za-z]+", text) else rf"\text{{\texttt{{{escaped(text)}}}}}"


def _below(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z]?|[\d,]+", text) else rf"\text{{{escaped(text)}}}" if text else ""


def _step(text: str) -> str:
    return text if re.fullmatch(r"[\w+\-:]*", text, re.ASCII) else rf"\text{{{escaped(text)}}}"


def _called(function: str) -> str:
    if function in ("Phi", "phi"):
        return {"Phi": r"\Phi", "phi": r"\varphi"}[function]
    return r"\sigma" if function == "sigmoid" else rf"\operatorname{{{re.sub('[^A-Za-z ]', '', function)}}}"


def lines_of(line: Expr) -> list[str]:
    """A formula in lines that fit on a page, with the alignment marks of amsmath."""
    if isinstance(line, e.Phrase) and isinstance(line.parts[0], e.Chain):
        first = lines_of(line.parts[0])
        return [*first[:-1], first[-1] + "".join(LATEX.show(part) for part in line.parts[1:])]
    if not isinstance(line, e.Chain) or line.parts[0] is None:
        return [f"& {LATEX.show(line)}"]
    sign = LATEX.sign(line.sign).strip()
    left = LATEX.show(line.parts[0], SUM)
    limit = WIDTH - measure(line.parts[0])
    found = []
    for i, part in enumerate(line.parts[1:]):
        assert part is not None  # only the left side may be empty
        for j, (before, piece) in enumerate(broken(part, limit, measure)):
            front = f"{left if not i else ''} &{sign} " if not j else r"&\quad " + _sign(before)
            found.append(front + LATEX.show(piece, SUM))
    return found


def _sign(sign: str) -> str:
    return f"{sign} " if sign in ("", "+", "-") else LATEX.times(sign).strip() + " "


def measure(part: Expr) -> int:
    """About how wide a formula is in print, in letters; a fraction is as wide as its wider half."""
    return max(map(len, PRINTED.show(_narrow(part), SUM).lines))


def _narrow(part: Expr) -> Expr:
    if not isinstance(part, e.Partial):
        return e.mapped(part, _narrow)
    return e.Words("x" * (1 + max(len(PRINTED.show(half).lines[0]) for half in (part.of, part.wrt))))


def inline(part: Inline) -> str:
    """A piece of a sentence."""
    return f"${LATEX.show(part)}$" if isinstance(part, Expr) else escaped(part)


HEAD = r"""\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp}
\usepackage{amsmath,amssymb}
\usepackage{longtable}
\usepackage[margin=16mm]{geometry}
\setcounter{MaxMatrixCols}{40}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt}
\allowdisplaybreaks
\raggedright
"""


def to_latex(d: Derivation) -> str:
    """The whole document."""
    lines = [HEAD + r"\begin{document}", "", rf"\section*{{{escaped(d.title)}}}"]
    for i, part in enumerate(d.parts, start=1):
        lines += ["", rf"\subsection*{{{i}. {escaped(part.title)}}}"]
        for block in part.blocks:
            lines += ["", *_block(block)]
    lines += ["", rf"\textbf{{Check:}} {''.join(map(inline, d.check))}", "", r"\end{document}", ""]
    return "\n".join(lines)


def _block(block: Block) -> list[str]:
    match block:
        case Prose(parts):
            return ["".join(map(inline, parts))]
        case Equations(lines):
            set_lines = [text for line in lines for text in lines_of(line)]
            return [r"\begin{align*}", *_broken(set_lines), r"\end{align*}"]
        case Table(head, rows):
            columns = "".join(_column([row[i] for row in rows]) for i in range(len(head)))
            body = [" & ".join(map(inline, row)) + r" \\[4pt]" for row in (head, *rows)]
            small = [r"{\footnotesize\setlength{\tabcolsep}{4pt}"] if len(head) > 3 else ["{"]
            top = [rf"\begin{{longtable}}[l]{{@{{}}{columns}@{{}}}}", body[0], r"\hline\endhead\noalign{\vskip 4pt}"]
            return [*small, *top, *body[1:], r"\end{longtable}", "}"]


def _column(cells: list[Inline]) -> str:
    """Left, or a paragraph where a cell is long text."""
    long = any(isinstance(cell, str) and len(cell) > 50 for cell in cells)
    return r"p{0.62\textwidth}" if long else "l"


def _broken(lines: list[str]) -> list[str]:
    return [line + (r" \\" if i < len(lines) - 1 else "") for i, line in enumerate(lines)]
