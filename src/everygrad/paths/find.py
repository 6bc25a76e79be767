"""The public face: ``paths`` of a network, of a graph, or of a formula."""

from collections.abc import Mapping
from typing import Any

from everygrad.backprop import Network
from everygrad.engines import Array
from everygrad.errors import InputError
from everygrad.graph import Graph
from everygrad.paths.records import Paths
from everygrad.paths.search import Wanted, network_paths


def paths(
    network: Graph | Network | str,
    params: Mapping[str, Array] | None = None,
    *data: Array,
    wrt: Wanted | None = None,
    k: int = 10,
    sample: int | None = None,
    of: Wanted | None = None,
    **values: Any,
) -> Paths:
    """The k paths of largest |product| from one number to another, and what the rest adds up to.

    ∂L/∂v = Σ over all paths v = u₀ → u₁ → ... → u_n = L of Π ∂u_{i+1}/∂u_i (rule 1, spelt out).

    Of a network or a graph::

        eg.paths(net, params, x, y, wrt=("h1", 3), k=10)      # unit 3 of layer 1, in sample 0
        eg.paths(net, params, x, y, wrt=("W1", 2, 5))         # a weight: all samples' paths compete
        eg.paths(net, params, x, wrt="x[4]", of=("a3", 2), sample=7)

    - ``wrt``: an element, ``("h1", 3)`` or ``"h1[3]"``, or the name of a quantity that is one number.
    - ``of``: the end, an element likewise; by default the loss.
    - ``sample``: the gradient of a hidden quantity or of data is one for each sample; without
      ``sample`` it is that of sample 0, and the table says so. The paths of a parameter go through
      all samples and each says its own; with ``sample`` they are that sample's part of the gradient.
      Paths that go through no sample (a penalty on the weights) are in no sample's part.
    - If ``of`` is a number of each sample, paths of a parameter to all of them are taken together.

    Of a formula, whose variables are given as keywords, or in a dict in the place of ``params`` (for
    one called k or of)::

        eg.paths("y1 = x**2; y2 = x**3; z = log(y1*y2)", x=2.0)

    Assignments separated by ``;`` or line ends; numbers, names, ``+ - * / **``, ``exp log sqrt sin cos
    tanh sigmoid relu square softplus silu gelu elu leaky_relu``, ``pi`` and ``e``. It is parsed, not
    evaluated. The last name is the result; ``wrt`` is needed if it depends on several variables. Each
    step leads from one named quantity to the next, with its derivative in symbols and in numbers.

    Paths are counted by structure: a factor that happens to be 0 does not remove a path. Equal
    products stay in the order of the graph; behind a common factor 0 the larger rest comes first.
    Cost: one forward and one backward pass, one read of each local Jacobian between the two
    quantities, and k² products for each element.

    Raises `InputError` for an index, a sample, k, a value or a formula that does not fit (with the
    place in the text), `UnknownNameError` with the nearest name, `NonFiniteError` naming the quantity.
    """
    if isinstance(network, str):
        if data or sample is not None:
            raise InputError("a formula has no samples: give its variables as numbers, paths(text, x=2.0)")
        given = dict(params) if isinstance(params, Mapping) else {}
        if params is not None and not isinstance(params, Mapping):
            raise InputError(f"the values of a formula come by name: paths(text, x=2.0), got {params!r:.40}")
        twice = sorted(set(given) & set(values))
        if twice:
            raise InputError(f"values were given twice for {', '.join(twice)}")
        from everygrad.paths.formula import formula_paths  # here: networks need no parser, `import everygrad` is quick

        return formula_paths(network, {**given, **values}, wrt=wrt, of=of, k=k)
    if wrt is None:
        raise InputError("wrt is missing: say from which element, like wrt=('h1', 3)")
    if params is None:
        raise InputError("params is missing: paths(net, params, x, y, wrt=('h1', 3))")
    return network_paths(network, params, *data, wrt=wrt, of=of, k=k, sample=sample, **values)
