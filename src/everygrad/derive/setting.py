"""What a derivation works on: an ordinary graph with its numbers, whatever was given."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients, Network, Trace, backward, forward, graph_of
from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Name
from everygrad.derive.invent import Kind, invented
from everygrad.derive.values import Exact, Library, Numbers
from everygrad.derive.written import Written
from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.graph import Graph
from everygrad.networks import Recurrent
from everygrad.networks.unrolling import UnrolledNetwork, unrolled
from everygrad.paths.expression import Expression

Wanted = Any
"""``"h1[3]"``, ``"h[2,3]"`` (step 2, unit 3), ``"W1"``; or with the element behind it, ``("h1", 3)``."""

_INDEXED = re.compile(r"(.+?)\[([-\d,\s]+)\]", re.DOTALL)
LARGEST = 4


@final
@dataclass(frozen=True, eq=False)
class Setting:
    """``of``: the node that is differentiated, at ``of_index``; ``whole``: the pass before the steps were unrolled."""

    network: Any
    written: Written
    numbers: Numbers
    gradients: Gradients
    of: str
    of_index: tuple[int, ...]
    seed: np.ndarray
    sample: int
    samples: int
    origin: str
    whole: Gradients | None
    made: Expression | None
    exact: bool

    @property
    def graph(self) -> Graph:
        """The graph without scans."""
        return self.gradients.trace.graph

    @property
    def target(self) -> Name:
        """What is differentiated, as a formula."""
        name = self.written.name(self.of)
        return Name(name.text, name.step, tuple(map(str, self.of_index)), name.shape)

    def name(self, name: str, index: tuple[str, ...] = ()) -> Name:
        """A quantity, or an element of it."""
        found = self.written.name(name)
        return Name(found.text, found.step, index, found.shape)

    def partial(self, name: str, index: tuple[str, ...] = ()) -> Expr:
        """∂L/∂v; 1 for the target itself."""
        if name == self.of and not self.target.shape:
            return e.ONE
        return e.Partial(self.target, self.name(name, index))

    def steps_of(self, name: str) -> list[str]:
        """The nodes of a quantity over time, in the order of time."""
        found = [(t, node) for node, (quantity, t) in self.written.times.items() if quantity == name]
        return [node for _, node in sorted(found)]

    def find(self, wanted: Wanted) -> tuple[str, tuple[int, ...]]:
        """The node and the element that were asked for; raises `InputError`."""
        return find(self.graph, self.gradients.trace, self.written.times, wanted)


def find(
    graph: Graph, trace: Mapping[str, Any], times: Mapping[str, tuple[str, int]], wanted: Wanted
) -> tuple[str, tuple[int, ...]]:
    """See `Setting.find`."""
    index: tuple[int, ...] = ()
    if isinstance(wanted, tuple):
        wanted, *rest = wanted
        index = tuple(int(i) for i in rest)
    over_time: dict[str, list[str]] = {}
    for node, (quantity, _) in sorted(times.items(), key=lambda item: item[1][1]):
        over_time.setdefault(quantity, []).append(node)
    for alias, node in graph.aliases.items():
        if node in times:
            over_time.setdefault(alias.rpartition("[")[0], over_time[times[node][0]])
    name = str(wanted)
    name, index = _split(graph, over_time, name, index)
    if name in over_time:
        steps = over_time[name]
        if not index:
            raise InputError(
                f"{name!r} has {len(steps)} steps: say which, {name}[0] to {name}[{len(steps) - 1}], "
                f"or {name}[0,1] for unit 1 at step 0"
            )
        t, *rest = index
        if not 0 <= t < len(steps):
            raise InputError(f"{name}[{t}]: there is no step {t}, they go from 0 to {len(steps) - 1}")
        name, index = steps[t], tuple(rest)
    if name not in graph.by_name and name not in graph.aliases:
        plain = [n for n in graph.by_name if "." not in n and n not in times]
        raise unknown_name("quantity", name, [*plain, *over_time, *(a for a in graph.aliases if "[" not in a)])
    name = graph.resolve(name)
    shape = tuple(trace[name].shape[graph.by_name[name].lead :])
    if index and (len(index) != len(shape) or any(not 0 <= i < n for i, n in zip(index, shape, strict=True))):
        raise InputError(f"{name}{list(index)} is not in {name!r}, which has the shape {shape} in each sample")
    return name, index


def _split(
    graph: Graph, over_time: Mapping[str, list[str]], name: str, index: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """The name in front of the brackets and what is in them; a name may itself end in brackets."""
    while name not in graph.by_name and name not in graph.aliases and name not in over_time:
        match = _INDEXED.fullmatch(name)
        if match is None:
            break
        name, inside = match.groups()
        try:
            index = (*(int(i) for i in inside.split(",")), *index)
        except ValueError:
            raise InputError(f"[{inside}] is not an index: h1[3], W2[0,1], or h[2,3] for unit 3 at step 2") from None
    return name, index


def in_double(array: Any) -> np.ndarray:
    """A NumPy array, in double precision if it is floating point."""
    found = np.asarray(to_numpy(array))
    return found.astype(np.float64) if found.dtype.kind == "f" else found


def setting(
    network: Graph | Network,
    params: Mapping[str, Array] | None,
    data: tuple[Array, ...],
    named: Mapping[str, Array],
    of: Wanted | None,
    sample: int,
    numbers: Kind,
    seed: int,
    samples: int,
    steps: int,
    exact: bool,
) -> Setting:
    """The setting of a network or a graph; numbers that were not given are invented."""
    graph, _ = graph_of(network)
    origin = ""
    given = dict(zip(graph.data, data, strict=False)) | {graph.resolve(name): a for name, a in named.items()}
    if len(data) > len(graph.data):
        raise InputError(f"{len(data)} data arrays were given, the graph takes {len(graph.data)}: {graph.data}")
    if params is None or (not given and graph.data):
        kind = "integers" if exact and numbers == "tenths" else numbers
        params, found = invented(network, kind, seed, samples, steps, params)
        given = found | given
        words = {"tenths": "tenths from -0.9 to 0.9", "integers": "whole numbers from -2 to 2", "init": "random"}[kind]
        origin = f"No data were given: the numbers are {words}, drawn with seed {seed}."
    params = {name: in_double(a) for name, a in params.items()}
    arrays: dict[str, Any] = {name: in_double(a) for name, a in given.items()}
    trace = forward(network, params, **arrays)
    whole = None
    times: dict[str, tuple[str, int]] = {}
    initial: dict[str, tuple[str, int]] = {}
    named_nodes = None
    if trace.plan.scans:
        whole = backward(trace)
        made = unrolled(trace, graph.output)
        several = {n: parts for n, parts in made.steps.items() if graph.by_name[n].lead == 2}
        times = {part: (n, t) for n, parts in several.items() for t, part in enumerate(parts)}
        hidden = {node.name for node in graph.nodes if _unnamed(node)}
        named_nodes = frozenset(p for n, parts in made.steps.items() if n not in hidden for p in parts)
        initial = _initial(made, trace)
        trace = forward(made.graph, made.params, *made.data)
    return finished(network, trace, times, initial, named_nodes, of, sample, origin, whole, None, exact)


def _initial(made: UnrolledNetwork, trace: Trace) -> dict[str, tuple[str, int]]:
    """The nodes of the states before the first step -> (the state, -1); of a reverse layer the step after the last."""
    found = {}
    for family in trace.plan.scans:
        shown = {own.quantity: node.name for node, own in family.members() if own.at == "all"}
        given = dict(zip(family.scan.slots, family.inputs, strict=True))
        for state, previous in family.scan.cell.states:
            if state not in shown:
                continue
            name = given.get(previous, f"{state}0{shown[state].removeprefix(state)}")
            before = len(made.steps[shown[state]]) if family.scan.reverse else -1
            if name in made.graph.data:
                found[name] = (shown[state], before)
    return found


def _unnamed(node: Any) -> bool:
    stem, _, number = node.name.rpartition("_")
    return node.operation is not None and stem == node.operation.name and number.isdigit()


def finished(
    network: Any,
    trace: Trace,
    times: Mapping[str, tuple[str, int]],
    initial: Mapping[str, tuple[str, int]],
    named_nodes: frozenset[str] | None,
    of: Wanted | None,
    sample: int,
    origin: str,
    whole: Gradients | None,
    made: Expression | None,
    exact: bool,
) -> Setting:
    """The setting of a pass over an ordinary graph."""
    graph = trace.graph
    end, index = (graph.output, ()) if of is None else find(graph, trace, times, of)
    node = graph.by_name[end]
    shape = tuple(trace[end].shape[node.lead :])
    if shape and not index:
        raise InputError(f"of={end!r} has {shape} numbers: say which is differentiated, of='{end}[0]'")
    seed = np.zeros(trace[end].shape)
    seed[(..., *index)] = 1.0
    gradients = backward(trace, end, seed)
    samples = max((len(trace[n.name]) for n in trace.nodes if n.lead), default=1)
    if not 0 <= sample < samples:
        raise InputError(f"sample {sample} was asked for: there are {samples}, counted from 0")
    letter = {"loss": "L"} if "L" not in {n.name for n in graph.nodes} else {}
    written = Written(graph, trace, times, named_nodes, letter, samples, initial)
    numbers: Numbers = Exact(written, gradients, sample, seed) if exact else Library(written, gradients, sample)
    return Setting(network, written, numbers, gradients, end, index, seed, sample, samples, origin, whole, made, exact)


def is_recurrent(s: Setting) -> bool:
    """Whether the network is a `Recurrent`, or any graph with scans."""
    return isinstance(s.network, Recurrent) or bool(s.written.times)
