"""Graphs as JSON, node by node, and back through the ordinary constructors; each cell of a scan is written once."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from everygrad.backprop.scans import families
from everygrad.errors import EverygradError, FileFormatError, UnsupportedError, all_mismatches
from everygrad.files.document import fields, items, name, number, text, whole, write_json, wrong
from everygrad.files.operations import arity, build_operation, describe_operation
from everygrad.graph import Graph, Node, Operation
from everygrad.graph.time import Cell, Scan

MAX_RANK = 8
MAX_CELL = 5000
"""How many nodes a cell may have."""
GIVEN = ("data", "parameter", "constant")


def describe_graph(graph: Graph) -> dict[str, Any]:
    """Its nodes, output and aliases, and the cells of its scans, each once.

    Raises `UnsupportedError` with every operation that is not in the table, also those inside of cells.
    """
    cells: list[Cell] = []
    description = _describe_nodes(graph, cells)
    if cells:
        described, problems = [], []
        for cell in cells:
            try:
                described.append(describe_cell(cell))
            except UnsupportedError as error:
                problems.append(f"in a cell: {error}")
        all_mismatches("this graph cannot be saved", problems, UnsupportedError)
        description["cells"] = described
    return description


def describe_cell(cell: Cell) -> dict[str, Any]:
    """A cell's graph and the names of its states."""
    return {"graph": _describe_nodes(cell.graph, None), "states": [list(pair) for pair in cell.states]}


def _describe_nodes(graph: Graph, cells: list[Cell] | None) -> dict[str, Any]:
    nodes, problems = [], []
    for node in graph.nodes:
        try:
            nodes.append(_describe_node(node, graph.by_name, cells))
        except UnsupportedError as error:
            problems.append(str(error))
    all_mismatches("this graph cannot be saved", problems, UnsupportedError)
    return {"nodes": nodes, "output": graph.output, "aliases": dict(graph.aliases)}


def _describe_node(node: Node, by_name: Mapping[str, Node], cells: list[Cell] | None) -> dict[str, Any]:
    where = f"node {node.name!r}"
    description: dict[str, Any] = {"name": node.name, "role": node.role}
    if node.operation is not None:
        description |= {"operation": describe_operation(node.operation, where, cells), "inputs": list(node.inputs)}
        again = _quantity(node.name, node.operation, [by_name[i] for i in node.inputs])
    elif node.role == "constant":
        if node.constant is None or not math.isfinite(node.constant):
            raise UnsupportedError(f"{where} is {node.constant}: a file holds finite constants")
        description["constant"] = float(node.constant)
        again = Node(node.name, "constant", constant=float(node.constant))
    elif node.role == "data":
        description["lead"] = node.lead
        again = Node(node.name, "data", lead=node.lead)
    else:
        again = Node(node.name, "parameter")
    if again != node:
        raise UnsupportedError(f"{where} has fields that do not follow from its role and its inputs: {node}")
    return description


def _quantity(called: str, operation: Operation, inputs: list[Node]) -> Node:
    leads = tuple(i.lead for i in inputs)
    return Node(called, "quantity", operation, tuple(i.name for i in inputs), leads, operation.lead(leads))


def build_graph(value: object, where: str) -> Graph:
    """The graph that ``value`` describes; raises `FileFormatError` with the place of the first fault."""
    found = fields(value, where, ("nodes", "output", "aliases"), ("cells",))
    described = items(found.get("cells", []), f"{where}.cells")
    if len({write_json(cell) for cell in described}) < len(described):
        raise FileFormatError(f"{where}.cells: two are the same; each cell is written once")
    cells = [build_cell(cell, f"{where}.cells[{i}]") for i, cell in enumerate(described)]
    graph = _build_nodes(found, where, cells)
    used = {id(node.operation.cell) for node in graph.nodes if isinstance(node.operation, Scan)}
    for i, cell in enumerate(cells):
        if id(cell) not in used:
            raise FileFormatError(f"{where}.cells[{i}] is the cell of no scan")
    families(graph.nodes)  # raises if two scans with one label are not the same
    return graph


