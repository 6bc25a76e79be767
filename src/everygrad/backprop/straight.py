"""A whole pass as straight-line code: recorded at its second call with arrays of these shapes, then run as text."""

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import numpy as np

from everygrad.backprop.backward import backward
from everygrad.backprop.bind import bind
from everygrad.backprop.forward import Network, evaluate, graph_of
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.plan import Plan, plan
from everygrad.backprop.template import Places, exchanged, filled, is_array_or_kind
from everygrad.backprop.trace import Trace
from everygrad.engines import Array, Kind
from everygrad.engines.arrays import library, numpy_namespace
from everygrad.engines.compiled.choice import Engine
from everygrad.engines.compiled.threads import running
from everygrad.errors import UnsupportedError
from everygrad.graph import Graph, Node

if TYPE_CHECKING:
    from everygrad.engines.program.whole import Fuse

Arrays = dict[str, Array]
MOST_KEPT = 64
"""Codes kept of one plan; batches of ever new sizes must not fill the memory."""
ONCE = "once"


@final
@dataclass(frozen=True, slots=True)
class Straight:
    """A pass as a function of the given arrays: (values, gradients), and what else the record over time needs, by name.

    ``record`` is that of the recorded pass, with a `Place` for each array; ``ends`` are the given quantities that have
    a gradient, in which every number that is not finite shows. ``machine``: some of it is compiled.
    """

    text: str
    given: tuple[str, ...]
    function: Callable[..., tuple[Arrays, ...]]
    record: Gradients
    ends: tuple[str, ...]
    machine: bool

    def __call__(self, values: Arrays) -> Gradients:
        """The gradients for the given ``values`` (constants and prepared data among them)."""
        found, gradient, *others = self.function(*(values[name] for name in self.given))
        trace = self.record.trace
        if not trace.runs:
            every = MappingProxyType({**values, **found})
            plain = Trace(trace.graph, trace.plan, every, trace.kind, trace.runs, trace.engine)
            return Gradients(plain, self.record.of, MappingProxyType(gradient), self.record.sweeps, self.record.direct)
        everything = {**values, **found, **{("gradient", n): g for n, g in gradient.items()}}
        everything.update(*others)
        return filled(self.record, everything)


def straight(graph: Graph, todo: Plan, values: Arrays, kind: Kind, engine: Engine = "numpy") -> Straight | None:
    """The code for these arrays, if there can be one and, with NumPy, this is not their first pass.

    What is compiled may differ from NumPy in the last place, so that there the first pass runs it, too.
    There is none for operations of the user's own, which may do something else each time, and where something
    depends on the numbers.
    """
    if kind.xp is not numpy_namespace or own(todo):
        return None
    key: Hashable = (engine, *((name, array.shape, array.dtype) for name, array in values.items()))
    code = todo.codes.get(key, "never")  # another thread may empty it meanwhile
    if code == "never":
        if len(todo.codes) >= MOST_KEPT:
            todo.codes.clear()
        code = todo.codes[key] = ONCE
        if engine == "numpy":
            return None
    if code == ONCE:
        try:
            code = recorded(graph, todo, values, kind, engine)
        except Exception as error:  # whatever it was: without code the pass does its work, or raises the same again
            logging.getLogger("everygrad").debug("a pass has no straight-line code: %s", error, exc_info=True)
            code = None
        todo.codes[key] = code
    return code


def own(todo: Plan) -> list[Node]:
    """The nodes with operations of the user's own, also in cells."""
    return [*todo.foreign, *(node for family in todo.scans for node in family.scan.cell.graph.foreign)]


