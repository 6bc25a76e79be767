"""The nodes of an unrolled graph while they are made: names, data cut into steps, steps that do not count."""

from collections.abc import Iterable, Sequence
from typing import final

import numpy as np

from everygrad.backprop import Trace
from everygrad.engines import Array, namespace, to_numpy
from everygrad.engines.arrays import is_floating
from everygrad.errors import UnsupportedError
from everygrad.graph import Node, Operation
from everygrad.graph.arithmetic import Add, Multiply, Subtract
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.sequence import KeepSteps
from everygrad.graph.steps import kept
from everygrad.graph.time import Scan

Edge = tuple[str, int]
"""A node and one of its inputs."""


@final
class Maker:
    """Nodes by name, in topological order; ``steps``: the names made of each quantity of the network.

    ``hidden``: quantities whose padding is not seen from outside of their scan. ``emptied``: data whose padding was
    replaced, since nothing looks at it.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.nodes: dict[str, Node] = {}
        self.arrays: dict[str, Array] = {}
        self.steps: dict[str, list[str]] = {}
        self.hidden: dict[str, Skips] = {}
        self.emptied: dict[str, Skips] = {}
        self.differentiable = {name for name, array in trace.arrays.items() if is_floating(array)}
        leads = {node.name: node.lead for node in trace.nodes}
        self.T = next((trace.arrays[name].shape[1] for name, lead in leads.items() if lead == 2), 1)
        self.B = next((trace.arrays[name].shape[0] for name, lead in leads.items() if lead), 1)
        self.times = range(self.T)
        self._taken = {name for name, lead in leads.items() if lead < 2}
        self._skips: dict[str, Skips] = {}
        self._seen: dict[str, str] = {}
        self._computed = {node.name for node in trace.nodes}

    def shape(self, name: str) -> tuple[int, ...]:
        """The feature shape of a quantity of the network."""
        return tuple(self.trace.arrays[name].shape[self.trace.graph.by_name[name].lead :])

    def _add(self, node: Node, own: bool = False) -> str:
        """Add a node, under another name if its name is taken; ``own``: the name is its own by right."""
        name = node.name
        while name in self.nodes or (name in self._taken and not own):
            name += "'"
        fields = (node.role, node.operation, node.inputs, node.leads, node.lead, node.constant)
        self.nodes[name] = node if name == node.name else Node(name, *fields)
        return name

    def put(self, operation: Operation, inputs: Iterable[str], name: str) -> str:
        """A computed node."""
        inputs = tuple(inputs)
        leads = tuple(self.nodes[i].lead for i in inputs)
        made = Node(name, "quantity", operation, inputs, leads, operation.lead(leads))
        return self._add(made, own=name in self._taken and name not in self.nodes)

    def data(self, name: str, array: Array) -> str:
        """A node that is given."""
        made = self._add(Node(name, "data", lead=1))
        self.arrays[made] = array
        return made

    def constant(self, value: float) -> str:
        """A number: one node for each value."""
        key = f"constant {value!r}"
        if key not in self._seen:
            self._seen[key] = self._add(Node(f"constant_{len(self._seen) + 1}", "constant", constant=value))
        return self._seen[key]

    def given(self, node: Node) -> None:
        """Data cut into steps; parameters and constants as they are; lengths and masks are in `Skips`."""
        name = node.name
        if node.lead > 2:
            raise UnsupportedError(f"{name!r} has {node.lead} leading axes: only samples and time can be unrolled")
        uses = [(user, slot) for user, slot in self.trace.graph.consumers[name] if user in self._computed]
        operations = [(self.trace.graph.by_name[user].operation, slot) for user, slot in uses]
        if uses and all(op is not None and op.counting == slot for op, slot in operations):
            return
        if node.lead < 2:
            self._add(node, own=True)
            self.steps[name] = [name]
            if node.constant is None:
                self.arrays[name] = self.trace.arrays[name]
            return
        array = self.trace.arrays[name]
        kept_only = all(isinstance(op, KeepSteps) and slot == 0 for op, slot in operations)
        countings = {self.trace.graph.by_name[user].inputs[1] for user, _ in uses if kept_only}
        if len(countings) == 1:
            self.emptied[name] = skips = self.skips(*countings)
            array = skips.filled(array)
        self.steps[name] = [self.data(f"{name}[{t}]", array[:, t]) for t in self.times]

    def read(self, name: str, t: int, within: "Skips | None" = None) -> str:
        """What a quantity's reader finds at a step: zero in the padding of a scan, unless it skips the same steps."""
        names = self.steps[name]
        if len(names) == 1 and self.trace.graph.by_name[name].lead < 2:
            return names[0]
        skips = self.hidden.get(name)
        if skips is None or skips is within or not skips.partial(t):
            return names[t]
        key = f"kept {names[t]}"
        if key not in self._seen:
            self._seen[key] = skips.only(t, names[t], f"{name}_kept[{t}]")
        return self._seen[key]

    def total(self, names: Sequence[str], name: str) -> str:
        """The sum of several quantities, by pairs, so that the way through it is short."""
        names = list(names)
        while len(names) > 2:
            pairs = [names[i : i + 2] for i in range(0, len(names), 2)]
            level = f"{name}.{len(names)}_"
            names = [self.put(Add(), p, f"{level}{i}") if len(p) == 2 else p[0] for i, p in enumerate(pairs, start=1)]
        return self.put(Add(), names, name) if len(names) == 2 else names[0]

    def skips(self, counting: str) -> "Skips":
        """The steps that count by these lengths or this mask."""
        if counting not in self._skips:
            self._skips[counting] = Skips(self, counting, first=not self._skips)
        return self._skips[counting]

    def only_scans(self, name: str, counting: str) -> bool:
        """Whether only scans that skip the same steps read a quantity."""
        for user, _ in self.trace.graph.consumers[name]:
            node = self.trace.graph.by_name[user]
            if user in self._computed and not (
                isinstance(node.operation, Scan) and node.operation.masked and node.inputs[-1] == counting
            ):
                return False
        return True


