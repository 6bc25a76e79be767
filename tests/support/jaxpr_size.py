"""The size of what JAX compiles."""

from collections.abc import Iterator
from typing import Any


def equations(jaxpr: Any) -> int:
    """How many operations are written down in a jaxpr, in those inside its loops too."""
    return sum(1 + sum(equations(part) for part in inside(equation.params)) for equation in jaxpr.eqns)


def inside(params: Any) -> Iterator[Any]:
    """The jaxprs among the parameters of an operation: the bodies of loops and branches."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            part = getattr(part, "jaxpr", part)
            if hasattr(part, "eqns"):
                yield part
