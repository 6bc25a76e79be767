"""Docstrings are plain text with formulas, |x| or (*batch, n): what reStructuredText takes for markup is escaped.

Left alone are what is between backticks, *emphasised words*, and blocks after a line that ends in ``::``. A name in
`single backticks` is a link if the reference has one object of that name, in whatever module it lives.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

KEPT = re.compile(r"``.+?``|`[^`]+`|(?<![\w*])\*[A-Za-z][A-Za-z ’'-]*\*(?![\w*])", re.DOTALL)


def plain(text: str) -> str:
    """A paragraph without accidental markup."""
    parts, end = [], 0
    for kept in KEPT.finditer(text):
        parts += [re.sub(r"[|*]", r"\\\g<0>", text[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, re.sub(r"[|*]", r"\\\g<0>", text[end:])])


def escaped(lines: list[str]) -> list[str]:
    """The lines of a docstring, escaped outside of literal blocks."""
    found: list[str] = []
    paragraph: list[str] = []
    literal: int | None = None  # the indentation of the line that announced a literal block

    def close() -> None:
        if paragraph:
            found.extend(plain("\n".join(paragraph)).split("\n"))
            paragraph.clear()

    for line in lines:
        indent = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indent <= literal:
            literal = None
        if literal is not None or not line.strip():
            close()
            found.append(line)
            continue
        paragraph.append(line)
        if line.rstrip().endswith("::"):
            literal = indent
    close()
    return found


def process(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Called by autodoc for each docstring."""
    lines[:] = escaped(lines)


def resolve(app: Sphinx, env: Any, node: nodes.Element, shown: nodes.Element) -> nodes.Element | None:
    """A link for a name without its module, ``InputError`` or ``Decay.horizon``, unless it could mean several."""
    if node.get("refdomain") != "py":
        return None
    end = "." + node["reftarget"]
    found = [(name, entry) for name, entry in env.domains["py"].objects.items() if name.endswith(end)]
    if len(found) != 1:
        return None
    name, entry = found[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, shown, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """The hooks."""
    app.connect("autodoc-process-docstring", process)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
