"""Both verbs at once, as straight-line code where that can be."""

from collections.abc import Mapping

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
    ``engine``: see `forward`. Raises what the two verbs raise. Cost: one forward and one backward pass. With NumPy
    arrays of the same shapes the second call writes straight-line code, which it and the later ones run (see `source`).
    JAX arrays are compiled, if there is a loop over time (see `compiled`); within a ``jax.jit`` of one's own, as that
    compiles it.
    """
    graph, expected = graph_of(network)
    engine = checked(engine)
    todo = plan(graph)
    values, kind = bind(graph, todo, params, data, named, expected)
    jax = engine == "numpy" and "jax" in kind.xp.__name__ and not any(map(is_traced, values.values()))
    if jax and todo.scans and not own(todo):
        return passed(graph, todo, values, check_finite)
    code = straight(graph, todo, values, kind, engine)
    if code is not None:
        with np.errstate(all="ignore"), using(todo.pool), running(engine):
            found = code(values)
            every, gradient = found.trace.arrays, found.arrays
            if not check_finite or (
                all(all_finite(every[name]) for name in todo.looked_at)
                and all(all_finite(gradient[name]) for name in code.ends)
            ):
                return found
    trace = computed(graph, todo, values, kind, engine, check_finite)  # which names the first number that is not finite
    return backward(trace, check_finite=check_finite)
