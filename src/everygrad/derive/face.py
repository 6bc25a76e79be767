"""The public face: ``eg.derive``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from everygrad.backprop.forward import Network
from everygrad.engines import Array
from everygrad.errors import InputError
from everygrad.graph import Graph

if TYPE_CHECKING:
    from everygrad.derive.records import Derivation


def derive(
    network: Graph | Network | str,
    wrt: Any = None,
    params: Mapping[str, Array] | None = None,
    *data: Array,
    of: Any = None,
    sample: int = 0,
    exact: bool = False,
    numbers: Literal["tenths", "integers", "init"] = "tenths",
    seed: int = 0,
    samples: int = 1,
    steps: int = 3,
    **named: Any,
) -> "Derivation":
    """The written derivation of a gradient: formula, numbers and check. ``print(eg.derive(net, "h1[3]"))``.

    ::

        eg.derive(net, "h1[3]", params, x, y)          # one unit; "W2[1,0]" one weight; "a1" a whole layer
        eg.derive(net, "h[2,3]", params, x, y)         # of a recurrent network: step 2, unit 3; "W" the sum over k
        eg.derive(net, params=params)                  # the whole network: all equations, all shapes
        eg.derive(net, "W[1,2]", of="h[2,0]")          # of another number than the loss
        eg.derive("y1 = x**2; y2 = x**3; z = log(y1*y2)", "x", x=2.0)

    In the order of a lecture: what is asked and its shape; who consumes it; the chain rule with one term for each
    consumer; each factor; the collected form, one element first, then the vector, then the matrix; the result; and as
    last line the check against the complex step, which uses no derivative at all. Formulas are the operations' own;
    every number is the library's. A recurrent network is unrolled (see `everygrad.unroll`), and a parameter's
    derivation has the sum over steps, the product of state Jacobians and the sparse tensor. Without parameters or
    data, numbers are invented for `FeedForward` and `Recurrent` networks: ``numbers="tenths"``, ``"integers"`` or
    ``"init"``, with ``seed``, so many ``samples`` and ``steps``.

    ``exact=True``: fractions in the place of floating point, where every operation is rational (affine, arithmetic,
    identity, relu, squared error). Of several samples the one shown is ``sample``; everything is done in double
    precision. Raises `InputError` and `UnknownNameError` for what is not there, `UnsupportedError` for fractions of
    an operation that leaves them, and what `forward` raises. Cost: one pass, and one more for each entry of the
    quantity for the check (of a large one 256 entries and 8 directions).
    """
    # here: `import everygrad` is quick without all that it needs
    from everygrad.derive.formula import formula_setting
    from everygrad.derive.one import derive_one
    from everygrad.derive.recurrent import time_parts
    from everygrad.derive.setting import setting
    from everygrad.derive.whole import derive_whole

    if isinstance(network, str):
        if data or (params is not None and not isinstance(params, Mapping)):
            raise InputError("a formula takes its variables as numbers by name: derive(text, 'x', x=2.0)")
        s, wanted = formula_setting(network, {**(params or {}), **named}, wrt, of, exact)
        return derive_one(s, *s.find(wanted))
    s = setting(network, params, data, named, of, sample, numbers, seed, samples, steps, exact)
    if wrt is None:
        return derive_whole(s)
    name, index = s.find(wrt)
    return derive_one(s, name, index, time_parts(s, name, index))
