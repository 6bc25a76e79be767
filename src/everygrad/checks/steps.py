"""How much one operation's output moves when its inputs move: from its *values* alone, never its derivative.

A step takes the operation's inputs xs and tangents ts (None for an input that does not move) and gives
Σ_slot (∂y/∂xs[slot]) ts[slot]. Chained along a graph these are exact forward derivatives at the very
values that the backward sweep uses, so that only derivatives are compared, not roundings of the forward pass.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from everygrad.errors import InputError
from everygrad.graph import Node

Arrays = Sequence[np.ndarray]
Tangents = Sequence[np.ndarray | None]
Step = Callable[[Node, Arrays, Tangents, np.ndarray], np.ndarray]

IMAGINARY = 1e-30
"""The complex step: its truncation error is of the order of the square, far below the rounding."""
DIFFERENCE_STEP = 1e-3
"""Of formulas of fourth order: truncation and rounding are both about 1e-13 for numbers of order one."""
PROBE_STEP = 1e-6
"""Of the plain one-sided differences that only tell an analytic operation from one that is not."""

CENTRAL = ((1, 2 / 3), (-1, -2 / 3), (2, -1 / 12), (-2, 1 / 12))
FORWARD = ((0, -25 / 12), (1, 4.0), (2, -3.0), (3, 4 / 3), (4, -1 / 4))


def complex_step(node: Node, xs: Arrays, ts: Tangents, y: np.ndarray) -> np.ndarray:
    """Im f(x + iεt) / ε with ε = 1e-30 (Squire & Trapp 1998): no difference, hence exact to rounding.

    The tangents are scaled to one first, so that a vanishing gradient does not underflow. Only inputs
    that move become complex. Cost: one complex evaluation.
    """
    size = _size(ts)
    if not size:
        return np.zeros(y.shape)
    zs = [x if t is None else _complex(x, IMAGINARY * (t / size)) for x, t in zip(xs, ts, strict=True)]
    value = _value(node, zs)
    if not np.iscomplexobj(value):
        raise InputError(_refusal(node, "gives real numbers for complex input (an absolute value?)"))
    return np.asarray(np.imag(value) / IMAGINARY * size)


def central_difference(node: Node, xs: Arrays, ts: Tangents, y: np.ndarray) -> np.ndarray:
    """(8 [f(x+ε) − f(x−ε)] − [f(x+2ε) − f(x−2ε)]) / 12ε along t scaled to one, ε = 1e-3."""
    return _difference(node, xs, ts, y, CENTRAL, DIFFERENCE_STEP)


def forward_difference(node: Node, xs: Arrays, ts: Tangents, y: np.ndarray) -> np.ndarray:
    """The one-sided formula of the same order: it disagrees with the central one next to a kink."""
    return _difference(node, xs, ts, y, FORWARD, DIFFERENCE_STEP)


def require_analytic(nodes: Sequence[Node], values: Mapping[str, np.ndarray], seed: int = 0) -> None:
    """Raise `InputError` for an operation through which the complex step cannot see.

    Its value for complex input must be complex, have the real part of the value for real input, and an
    imaginary part that agrees with the difference from above, from below (at a kink they differ) or
    with their mean. An absolute value or a conjugate on the way fails this. Cost: three evaluations for each.
    """
    rng = np.random.default_rng(seed)
    for node in nodes:
        if node.operation is None:
            continue
        xs, y = [values[name] for name in node.inputs], values[node.name]
        ts = [np.asarray(rng.uniform(-1.0, 1.0, x.shape)) if x.dtype.kind == "f" else None for x in xs]
        if not any(t is not None and t.size for t in ts):
            continue
        t = complex_step(node, xs, ts, y)
        value = _value(node, [x if u is None else _complex(x, IMAGINARY * u) for x, u in zip(xs, ts, strict=True)])
        largest = np.abs(y).max(initial=0.0)
        if not np.abs(np.real(value) - y).max(initial=0.0) <= 1e-6 * max(largest, 1.0):
            raise InputError(_refusal(node, "gives another real part for complex input than for real input"))
        sides = [_difference(node, xs, ts, y, ((0, -1.0 * s), (s, 1.0 * s)), PROBE_STEP) for s in (1, -1)]
        noise = 1e-5 * max(np.abs(t).max(initial=0.0), *(np.abs(d).max(initial=0.0) for d in sides)) + 1e-8 * largest
        middle = 0.5 * (sides[0] + sides[1])  # free of the curvature, which outweighs a small slope
        off = np.minimum.reduce([np.abs(t - d) for d in (*sides, middle)])
        if (off > noise).any():  # NaN, from a difference that left the domain, is not evidence
            raise InputError(_refusal(node, "has an imaginary part that no finite difference confirms (a conjugate?)"))


def _refusal(node: Node, why: str) -> str:
    name = node.operation.name if node.operation else node.role
    return (
        f"{node.name!r}: the operation {name!r} {why}, so the complex step cannot check it. "
        f"Its value must be analytic (no abs, max or conj of complex numbers), or use oracle='difference'"
    )


def _value(node: Node, xs: Arrays) -> np.ndarray:
    if node.operation is None:
        raise InputError(f"{node.name!r} is given, not computed")
    with np.errstate(all="ignore"):
        try:
            return np.asarray(node.operation.value(xs, node.leads))
        except TypeError as error:
            raise InputError(_refusal(node, f"does not take NumPy arrays of these dtypes ({error})")) from error


def _complex(x: np.ndarray, imaginary: np.ndarray | np.floating) -> np.ndarray:
    z = np.empty(x.shape, np.complex128)
    z.real, z.imag = x, imaginary
    return z


def _size(ts: Tangents) -> float:
    """The power of two below the largest tangent: scaling by it is exact."""
    largest = max((float(np.abs(t).max(initial=0.0)) for t in ts if t is not None), default=0.0)
    return 2.0 ** float(np.frexp(largest)[1] - 1) if largest and np.isfinite(largest) else largest


def _difference(
    node: Node, xs: Arrays, ts: Tangents, y: np.ndarray, formula: Sequence[tuple[int, float]], step: float
) -> np.ndarray:
    size = _size(ts)
    if not size:
        return np.zeros(y.shape)
    total = np.zeros(y.shape)
    for shift, factor in formula:
        moved = [x if t is None else np.asarray(x + (shift * step) * (t / size)) for x, t in zip(xs, ts, strict=True)]
        total += factor * (_value(node, moved) if shift else y)
    return np.asarray(total * (size / step))