def build_cell(value: object, where: str) -> Cell:
    """The cell that ``value`` describes."""
    found = fields(value, where, ("graph", "states"))
    own = fields(found["graph"], f"{where}.graph", ("nodes", "output", "aliases"))
    items(own["nodes"], f"{where}.graph.nodes", MAX_CELL)
    graph = _build_nodes(own, f"{where}.graph", [])
    states = []
    for i, pair in enumerate(items(found["states"], f"{where}.states")):
        names = [text(n, f"{where}.states[{i}]") for n in items(pair, f"{where}.states[{i}]", 2)]
        if len(names) != 2:
            raise wrong(f"{where}.states[{i}]", "[the name after the step, the name before it]", pair)
        states.append((names[0], names[1]))
    try:
        return Cell(graph, tuple(states))
    except EverygradError as error:
        raise FileFormatError(f"{where}: {error}") from None


def _build_nodes(found: Mapping[str, Any], where: str, cells: Sequence[Cell]) -> Graph:
    by_name: dict[str, Node] = {}
    for i, described in enumerate(items(found["nodes"], f"{where}.nodes")):
        node = _build_node(described, f"{where}.nodes[{i}]", by_name, cells)
        if node.name in by_name:
            raise FileFormatError(f"{where}.nodes[{i}]: a second node is named {node.name!r}")
        by_name[node.name] = node
    aliases = found["aliases"]
    if not isinstance(aliases, dict):
        raise wrong(f"{where}.aliases", "an object", aliases)
    for alias, target in aliases.items():
        name(alias, f"{where}.aliases")
        if alias in by_name or text(target, f"{where}.aliases.{alias}") not in by_name:
            raise FileFormatError(f"{where}.aliases: {alias!r} must be a new name for a node, got {target[:40]!r}")
    output = text(found["output"], f"{where}.output")
    return Graph(tuple(by_name.values()), output, MappingProxyType(aliases))


def _build_node(value: object, where: str, before: Mapping[str, Node], cells: Sequence[Cell]) -> Node:
    role = text(value.get("role") if isinstance(value, dict) else None, f"{where}.role")
    if role == "quantity":
        found = fields(value, where, ("name", "role", "operation", "inputs"))
        return _build_quantity(found, where, before, cells)
    if role not in GIVEN:
        raise wrong(f"{where}.role", "data, parameter, constant or quantity", role)
    own = {"data": ("lead",), "constant": ("constant",)}.get(role, ())
    found = fields(value, where, ("name", "role", *own))
    called = name(found["name"], f"{where}.name")
    if role == "data":
        return Node(called, "data", lead=whole(found["lead"], f"{where}.lead", 1, MAX_RANK))
    if role == "constant":
        return Node(called, "constant", constant=number(found["constant"], f"{where}.constant"))
    return Node(called, "parameter")


def _build_quantity(found: Mapping[str, Any], where: str, before: Mapping[str, Node], cells: Sequence[Cell]) -> Node:
    called = name(found["name"], f"{where}.name")
    operation = build_operation(found["operation"], f"{where}.operation", cells=cells)
    inputs = [text(v, f"{where}.inputs[{i}]") for i, v in enumerate(items(found["inputs"], f"{where}.inputs"))]
    least, most = arity(operation)
    if not least <= len(inputs) <= most:
        takes = f"{least}" if least == most else f"{least} to {most}"
        raise FileFormatError(f"{where}: {operation.name!r} takes {takes} inputs, got {len(inputs)}")
    for i, source in enumerate(inputs):
        if source not in before:
            raise FileFormatError(f"{where}.inputs[{i}]: {source[:40]!r} is not defined by a node before {called!r}")
    return _quantity(called, operation, [before[i] for i in inputs])
