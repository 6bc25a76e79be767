"""Scans in a pass: all quantities of one run are computed together, and differentiated together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

from everygrad.engines import Array
from everygrad.errors import InputError
from everygrad.graph import Node
from everygrad.graph.time import Run, Scan, Segments, Sweep


@final
@dataclass(frozen=True, slots=True)
class Family:
    """The nodes that are views of one run: the same label, inputs and cell. ``head`` is the first of them."""

    label: str
    head: str
    nodes: tuple[Node, ...]

    @property
    def scan(self) -> Scan:
        """The operation of the first; the others differ in what they show."""
        assert isinstance(self.nodes[0].operation, Scan)
        return self.nodes[0].operation

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what goes into the scan."""
        return self.nodes[0].inputs

    def members(self) -> Iterator[tuple[Node, Scan]]:
        """Each node with its operation."""
        for node in self.nodes:
            assert isinstance(node.operation, Scan)
            yield node, node.operation


def families(nodes: Iterable[Node]) -> tuple[Family, ...]:
    """The scans among nodes, in order. Raises `InputError` if two different ones have one label."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        if isinstance(node.operation, Scan):
            groups.setdefault(node.operation.label, []).append(node)
    found = tuple(Family(label, group[0].name, tuple(group)) for label, group in groups.items())
    for family in found:
        for node, scan in family.members():
            if node.inputs != family.inputs or not scan.same_run(family.scan):
                raise InputError(
                    f"two different scans have the label {family.label!r} ({family.head!r} and {node.name!r}): "
                    "give each its own"
                )
    return found


def compute(family: Family, values: dict[str, Array]) -> Run | Segments:
    """Run the scan and add the values of its nodes."""
    wanted = dict.fromkeys(scan.quantity for _, scan in family.members() if scan.at == "all")
    ran = family.scan.run([values[name] for name in family.inputs], tuple(wanted))
    for node, scan in family.members():
        values[node.name] = scan.take(ran)
    return ran


def sweep(
    family: Family, ran: Run | Segments, found: Mapping[str, Array], carry: bool = True
) -> tuple[Sweep, dict[str, Array]]:
    """The gradients inside a run, and those of its nodes with all steps, from what arrived at the nodes."""
    direct = {scan.quantity: found[n.name] for n, scan in family.members() if n.name in found and scan.at == "all"}
    final = {scan.quantity: found[n.name] for n, scan in family.members() if n.name in found and scan.at == "end"}
    swept = family.scan.sweep(ran, direct, final, carry)
    shown = {
        node.name: scan.outer(swept.total[scan.quantity])
        for node, scan in family.members()
        if scan.at == "all" and scan.quantity in swept.total
    }
    return swept, shown


def sent(family: Family, swept: Sweep) -> Iterator[tuple[str, Array]]:
    """What a scan adds to the gradients of its inputs: (name, term), rule 1."""
    scan = family.scan
    parts = dict(swept.parameters) | {p: swept.initial[n] for n, p in scan.cell.states if n in swept.initial}
    if scan.cell.input in swept.total:
        parts[scan.cell.input] = scan.outer(swept.total[scan.cell.input])
    for slot, name in zip(scan.slots, family.inputs, strict=True):
        if slot in parts:
            yield name, parts[slot]
