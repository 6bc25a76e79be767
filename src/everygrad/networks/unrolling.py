"""``eg.unroll``: a recurrent network as an ordinary graph, each time step a copy of the cell's nodes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

from everygrad.backprop import Network, Trace, forward
from everygrad.backprop.scans import Family
from everygrad.engines import Array
from everygrad.errors import UnsupportedError
from everygrad.graph import Graph, Node
from everygrad.graph.arithmetic import Divide, Multiply
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss, Reduce
from everygrad.graph.sequence import AtStep, KeepSteps, MeanOverTime, StepWeight
from everygrad.graph.time import Scan
from everygrad.graph.time.loop import MASK
from everygrad.networks.copies import Edge, Maker

COPY = Elementwise("identity")


@final
@dataclass(frozen=True, slots=True, eq=False)
class UnrolledNetwork:
    """A network without scans. Iterating gives what every function of a network takes: graph, params, *data.

    ``steps``: the names of a quantity of the network, one for each time step (``h[0]``, ``h[1]``, ...), or its own if
    it has no time. ``kept`` (batch, time): where a quantity's steps count, if there is padding. ``recurrent``: label of
    a scan -> the edges (node, slot) by which a step reads the states before it.
    """

    graph: Graph
    params: Mapping[str, Array]
    data: tuple[Array, ...]
    steps: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, Array]
    recurrent: Mapping[str, frozenset[Edge]]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.graph, self.params, *self.data))

    def __repr__(self) -> str:
        T = max((len(names) for names in self.steps.values()), default=0)
        return f"UnrolledNetwork({T} steps, {len(self.graph.nodes)} nodes; output {self.graph.output})"


def unroll(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    of: str | Sequence[str] | None = None,
    **named: Array,
) -> UnrolledNetwork:
    """A recurrent network as a graph in which each time step has nodes of its own, for these data.

    ::

        u = eg.unroll(net, params, x, y)
        eg.jacobian(*u, of="h[5]", wrt="h[2]")            # ∂h_5/∂h_2 of each sample
        eg.paths(*u, wrt=("h[2]", 3), k=10)               # which units and gates carry the gradient of one unit
        eg.check(*u)

    A quantity over time is called by its step, counted as in the data: ``x[0]``, ``h[0]``, ``a_f_l1_reverse[4]``,
    ``loss[2]``; steps of a reverse layer too. Parameters are shared by all steps. What has no name in the cell is
    called after its scan, ``l0.multiply_1[3]``. Initial states that were not given are data, ``h0``, all zero.

    Padding: at steps that some sample does not have, the state is counts ⊙ new + (1 − counts) ⊙ old, with data
    ``counts[t]`` of ones and zeros. There ``h[t]`` is what the cell would compute; nothing depends on it.

    ``of``: for which quantities to unroll, by default the loss; data that they do not need may be left out. All
    gradients are those of the network itself. Cost: one forward pass; about as many nodes as the cell has, times the
    steps: a few thousand steps are fine for tens of units. Raises what `forward` raises, and `UnsupportedError` for
    an operation of one's own that joins steps.
    """
    trace = forward(network, params, *data, of=of, **named)
    wanted = trace.graph.output if of is None else of if isinstance(of, str) else tuple(of)[-1]
    return unrolled(trace, trace.graph.resolve(wanted))


def unrolled(trace: Trace, output: str) -> UnrolledNetwork:
    """`unroll` at the values of a trace."""
    return _Unroller(trace).graph(output)


class _Unroller:
    """Goes through the nodes of a network and makes one or several of each."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.make = Maker(trace)
        self.recurrent: dict[str, frozenset[Edge]] = {}
        self.kept: dict[str, Array] = {}

    def graph(self, output: str) -> UnrolledNetwork:
        """The graph, with everything that the pass computed."""
        families = {family.head: family for family in self.trace.plan.scans}
        for node in self.trace.nodes:
            if node.operation is None:
                self.make.given(node)
            elif isinstance(node.operation, Scan):
                if node.name in families:
                    self._scan(families[node.name])
            else:
                self._quantity(node)
        steps = self.make.steps
        end = steps[output][-1]
        if len(steps[output]) > 1 and not self.make.shape(
            output
        ):  # a number for each step: their sum, as in `backward`
            end = self.make.total(steps[output], output)
        nodes = tuple(self.make.nodes.values())
        made = Graph(nodes, end, MappingProxyType(dict(self._aliases(self.trace.graph.aliases))))
        arrays = self.make.arrays
        return UnrolledNetwork(
            made,
            MappingProxyType({name: arrays[name] for name in made.parameters}),
            tuple(arrays[name] for name in made.data),
            MappingProxyType({name: tuple(names) for name, names in steps.items()}),
            MappingProxyType(self.kept),
            MappingProxyType(self.recurrent),
        )

    def _aliases(self, aliases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for alias, name in aliases.items():
            for made in self.make.steps.get(name, ()):
                second = alias + made.removeprefix(name)
                if second not in self.make.nodes:
                    yield second, made

    def _scan(self, family: Family) -> None:
        """Copies of the cell, each reading the states of the one before it."""
        make, scan, cell = self.make, family.scan, family.scan.cell
        given = dict(zip(scan.slots, family.inputs, strict=True))
        shown = {own.quantity: node.name for node, own in family.members() if own.at == "all"}
        skips = make.skips(given[MASK]) if scan.masked else None
        now = {name: given[name] for name in cell.parameters}
        state = {previous: given.get(previous) or self._zero(scan, name, shown) for name, previous in cell.states}
        edges: set[Edge] = set()
        order = reversed(range(make.T)) if scan.reverse else range(make.T)
        found: dict[str, dict[int, str]] = {name: {} for name in shown.values()}
        for node in cell.graph.nodes:
            if node.constant is not None:
                now[node.name] = make.constant(node.constant)
            elif node.operation is not None and not node.lead:  # of parameters alone: once
                now[node.name] = make.put(node.operation, _of(now, node), f"{scan.label}.{node.name}")
        for t in order:
            now |= {cell.input: make.read(given[cell.input], t, skips), **state}
            for node in cell.graph.nodes:
                if node.operation is not None and node.lead:
                    name = shown.get(node.name)
                    made = make.put(node.operation, _of(now, node), f"{name or f'{scan.label}.{node.name}'}[{t}]")
                    now[node.name] = made
                    edges |= {(made, slot) for slot, i in enumerate(node.inputs) if i in state}
                    if name:
                        found[name][t] = made
            after = {previous: now[name] for name, previous in cell.states}
            if skips is not None and skips.partial(t):
                after = {
                    p: skips.carried(t, new, state[p], f"{shown.get(n, n)}_carried[{t}]")
                    for (n, p), new in zip(cell.states, after.values(), strict=True)
                }
            state = after
        for name, by_step in found.items():
            make.steps[name] = [by_step[t] for t in range(make.T)]
            if skips is not None:
                make.hidden[name] = skips
                self.kept[name] = skips.kept
        ends = {name: state[previous] for name, previous in cell.states}
        for node, own in family.members():
            if own.at == "end":
                make.steps[node.name] = [make.put(COPY, [ends[own.quantity]], node.name)]
        self.recurrent[family.label] = frozenset(edges)

    def _zero(self, scan: Scan, state: str, shown: Mapping[str, str]) -> str:
        assert scan.sizes is not None
        name = shown.get(state, "")
        suffix = name.removeprefix(state) if name.startswith(state) else f"_{scan.label}"
        return self.make.data(f"{state}0{suffix}", self.trace.kind.zeros((self.make.B, scan.sizes[state])))

    def _quantity(self, node: Node) -> None:
        """One node for each step, if there are steps; or one that joins them."""
        make, operation = self.make, node.operation
        assert operation is not None
        if 2 not in node.leads:
            made = [make.put(operation, [make.steps[i][0] for i in node.inputs], node.name)]
        elif isinstance(operation, AtStep):
            made = [make.put(COPY, [make.read(node.inputs[0], operation.step % make.T)], node.name)]
        elif isinstance(operation, MeanOverTime):
            made = [self._mean(node)]
        elif isinstance(operation, KeepSteps):
            made = self._kept_steps(node)
        elif isinstance(operation, StepWeight):
            made = self._step_weights(node)
        elif isinstance(operation, Loss | Reduce):
            made = self._loss(node, operation)
        else:
            made = [
                make.put(operation, [make.read(i, t) for i in node.inputs], f"{node.name}[{t}]") for t in make.times
            ]
            if node.lead != 2 or any(make.nodes[name].lead != 1 for name in made):
                raise UnsupportedError(
                    f"{node.name!r}: the operation {operation.name!r} joins steps in a way of its own and cannot be "
                    f"unrolled; write it with at_step, mean_over_time, a scan or a loss"
                )
        make.steps[node.name] = made

    def _mean(self, node: Node) -> str:
        make, (h, *counting) = self.make, node.inputs
        if not counting:
            total = make.total([make.read(h, t) for t in make.times], f"{node.name}.sum")
            return make.put(Multiply(), [total, make.constant(1.0 / make.T)], node.name)
        skips = make.skips(counting[0])
        inside = [make.read(h, t) for t in make.times]
        if make.hidden.get(h) is not skips:
            inside = [skips.only(t, name, f"{h}_kept[{t}]") for t, name in enumerate(inside)]
        return make.put(Divide(), [make.total(inside, f"{node.name}.sum"), skips.count()], node.name)

    def _kept_steps(self, node: Node) -> list[str]:
        make, (x, counting) = self.make, node.inputs
        if node.name not in make.differentiable:  # tokens, labels: their padding was emptied with the data
            return make.steps[x]
        skips = make.skips(counting)
        self.kept[node.name] = skips.kept
        names = [f"{node.name}[{t}]" for t in make.times]
        if make.emptied.get(x) is skips and make.only_scans(node.name, counting):
            return [make.put(COPY, [make.read(x, t)], names[t]) for t in make.times]
        return [skips.only(t, make.read(x, t), names[t], copy=True) for t in make.times]

    def _step_weights(self, node: Node) -> list[str]:
        make, (_, counting, *weight) = self.make, node.inputs
        skips = make.skips(counting)
        if weight:
            names = [(t, make.read(weight[0], t)) for t in make.times]
            return [skips.only(t, name, f"{node.name}[{t}]", copy=True) for t, name in names]
        return [make.put(COPY, [skips.counts(t)], f"{node.name}[{t}]") for t in make.times]

    def _loss(self, node: Node, operation: Loss | Reduce) -> list[str]:
        """The loss of each step, and what becomes of them: Σ c ℓ with the c of the reduction."""
        make = self.make
        if isinstance(operation, Reduce):
            losses = [make.read(node.inputs[0], t) for t in make.times]
            weight = node.inputs[1:]
        else:
            alone = type(operation)(**{**operation.attributes, "reduction": "none"})
            each = [[make.read(name, t) for name in node.inputs[:2]] for t in make.times]
            losses = [make.put(alone, pair, f"{node.name}[{t}]") for t, pair in enumerate(each)]
            weight = node.inputs[2:]
        weights = [make.read(weight[0], t) for t in make.times] if weight else None
        weighted = losses
        if weights is not None:
            pairs = zip(losses, weights, strict=True)
            weighted = [make.put(Multiply(), pair, f"{node.name}.weighted[{t}]") for t, pair in enumerate(pairs)]
        if operation.reduction.batch == "none":
            return weighted
        total = make.total(weighted, f"{node.name}.sum")
        if operation.reduction.batch == "sum":
            return [make.put(Reduce("sum"), [total], node.name)]
        if weights is None:
            mean = make.put(Reduce("mean"), [total], f"{node.name}.mean")
            return [make.put(Multiply(), [mean, make.constant(1.0 / make.T)], node.name)]
        above = make.put(Reduce("sum"), [total], f"{node.name}.weighted")
        below = make.put(Reduce("sum"), [make.total(weights, f"{node.name}.weight")], f"{node.name}.weights")
        return [make.put(Divide(), [above, below], node.name)]


def _of(now: Mapping[str, str], node: Node) -> Iterable[str]:
    return [now[name] for name in node.inputs]
