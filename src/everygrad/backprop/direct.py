"""Direct gradients: what a step's own output says of a quantity, without what comes through later steps."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import final

import numpy as np

from everygrad.backprop.collect import collect
from everygrad.backprop.scans import Family, sent, sweep
from everygrad.backprop.trace import Trace, not_kept
from everygrad.engines import Array
from everygrad.errors import UnknownNameError


@final
class Direct(Mapping[str, Array]):
    """The direct gradients of a pass, by name: the recurrence of each scan is cut, everything else is not.

    Of states, gates and pre-activations at every step, in the shape of the quantity; of what goes into a scan and
    what that is made of (the input, initial states, parameters), what reaches it through one step only. Made at first
    use: one sweep over all steps at once, without a loop, for each scan asked for.
    """

    def __init__(self, trace: Trace, arrays: Mapping[str, Array], arrived: Mapping[str, Mapping[str, Array]]) -> None:
        self._trace = trace
        self._arrays = arrays
        self.arrived = arrived
        self._home = {n.name: f for f in trace.plan.scans if f.label in arrived for n in f.nodes if n.name in arrays}
        scans = ((node.name, scan) for family in trace.plan.scans for node, scan in family.members())
        self._ends = {name for name, scan in scans if scan.at == "end"}  # all that reaches a final state is direct
        self._swept: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {}

    def _of(self, family: Family) -> tuple[dict[str, Array], dict[str, Array]]:
        """(the quantities of a scan, what it sends to its inputs)."""
        if family.label not in self._swept:
            arrived = self.arrived[family.label]
            with np.errstate(all="ignore"):
                swept, shown = sweep(family, self._trace.runs[family.label], arrived, carry=False)
            self._swept[family.label] = shown, dict(sent(family, swept))
        return self._swept[family.label]

    @cached_property
    def _names(self) -> frozenset[str]:
        """What the scans are made of, besides their own quantities."""
        families = {family.label: family for family in self._home.values()}.values()
        upstream = self._trace.graph.ancestors(name for family in families for name in family.inputs)
        return frozenset(n.name for n in upstream if n.name in self._arrays and n.name not in self._home)

    @cached_property
    def _upstream(self) -> dict[str, Array]:
        """The direct gradients of what the scans are made of."""
        found = {name: g for name, g in self._arrays.items() if name not in self._names}

        def through(family: Family) -> Iterable[tuple[str, Array]]:
            return self._of(family)[1].items() if family.label in self.arrived else ()

        with np.errstate(all="ignore"):
            collect(self._trace, found, through, lambda name: name in self._names)
        return {name: found.get(name, self._trace.kind.zeros(self._arrays[name].shape)) for name in self._names}

    def __getitem__(self, name: str) -> Array:
        name = self._trace.graph.resolve(name)
        if name in self._home:
            inside, total = self._of(self._home[name])[0], self._arrays[name]
            if name in self._ends:
                return total
            return inside[name] if name in inside else self._trace.kind.zeros(tuple(total.shape))
        if name in self._names:
            return self._upstream[name]
        if not_kept(self._trace.graph.by_name[name]):
            raise UnknownNameError(f"{name!r} is not kept with remember='sqrt': use remember='all'")
        raise UnknownNameError(
            f"{name!r} has no direct gradient apart from its total one: it is no quantity of a scan, nor does it go "
            f"into one. Those that have: {', '.join(self) or 'none'}"
        )

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._arrays if name in self._home or name in self._names)

    def __len__(self) -> int:
        return len(self._home) + len(self._names)
