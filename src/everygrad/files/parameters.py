"""The parameters that a network needs, against those that are there."""

from collections.abc import Mapping

from everygrad.files.architecture import Savable
from everygrad.graph import Graph, Shape
from everygrad.networks import FeedForward, Recurrent

DTYPES = ("float32", "float64")


def expected_shapes(net: Savable) -> Mapping[str, Shape | None]:
    """Parameter name -> shape, in order; None where the network does not say."""
    if isinstance(net, FeedForward | Recurrent):
        return net.shapes
    if isinstance(net, Graph):
        return dict.fromkeys(net.parameters)
    return {name: net.shapes.get(name) for name in net.graph.parameters}


def mismatches(net: Savable, found: Mapping[str, tuple[Shape, str] | None]) -> list[str]:
    """Every parameter that is missing, not of this network, of another shape, or not float32 or float64 like the rest.

    ``found`` maps names to shape and dtype; None is there, but known to be no array.
    """
    expected = expected_shapes(net)
    problems = [f"parameter {name!r} is missing" for name in expected if name not in found]
    dtypes: dict[str, str] = {}
    for name, array in found.items():
        if name not in expected:
            problems.append(f"parameter {name!r} is not one of this network's")
        if name not in expected or array is None:
            continue
        shape, dtype = array
        needed = expected[name]
        if needed is not None and shape != tuple(needed):
            problems.append(f"parameter {name!r} has shape {shape}, the network needs {tuple(needed)}")
        if dtype in DTYPES:
            dtypes.setdefault(dtype, name)
        else:
            problems.append(f"parameter {name!r} has dtype {dtype}, expected float32 or float64")
    if len(dtypes) > 1:
        listed = ", ".join(f"{name!r} is {dtype}" for dtype, name in dtypes.items())
        problems.append(f"parameters of different dtypes: {listed}: use one for all")
    return problems
