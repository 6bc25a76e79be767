"""Both verbs at once, as straight-line code where that can be."""

from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from everygrad.backprop.backward import backward
from everygrad.backprop.bind import bind
from everygrad.backprop.compiled import passed
from everygrad.backprop.finite import all_finite
from everygrad.backprop.forward import Network, computed, graph_of
from everygrad.backprop.gradients import Gradients
from everygrad.backprop.plan import plan
from everygrad.backprop.straight import own, straight
from everygrad.engines import Array, is_traced
from everygrad.engines.compiled.choice import Engine, checked
from everygrad.engines.compiled.threads import running
from everygrad.engines.pool import using
from everygrad.graph import Graph


def gradients(
    network: Graph | Network,
    params: Mapping[str, Array],
    *data: Array,
    check_finite: bool = True,
    engine: Engine = "numpy",
    **named: Array,
) -> Gradients:
    """The gradient of every quantity of a network or a graph: `forward`, then `backward`.

    ``g = eg.gradients(net, params, x, y)``; ``g.loss``, ``g["h1"]``, ``g["W1"]``, ``print(g)``.
    ``engine``: see `forward`; here "compiled" is also what a large pass does with each sample by itself, and products
    are split over the same threads, with BLAS on one meanwhile. It may differ from NumPy in the last places, and gives
    the same bits at each call. Raises what the two verbs raise. Cost: one forward and one backward pass. With NumPy
    arrays of the same shapes the second call writes straight-line code (the first one, if it is to be compiled), which
    it and the later ones run (see `source`). JAX arrays are compiled, if there is a loop over time (see `compiled`);
    within a ``jax.jit`` of one's own, as that compiles it.
    """
    graph, expected = graph_of(network)
    engine = checked(engine)
    todo = plan(graph)
    values, kind = bind(graph, todo, params, data, named, expected)
    jax = engine == "numpy" and todo.scans and "jax" in kind.xp.__name__ and not any(map(is_traced, values.values()))
    if jax and not own(todo):
        return passed(graph, todo, values, check_finite)
    code = straight(graph, todo, values, kind, engine)
    if code is not None:
        with np.errstate(all="ignore"), using(todo.pool), running(engine) if code.machine else nullcontext():
            found = code(values)
            if not check_finite or _is_finite(found, code.ends):
                return found
    trace = computed(graph, todo, values, kind, engine, check_finite)  # which names the first number that is not finite
    return backward(trace, check_finite=check_finite)


def _is_finite(found: Gradients, ends: tuple[str, ...]) -> bool:
    """Whether everything is, seen at the ends of the two passes."""
    values, gradients = found.trace.arrays, found.arrays
    for name in found.trace.plan.looked_at:
        if not all_finite(values[name]):
            return False
    return all(all_finite(gradients[name]) for name in ends)
