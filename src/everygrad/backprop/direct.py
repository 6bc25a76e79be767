"""Direct gradients: what a step's own output says of a quantity, without what comes through later steps."""

from collections.abc import Iterator, Mapping
from typing import final

from everygrad.backprop.scans import Arrived, Family, sent, sweep
from everygrad.backprop.trace import Trace
from everygrad.engines import Array
from everygrad.errors import UnknownNameError


@final
class Direct(Mapping[str, Array]):
    """The direct gradients of a pass, by name: the recurrence of each scan is cut, everything else is not.

    Of states, gates and pre-activations at every step, in the shape of the quantity; of what goes into a scan (the
    input, initial states, parameters), what reaches it through one step only. Made at first use: one sweep over
    all steps at once, without a loop, for each scan asked for.
    """

    def __init__(self, trace: Trace, arrays: Mapping[str, Array], arrived: Arrived) -> None:
        self._trace = trace
        self._arrays = arrays
        self._arrived = arrived
        self._families = [f for f in trace.plan.scans if f.label in arrived]
        self._swept: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {}

    def _of(self, family: Family) -> tuple[dict[str, Array], dict[str, Array]]:
        """(the quantities of a scan, what it sends to its inputs)."""
        if family.label not in self._swept:
            swept, shown = sweep(family, self._trace.runs[family.label], self._arrived[family.label], carry=False)
            self._swept[family.label] = shown, dict(sent(family, swept))
        return self._swept[family.label]

    def _behind(self, name: str) -> str:
        """What goes into a scan in place of these data: themselves without their padding, which receives nothing."""
        for user, slot in self._trace.graph.consumers[name]:
            operation = self._trace.graph.by_name[user].operation
            if slot == 0 and operation is not None and operation.prepares and user in self._trace.arrays:
                return user
        return name

    def __getitem__(self, name: str) -> Array:
        name = self._behind(self._trace.graph.resolve(name))
        terms = []
        for family in self._families:
            if any(node.name == name for node in family.nodes):
                inside = self._of(family)[0]
                return inside[name] if name in inside else self._arrays[name]
            if name in family.inputs and name in (outgoing := self._of(family)[1]):
                terms.append(outgoing[name])
        if not terms:
            raise UnknownNameError(
                f"{name!r} has no direct gradient apart from its total one: it is no quantity of a scan, nor does it "
                f"go into one. Those that have: {', '.join(self)}"
            )
        for user, edges in self._trace.plan.sweep:
            for edge in edges:
                if edge.name == name and user in self._arrays and self._trace.differentiable(edge.node, edge.slot):
                    J = self._trace.local(edge.node, edge.slot)
                    terms.append(J.pull(self._arrays[user], total=edge.shared))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def __iter__(self) -> Iterator[str]:
        names: dict[str, None] = {}
        for family in self._families:
            names.update(dict.fromkeys(node.name for node in family.nodes if node.name in self._arrays))
            names.update(dict.fromkeys(name for name in family.inputs if name in self._arrays))
        return iter(names)

    def __len__(self) -> int:
        return len(list(iter(self)))
