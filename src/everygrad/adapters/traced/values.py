"""What stands for a tensor while a traced module is read: symbols of our graph, and torch's axes of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import torch

from everygrad.graph import Symbol

Kind = Literal["batch", "time", "batch x time", "time x batch", "stack", "features", "anything"]


class Refused(Exception):  # noqa: N818 (collected, and reported together)
    """Something in the module has no counterpart; the message says what and, if it helps, what to do."""


@final
@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a tensor of torch.

    ``"stack"``: layers and the like, along which there is one symbol each; ``"anything"``: all the feature axes of
    an input of which nothing else is known. ``size``: of a stack, or of features if it is known.
    """

    kind: Kind
    size: int | None = None

    def __str__(self) -> str:
        known = self.size is not None
        return f"{self.size}" if self.kind == "stack" else f"{self.size} features" if known else self.kind


UNKNOWN_AXES = "what axes the input has is not known here: say so with axes=, for instance axes='bti'"

BATCH, TIME, ANYTHING = Axis("batch"), Axis("time"), Axis("anything")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor: ``axes`` in torch's order, and its ``symbols``, an array over those axes that are stacks.

    In our graph a symbol has its samples and steps in front, whatever the order of the axes in torch. Without an
    axis of features it is a vector of one, or a number if it comes so from outside (``raw``: tokens, or a number).
    """

    symbols: np.ndarray
    axes: tuple[Axis, ...]
    raw: bool = False

    @property
    def symbol(self) -> Symbol:
        """The only one; raises `Refused` if there are several."""
        if self.symbols.size != 1:
            raise Refused(f"it gets a tensor {described(self.axes)}: choose one by its index")
        return self.symbols.reshape(-1)[0]

    @property
    def width(self) -> int | None:
        """How many features there are, if that is known."""
        at = self.find("features")
        return None if at is None else self.axes[at].size

    def find(self, *kinds: Kind) -> int | None:
        """Which axis is of this kind."""
        return next((i for i, axis in enumerate(self.axes) if axis.kind in kinds), None)

    def has(self, *kinds: Kind) -> bool:
        """Whether an axis is of this kind."""
        return self.find(*kinds) is not None

    def dim(self, dim: object, extra: int = 0) -> int:
        """An axis counted from either end, as one counted from the first."""
        rank = len(self.axes) + extra
        if not isinstance(dim, int) or isinstance(dim, bool):
            raise Refused(f"an axis is given by a number, got {dim!r}")
        if self.has("anything") and (dim < 0 or dim > 1):
            raise Refused(UNKNOWN_AXES)
        if not -rank <= dim < rank:
            raise Refused(f"there is no axis {dim} in a tensor {described(self.axes)}")
        return dim % rank

    def stack_axis(self, dim: int) -> int:
        """Which axis of ``symbols`` the stack at this place is."""
        return sum(axis.kind == "stack" for axis in self.axes[:dim])

    def with_axis(self, dim: int, axis: Axis) -> "Value":
        """The same symbols with another word for one axis."""
        return replace(self, axes=(*self.axes[:dim], axis, *self.axes[dim + 1 :]))


def single(symbol: Symbol, *axes: Axis, raw: bool = False) -> Value:
    """A value of one symbol."""
    return Value(array_of([symbol], ()), axes, raw)


def array_of(symbols: Iterable[Symbol], shape: Sequence[int]) -> np.ndarray:
    """Symbols as an array."""
    listed = list(symbols)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array.reshape(tuple(shape))


def described(axes: Iterable[Axis]) -> str:
    """Axes for people: ``(batch, time, 5 features)``."""
    return f"({', '.join(map(str, axes))})"


@final
@dataclass(frozen=True, slots=True)
class Size:
    """A number that depends on the data: the product of some axes, and of a whole number."""

    factors: tuple[str, ...]
    number: int = 1

    def times(self, other: "Size | int") -> "Size":
        """The product with another size."""
        mine = other if isinstance(other, Size) else Size((), other)
        return Size(tuple(sorted((*self.factors, *mine.factors))), self.number * mine.number)


def size_of(axis: Axis) -> Size | int:
    """How long an axis is."""
    if axis.kind == "anything":
        raise Refused(UNKNOWN_AXES)
    if axis.size is not None:
        return axis.size
    return Size(tuple(sorted(axis.kind.split(" x "))))


@final
@dataclass(frozen=True, slots=True)
class OpenShape:
    """The shape of an input of which only the batch is known."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor that the module holds, not yet in the graph: a parameter, or a constant (``name`` is then None)."""

    tensor: torch.Tensor
    name: str | None
    transposed: bool = False


@final
@dataclass(frozen=True, slots=True)
class Zeros:
    """Zeros of some sizes, as initial states are made."""

    sizes: tuple[Size | int, ...]


def what_is(given: object) -> str:
    """What came where something else was expected, for people."""
    if isinstance(given, Value):
        return f"a tensor {described(given.axes)}"
    words: dict[type, str] = {
        Held: "a tensor that the module holds",
        Zeros: "zeros",
        Size: "a size",
        Detail: "a device or dtype",
    }
    return words.get(type(given), "nothing" if given is None else f"a {type(given).__name__}")


@final
@dataclass(frozen=True, slots=True)
class Detail:
    """What does not matter for the numbers: a device, or a dtype."""

    what: str