@final
class Skips:
    """Which steps of which sample count, as data of ones and zeros for the steps that some sample does not have."""

    def __init__(self, make: Maker, counting: str, first: bool) -> None:
        self.make = make
        self.kept = kept(make.trace.arrays[counting], make.T)
        self._whole: np.ndarray = np.all(to_numpy(self.kept), axis=0)
        self._prefix = "" if first else f"{counting}."
        self._made: dict[str, str] = {}

    def partial(self, t: int) -> bool:
        """Whether a sample lacks this step."""
        return not self._whole[t]

    def counts(self, t: int) -> str:
        """1 where the step counts, else 0, a number for each sample."""
        return self._data(f"counts[{t}]", self.kept[:, t])

    def count(self) -> str:
        """How many steps of each sample count."""
        xp = namespace(self.kept)
        return self._data("number of steps", xp.sum(xp.astype(self.kept, xp.int64), axis=1))

    def _data(self, name: str, array: Array) -> str:
        if name not in self._made:
            kind = self.make.trace.kind
            self._made[name] = self.make.data(self._prefix + name, kind.xp.astype(array, kind.dtype))
        return self._made[name]

    def only(self, t: int, name: str, as_: str, copy: bool = False) -> str:
        """A quantity where the step counts, else zero; if all samples have it, itself, or a copy."""
        if self.partial(t):
            return self.make.put(Multiply(), [self.counts(t), name], as_)
        return self.make.put(Elementwise("identity"), [name], as_) if copy else name

    def carried(self, t: int, new: str, old: str, name: str) -> str:
        """The new state where the step counts, else the old one."""
        key = f"rest[{t}]"
        if key not in self._made:
            one = self.make.constant(1.0)
            self._made[key] = self.make.put(Subtract(), [one, self.counts(t)], f"{self._prefix}1 - counts[{t}]")
        kept_old = self.make.put(Multiply(), [self._made[key], old], f"{name} old")
        kept_new = self.make.put(Multiply(), [self.counts(t), new], f"{name} new")
        return self.make.put(Add(), [kept_new, kept_old], name)

    def filled(self, array: Array) -> Array:
        """Data whose padding is each sample's own first step, as in a scan: a cell need not be defined at zero.

        Whole numbers become zero there, as everywhere.
        """
        xp = namespace(array)
        first = xp.argmax(xp.astype(self.kept, xp.int64), axis=1)
        rest = (1,) * (array.ndim - 2)
        own = array[xp.arange(array.shape[0]), first][:, None] if is_floating(array) else xp.zeros_like(array)
        return xp.where(xp.reshape(self.kept, (*self.kept.shape, *rest)), array, own)
