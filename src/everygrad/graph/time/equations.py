"""A cell's equations as people write them: steps that have no name of their own are written out where they are used."""

import re
from collections.abc import Mapping

from everygrad.graph.graph import Node
from everygrad.graph.time.cell import Cell


def written(cell: Cell, names: Mapping[str, str]) -> dict[str, str]:
    """Quantity -> what it is computed from, in order: ``a: U x + b + W h_prev``, ``h: tanh(a)``.

    ``names``: what to call quantities, parameters, the input, the previous states; by default by their own names.
    """
    found: dict[str, str] = {}
    shown: dict[str, str] = {}
    for node in cell.graph.nodes:
        if node.operation is None:
            own = names.get(node.name, node.name)
            shown[node.name] = f"{node.constant:g}" if node.constant is not None else own
        else:
            text = node.operation.formula(*_operands(node, shown))
            if node.name in cell.quantities:
                found[node.name] = text
                text = names.get(node.name, node.name)
            shown[node.name] = text
    return found


def _operands(node: Node, written: dict[str, str]) -> list[str]:
    """The inputs, in parentheses where what is around them would bind stronger than what is in them."""
    return [
        f"({written[name]})" if _binds(node, slot) >= _loosest(written[name]) else written[name]
        for slot, name in enumerate(node.inputs)
    ]


SUM, APPLIED, PRODUCT, ONE = 1, 2, 3, 4
"""How strongly a text holds together: a sum, W h, a product or a power, one word or call."""


def _loosest(text: str) -> int:
    """How strongly the loosest operator outside of all parentheses binds."""
    while (inner := re.sub(r"\([^()]*\)", "", text)) != text:
        text = inner
    if any(sign in text for sign in (" + ", " - ", " if ")):
        return SUM
    return APPLIED if " " in text else PRODUCT if "*" in text or "/" in text else ONE


def _binds(node: Node, slot: int) -> int:
    """The loosest text that needs parentheses as this input; 0 if none does."""
    assert node.operation is not None  # only computed nodes have inputs
    match node.operation.name:
        case "add":
            return 0
        case "subtract":
            return SUM if slot else 0
        case "multiply":
            return APPLIED
        case "divide":
            return PRODUCT if slot else APPLIED
    marks = [f"@{i}@" for i in range(len(node.inputs))]
    shown = node.operation.formula(*marks)
    whole = re.findall(rf"(?<=[(,]){marks[slot]}(?=[,)])", shown.replace(", ", ","))
    return 0 if len(whole) == shown.count(marks[slot]) else PRODUCT
