"""One compiled function for a whole pass over a graph, for JAX arrays."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import final

from everygrad.backprop.backward import backward
from everygrad.backprop.bind import bind
from everygrad.backprop.forward import Network, forward, graph_of
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.plan import Plan, plan
from everygrad.backprop.template import Place, exchanged, filled
from everygrad.engines import Array, is_array, is_traced
from everygrad.engines.arrays import is_floating, library
from everygrad.engines.jit import jitted
from everygrad.errors import InputError
from everygrad.graph import Graph, Shape


def compiled(network: Graph | Network) -> "Compiled":
    """`gradients` as one function compiled by JAX: ``f = eg.compiled(net)``, then ``g = f(params, x, y)``.

    The same `Gradients`, of JAX arrays: total and direct ones, with the trace. A pass is compiled once for each
    combination of shapes and dtypes, and kept with the network's graph. `gradients` itself does so where there is a
    loop over time, and sends each operation to JAX by itself where there is none. Arguments are looked at
    before (labels, lengths), and that all is finite afterwards, which a ``jax.jit`` around `gradients` cannot do;
    inside somebody's own ``jax.jit`` or ``jax.vmap`` call `gradients` itself.
    """
    return Compiled(*graph_of(network))


@final
class _Pass:
    """The compiled function of a graph, and for each combination of shapes the record that it fills with arrays."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.records: dict[Hashable, Gradients] = {}
        self.function = jitted(self._traced)

    def _traced(self, params: Mapping[str, Array], data: Mapping[str, Array]) -> tuple[list[Array], Array]:
        """(every array of the pass once, whether all are finite); JAX calls this when it compiles."""
        own = {name: params[name] for name in self.graph.parameters if name in params}  # in order: JAX sorts them
        given = [data.get(name) for name in self.graph.data]
        g = backward(forward(self.graph, own, *given, check_finite=False), check_finite=False)
        arrays: list[Array] = []
        places: dict[int, int] = {}

        def place(array: Array) -> Place:
            at = places.setdefault(id(array), len(arrays))
            if at == len(arrays):
                arrays.append(array)
            return Place(at)

        self.records[_key(params, data)] = exchanged(g, is_array, place)
        ends = [n.name for n in g.trace.nodes if n.operation is None and n.name in g.arrays]
        looked_at = [g.trace.arrays[name] for name in g.trace.plan.looked_at] + [g.arrays[name] for name in ends]
        xp, finite = g.trace.kind.xp, g.trace.kind.xp.asarray(True)
        for array in looked_at:
            if is_floating(array):
                finite = finite & xp.all(xp.isfinite(array))
        return arrays, finite

    def __call__(self, params: Mapping[str, Array], data: Mapping[str, Array]) -> tuple[Gradients, Array]:
        """(the gradients, whether everything is finite)."""
        arrays, finite = self.function(params, data)
        record = self.records[_key(params, data)]
        return filled(record, arrays), finite


@final
@dataclass(frozen=True, slots=True)
class Compiled:
    """What `compiled` returns: call it as `gradients`, without the network."""

    graph: Graph
    expected: Mapping[str, Shape]

    def __call__(
        self, params: Mapping[str, Array], *data: Array, check_finite: bool = True, **named: Array
    ) -> Gradients:
        """The gradient of every quantity; raises what `gradients` raises, and `InputError` for other arrays."""
        todo = plan(self.graph)
        values, _ = bind(self.graph, todo, params, data, named, self.expected)
        some = next(values[name] for name in todo.needed if is_floating(values[name]))
        if library(some) != "jax":
            raise InputError(f"compiled passes are for JAX arrays, got those of {library(some)}: use eg.gradients")
        return passed(self.graph, todo, values, check_finite)


def passed(graph: Graph, todo: Plan, values: Mapping[str, Array], check_finite: bool) -> Gradients:
    """A compiled pass over JAX arrays that were looked at; its function is kept with the graph."""
    if "compiled" not in graph.memo:
        graph.memo["compiled"] = _Pass(graph)
    params, data = ({n: values[n] for n in names if n in todo.needed} for names in (graph.parameters, graph.data))
    found, finite = graph.memo["compiled"](params, data)
    if check_finite and not is_traced(finite) and not bool(finite):
        return backward(forward(graph, params, **data))  # step by step: names the first such number
    return found


def _key(params: Mapping[str, Array], data: Mapping[str, Array]) -> Hashable:
    return tuple((name, tuple(a.shape), str(a.dtype)) for part in (params, data) for name, a in sorted(part.items()))
