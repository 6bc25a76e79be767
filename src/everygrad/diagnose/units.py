"""What each unit does to the gradient: its slope, how often it is flat, and what passes through it."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients
from everygrad.diagnose.thresholds import THRESHOLDS, Thresholds
from everygrad.engines import to_numpy
from everygrad.engines.shapes import Float
from everygrad.graph import Node
from everygrad.graph.elementwise import Elementwise

Array = Any


@final
@dataclass(frozen=True, eq=False)
class LayerUnits:
    """The units of one activation h = g(a), measured over the samples; arrays have one number per unit.

    ``slope`` is the mean of |g′(a)|, ``zero`` the share of samples with g′(a) = 0, ``flat`` the share
    with |g′(a)| below 1 % of the steepest slope (None if the slope of g has no bound), ``grad_h`` and
    ``grad_a`` the means of |∂L/∂h| and |∂L/∂a|, ``share`` the unit's part of ‖∂L/∂a‖² (the parts
    add up to 1, or are all 0).
    """

    name: str
    before: str
    activation: str
    samples: int
    shape: tuple[int, ...]
    slope: Float[Array, " units"]
    zero: Float[Array, " units"]
    flat: Float[Array, " units"] | None
    grad_h: Float[Array, " units"]
    grad_a: Float[Array, " units"]
    share: Float[Array, " units"]
    dead: tuple[bool, ...]
    saturated: tuple[bool, ...]
    switches: bool
    """Whether g has a part that is exactly flat, as relu has: there a zero slope for some samples is normal."""

    def __len__(self) -> int:
        return len(self.dead)

    @property
    def labels(self) -> tuple[str, ...]:
        """``h1[0]``, ``h1[1]``, ...; ``h1[0, 2]`` for quantities with several feature axes."""
        return tuple(f"{self.name}[{', '.join(map(str, i))}]" if i else self.name for i in np.ndindex(*self.shape))

    def status(self, unit: int) -> str:
        """``"dead"``, ``"saturated"`` or ``""``."""
        return "dead" if self.dead[unit] else "saturated" if self.saturated[unit] else ""

    def __str__(self) -> str:
        counts = {"dead": sum(self.dead), "saturated": sum(self.saturated)}
        listed = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "none dead or saturated"
        size = f"{counted(len(self), 'unit')}, {counted(self.samples, 'sample')}"
        return f"{self.name} = {self.activation}({self.before}): {size}, {listed}"


def units(gradients: Gradients, thresholds: Thresholds = THRESHOLDS) -> tuple[LayerUnits, ...]:
    """The units of every elementwise activation between the data and the loss, in the order of the graph.

    A unit is *dead* if g′ is exactly 0 for all samples, *saturated* if it is flat for at least
    ``thresholds.saturated_unit`` of them (and not dead, and g is not one that switches off, like relu).
    Cost: one evaluation of g′ and a few means per activation. Reads only the record.
    """
    return tuple(
        _measure(gradients, node, node.operation, thresholds)
        for node in gradients.trace.nodes
        if isinstance(node.operation, Elementwise)
        and node.operation.name != "identity"
        and node.lead > 0
        and node.name in gradients.arrays
        and node.inputs[0] in gradients.arrays
    )


def _measure(gradients: Gradients, node: Node, g: Elementwise, thresholds: Thresholds) -> LayerUnits:
    a, h = gradients.trace[node.inputs[0]], gradients.trace[node.name]
    shape = tuple(h.shape[node.lead :])
    count = math.prod(shape)

    def rows(array: Array) -> np.ndarray:
        return np.abs(to_numpy(array).astype(np.float64).reshape(-1, count))

    with np.errstate(all="ignore"):  # numbers that are not finite stay so, and the verdict says where they begin
        slope, grad_h, grad_a = rows(g.derivative(a, h)), rows(gradients[node.name]), rows(gradients[node.inputs[0]])
        zero = (slope == 0).mean(0)
        flat = (slope < thresholds.flat_slope * g.steepest).mean(0) if math.isfinite(g.steepest) else None
        largest = grad_a.max(initial=0.0)
        squares = np.square(grad_a / largest).sum(0) if largest else np.zeros(count)
        share = squares / squares.sum() if largest else squares
        means = slope.mean(0), grad_h.mean(0), grad_a.mean(0)
    off = switches(g)
    dead = zero == 1.0
    saturated = np.zeros(count, bool) if flat is None or off else (flat >= thresholds.saturated_unit) & ~dead
    return LayerUnits(
        name=node.name,
        before=node.inputs[0],
        activation=g.name,
        samples=slope.shape[0],
        shape=shape,
        slope=means[0],
        zero=zero,
        flat=flat,
        grad_h=means[1],
        grad_a=means[2],
        share=share,
        dead=tuple(map(bool, dead)),
        saturated=tuple(map(bool, saturated)),
        switches=off,
    )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 unit``, ``1,024 units``, ``3 classes``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def switches(g: Elementwise) -> bool:
    """Whether g′ is exactly 0 at an ordinary point, which only a piecewise function has on a whole interval."""
    ordinary = np.array([-1.25, 1.25])
    with np.errstate(all="ignore"):  # log and sqrt of the first
        return bool((g.derivative(ordinary, g.value([ordinary], (0,))) == 0).any())
