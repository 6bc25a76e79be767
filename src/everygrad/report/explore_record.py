"""The part of the record that one walks through: single samples, units and steps, and the terms of their gradients."""

from dataclasses import dataclass
from typing import Any, Literal, final

from everygrad.engines.shapes import Bool, Float, Int

Array = Any


@final
@dataclass(frozen=True, slots=True)
class ExploredSample:
    """A sample of the batch: its index, its target and its prediction in words ("" if unknown), its own loss."""

    index: int
    label: str
    predicted: str
    loss: float | None


@final
@dataclass(frozen=True, slots=True)
class Hop:
    """A layer that every path from an earlier one goes through by one of its units.

    ``layer`` is its place among `Explore.layers`, None if it is not drawn.
    """

    name: str
    layer: int | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class ExploredPaths:
    """The paths of largest |product| from each unit shown of a layer to the loss, and what the others add up to.

    All paths of a layer meet the same quantities, ``way``, one behind the other; the last is the loss. ``at`` says by
    which unit: of ``way[i]`` it is ``units[..., at[i]]``, none where ``at[i]`` is −1 (one number). ``hops`` are the
    layers that these units are drawn in. ``factors[..., i]`` is ∂way[i]/∂(what stands before it), ``products`` their
    product; where there are fewer than k paths ``units`` is −1 and the numbers are NaN. ``count`` is how many paths
    leave one unit, in digits, as it may have hundreds. The products listed and ``remainder`` add up to the gradient.
    """

    way: tuple[str, ...]
    at: tuple[int, ...]
    hops: tuple[Hop, ...]
    count: str
    units: Int[Array, "samples shown k hops"]
    factors: Float[Array, "samples shown k way"]
    products: Float[Array, "samples shown k"]
    remainder: Float[Array, "samples shown"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ExploredLayer:
    """A layer h = g(a) of a chain at the samples explored: values and gradients of the units drawn.

    ``before``, ``a``, ``grad_a`` and ``slope`` = g′(a) are "" and None for the data and for a layer that is no
    activation. ``formulas`` are those of one unit, with the marks {unit}, {a}, {h}, {grad_a}, {grad_h}, {slope} where
    its numbers stand. ``paths`` is None where none were looked for; `Explore.note` says why.
    """

    name: str
    before: str
    units: int
    shown: tuple[int, ...]
    formulas: tuple[str, ...]
    a: Float[Array, "samples shown"] | None
    h: Float[Array, "samples shown"]
    slope: Float[Array, "samples shown"] | None
    grad_a: Float[Array, "samples shown"] | None
    grad_h: Float[Array, "samples shown"]
    paths: ExploredPaths | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """What one consumer of a state contributes to its gradient: all paths through that consumer together.

    ``consumer``: its name. ``when``: at the same step, at the next one that the layer comes to, or outside of the
    layer (what the loss, or a layer above, reads of this step). ``text``: the same in words.
    """

    consumer: str
    when: Literal["outside", "same", "next"]
    text: str
    values: Float[Array, "samples steps shown"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ExploredQuantity:
    """A state, a gate or another quantity of a cell at the samples, steps and units shown.

    ``total`` is ∂L/∂v through everything, ``direct`` the part that comes through this step alone. ``terms``, of a
    state, add up to ``total``. NaN where the sequence has no such step.
    """

    name: str
    kind: Literal["state", "gate", "other"]
    units: int
    shown: tuple[int, ...]
    formula: str
    value: Float[Array, "samples steps shown"]
    total: Float[Array, "samples steps shown"]
    direct: Float[Array, "samples steps shown"]
    terms: tuple[Term, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ExploredSteps:
    """One direction of a recurrent layer: ``at`` are the steps shown (of ``steps``), in the order of time.

    ``present``: whether a sequence has the step.
    """

    label: str
    name: str
    reverse: bool
    steps: int
    at: tuple[int, ...]
    present: Bool[Array, "samples steps"]
    quantities: tuple[ExploredQuantity, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Explore:
    """What can be walked through: the layers of a chain with their paths, or recurrent layers step by step.

    ``of`` is the loss, ``samples`` those of the batch that all arrays here begin with. ``note`` says in words what
    was left out for its size.
    """

    of: str
    note: str
    samples: tuple[ExploredSample, ...]
    layers: tuple[ExploredLayer, ...]
    steps: tuple[ExploredSteps, ...]
