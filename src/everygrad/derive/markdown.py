"""A derivation in Markdown: formulas in LaTeX between dollar signs, tables with bars."""

import re

from everygrad.derive.expr import Expr
from everygrad.derive.latex import LATEX, lines_of
from everygrad.derive.records import Block, Derivation, Equations, Inline, Prose, Table
from everygrad.derive.text import clean


def escaped(text: str) -> str:
    """Text in which nothing is Markdown or HTML."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|$~])", r"\\\1", clean(text))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def sentence(text: str) -> str:
    """The same for running text, where brackets and signs of arithmetic mean nothing by themselves."""
    shown = re.sub(r"([\\`*_\[\]|$~])", r"\\\1", clean(text))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def formula(node: Expr) -> str:
    """A formula in a sentence or a cell."""
    return f"${LATEX.show(node)}$"


def inline(part: Inline) -> str:
    """A piece of a sentence."""
    return formula(part) if isinstance(part, Expr) else sentence(part)


def to_markdown(d: Derivation) -> str:
    """The whole derivation."""
    lines = [f"# {escaped(d.title)}"]
    for i, part in enumerate(d.parts, start=1):
        lines += ["", f"## {i}. {escaped(part.title)}"]
        for block in part.blocks:
            lines += ["", *_block(block)]
    lines += ["", f"**Check:** {''.join(map(inline, d.check))}"]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Prose(parts):
            return ["".join(map(inline, parts))]
        case Equations(lines):
            texts = [text for line in lines for text in lines_of(line)]
            inside = [text + (r" \\" if i < len(texts) - 1 else "") for i, text in enumerate(texts)]
            return ["$$", r"\begin{aligned}", *inside, r"\end{aligned}", "$$"]
        case Table(head, rows):
            body = ["| " + " | ".join(map(inline, row)) + " |" for row in (head, *rows)]
            return [body[0], "|" + " --- |" * len(head), *body[1:]]
