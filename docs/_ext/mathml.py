"""Formulas as MathML, made by docutils while the page is built: every browser of today draws it without a script."""

import re
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
TIGHT = {"lspace": "0", "rspace": "0", "stretchy": "false"}


def mathml(tex: str, block: bool) -> str:
    """MathML of a formula; raises `MathError`. Mends two habits of docutils: see below."""
    ET.register_namespace("", NAMESPACE)
    text = re.sub(r"&(?!(?:lt|gt|amp|quot);)\w+;", lambda found: unescape(found[0]), tex2mathml(tex, as_block=block))
    root = ET.fromstring(text)
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag in ("munder", "munderover") and any(e.get("accent") for e in element[0].iter()):
            # an index of an accented letter belongs to its right, not below the accent
            element.tag = f"{{{NAMESPACE}}}" + ("msub" if tag == "munder" else "msubsup")
        elif tag == "mo" and not element.attrib and element.text in ("'", "‖", "|"):
            element.text = "′" if element.text == "'" else element.text
            element.attrib.update(TIGHT)
    return ET.tostring(root, encoding="unicode")


def _of(node: nodes.Element, block: bool) -> str:
    try:
        return mathml(node.astext(), block)
    except MathError as error:
        raise ExtensionError(f"{node.source}:{node.line}: {node.astext()}: {error}") from error


def inline(translator: Any, node: nodes.Element) -> None:
    """A formula in a sentence."""
    translator.body.append(_of(node, block=False))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.Element) -> None:
    """A formula by itself; a wide one scrolls, the page does not."""
    translator.body.append(f'<div class="formula">{_of(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """The renderer, chosen in conf.py by its name."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