def source(network: Graph | Network, params: Mapping[str, Array], *data: Array, **named: Array) -> str:
    """The forward and the backward pass as a Python function that stands on NumPy alone, for arrays of these shapes.

    It can be pasted into a file: ``values, gradients = gradients(...)`` with the arrays in the order of the text gives
    the same bits as `gradients`, which runs this very text. A loop over time is a function of its own. Raises what
    `gradients` raises of its arguments, and `UnsupportedError` where there is no such text: for arrays of other
    libraries, for operations of the user's own, and for what depends on the numbers.
    """
    graph, expected = graph_of(network)
    todo = plan(graph)
    values, kind = bind(graph, todo, params, data, named, expected)
    if kind.xp is not numpy_namespace:
        raise UnsupportedError(f"the source is that of NumPy arrays, got {library(values[todo.nodes[0].name])} ones")
    theirs = own(todo)
    if theirs:
        names = ", ".join(sorted({f"{node.name!r} ({node.operation.name})" for node in theirs if node.operation}))
        raise UnsupportedError(f"there is no text of operations of your own: {names}")
    from everygrad.engines.program.recorded import NotRecordableError

    try:
        return recorded(graph, todo, values, kind).text
    except NotRecordableError as problem:
        raise UnsupportedError(f"this pass has no text that holds for all numbers: {problem}") from None


def recorded(graph: Graph, todo: Plan, values: Mapping[str, Array], like: Kind, engine: Engine = "numpy") -> Straight:
    """Record a pass over these arrays and write it as text. Raises `NotRecordableError`, and what the pass raises."""
    from everygrad.engines.program.recorded import Recorder
    from everygrad.engines.program.whole import Whole

    recorder = Recorder()
    given = {n: recorder.given(a) for n, a in values.items() if graph.by_name[n].role in ("data", "parameter")}
    every: Arrays = {}
    for name, array in values.items():  # in the order of a pass over the graph; what only prepares data is done already
        operation = graph.by_name[name].operation
        every[name] = given.get(name, array)
        if operation is not None:
            node = graph.by_name[name]
            every[name] = operation.value([every[i] for i in node.inputs], node.leads)
    kind = Kind(recorder.namespace, like.dtype, None)
    with np.errstate(all="ignore"), running(engine):
        runs = evaluate(todo.nodes, every)
        turn = len(recorder.calls)
        trace = Trace(graph, todo, MappingProxyType(every), kind, MappingProxyType(runs), engine)
        gradients = backward(trace, check_finite=False)
    computed = {name: recorder.value_of(a) for name, a in every.items() if name not in values}
    back = {name: recorder.value_of(g) for name, g in gradients.arrays.items()}
    known: dict[int, Any] = {value.number: name for name, value in computed.items()}
    known |= {recorder.value_of(array).number: name for name, array in every.items()}
    known |= {value.number: ("gradient", name) for name, value in back.items() if value.number not in known}
    places = Places(recorder, known, like)
    record = exchanged(gradients, is_array_or_kind, places)
    variables = [(value, name) for name, value in computed.items()]
    variables += [(value, f"grad_{name}") for name, value in back.items()]
    arguments = {name: recorder.value_of(a) for name, a in given.items()}
    returned = {"values": computed, "gradients": back, "others": places.others}
    fuse = _fusing(graph, values, like) if engine == "compiled" else None
    whole = Whole(recorder, arguments, returned, variables, [(0, "values"), (turn, "gradients")], fuse)
    shapes = ", ".join(f"{name} {tuple(a.shape)}" for name, a in zip(whole.arguments, given.values(), strict=True))
    text = whole.text("gradients", f"Values and gradients of every quantity, for {shapes}.")
    ends = tuple(n.name for n in todo.nodes if n.operation is None and n.name in back)
    function = whole.function(text, "gradients")
    return Straight(text, tuple(given), function, record, ends, bool(recorder.machine))


def _fusing(graph: Graph, values: Mapping[str, Array], like: Kind) -> "Fuse":
    """What compiles the parts of a pass that are done with each sample by itself."""
    from everygrad.engines.compiled.rows import fused

    rows = next((len(values[name]) for name in graph.data if name in values), 0)
    return lambda recorder, calls, outputs: fused(recorder, calls, outputs, rows, like.dtype)
