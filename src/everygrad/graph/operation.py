"""What an operation is: value, structured local derivative and formula, declared in one place."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from everygrad.engines import Array
from everygrad.errors import InputError
from everygrad.jacobians import Jacobian

Shape = tuple[int, ...]


class ShapeProblem(Exception):  # noqa: N818 (collected and reported together by `backprop.bind`)
    """The shapes of the inputs do not fit this operation; the message says how.

    ``shape``: what the output's would be all the same, so that the search for problems can go on.
    """

    def __init__(self, message: str, shape: Shape | None = None) -> None:
        super().__init__(message)
        self.shape = shape


class Operation(ABC):
    """One row of the table of operations.

    A quantity has *leading* axes (samples; or samples and time) and *feature* axes. ``leads`` gives, for
    each input, how many of its axes lead; parameters have none. Every operation works sample by sample
    and step by step; only a loss reduces the leading axes, and only the operations on sequences
    (`everygrad.graph.sequence`, `Scan`) join steps.
    """

    name: str
    keeps_finite: bool = False
    """Whether finite input gives finite output always (then the output need not be looked at)."""
    shows_nonfinite: bool = False
    """Whether a NaN or infinity in any input always shows in the output (0 · inf is NaN)."""
    local_reads: Literal["all", "inputs", "shapes"] = "all"
    """What `local` reads: the values of the inputs and the output, of the inputs only, or nothing but shapes.
    A loop over time keeps what is read, and no more."""

    whole: tuple[int, ...] = ()
    """The slots that may take whole numbers: labels, tokens, lengths. Negative ones count from the last."""
    counting: int | None = None
    """The slot that says which steps count, if there is one: lengths (batch,) or a boolean mask (batch, time)."""
    prepares: bool = False
    """Whether it only makes data ready (empties the padding): its users' `data_problems` see what it gives."""

    def __eq__(self, other: object) -> bool:
        same = type(self) is type(other) and isinstance(other, Operation) and self.name == other.name
        return same and dict(self.attributes) == dict(other.attributes)

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self.attributes.items())
        return f"{type(self).__name__}({inside})"

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What else defines this operation: JSON-able values, the arguments of its constructor."""
        return {}

    def lead(self, leads: Sequence[int]) -> int:
        """How many leading axes the output has. Raises `InputError` if samples would meet steps."""
        return one_lead(self.name, leads)

    @abstractmethod
    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        """The feature shape of the output; raises `ShapeProblem`."""

    @abstractmethod
    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        """The output, from the inputs."""

    @abstractmethod
    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        """∂y/∂xs[slot], structured; ``y`` is the output that `value` gave.

        Its leading axes are those that input and output share. Where the input has one more, the time,
        that is an axis of its features: a mean over time is (n,) <- (T, n) for each sample.
        """

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        """Whether there is a derivative with respect to this input (not for class labels)."""
        return True

    def data_problems(self, slot: int, x: Array, shapes: Sequence[Shape]) -> list[str]:
        """What is wrong with the *values* of an input that the user gave (labels out of range)."""
        return []

    @abstractmethod
    def formula(self, *operands: str) -> str:
        """The value, for people: ``tanh(a1)``."""

    def equation(self, name: str, *operands: str) -> str:
        """The line of a graph for a node of this name: ``h1 = tanh(a1)``."""
        return f"{name} = {self.formula(*operands)}"

    def heading(self, *operands: str) -> str:
        """The line above nodes that belong together, the quantities of one scan; nothing for others."""
        return ""

    @abstractmethod
    def local_formula(self, slot: int, *operands: str) -> str:
        """The local derivative, for people: ``1 - tanh(a1)**2``."""


def one_lead(name: str, leads: Sequence[int]) -> int:
    """How many axes lead among operands that are alike: all per sample, or all per sample and step, or shared.

    Axes are counted from the front, so a number per sample beside one per step would be aligned wrongly.
    """
    found = {lead for lead in leads if lead}
    if len(found) > 1:
        raise InputError(
            f"{name} joins a quantity of each sample with one of each sample and step: "
            f"read the sequence first (the last step, a mean), or give both a value for each step"
        )
    return max(found, default=0)


def feature_shape(x: Array, lead: int) -> Shape:
    """The axes of ``x`` behind its leading ones."""
    return tuple(x.shape[lead:])


def first_where(x: np.ndarray, wrong: np.ndarray) -> tuple[Any, str]:
    """The first element that is wrong, and its index, for people: (−1, "3") or (−1, "(2, 7)")."""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return x[at], str(at[0]) if len(at) == 1 else str(at)
