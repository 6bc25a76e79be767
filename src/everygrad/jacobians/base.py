"""What every Jacobian can do: the abstract type, its operators, indexing, printing."""

import math
import operator
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from everygrad.engines import Array, Kind, is_array, is_complex, is_traced, namespace
from everygrad.errors import InputError, TooLargeError
from everygrad.jacobians.registry import add, compose
from everygrad.jacobians.shapes import Index, Shape, broadcast, flat_index, flatten, show, sum_leading, unflatten

DENSE_LIMIT = 2**24
"""The most elements that ``dense()`` forms without ``force=True``."""

Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


class Jacobian(ABC):
    """∂v/∂u of a quantity v (out) with respect to a quantity u (in), for each sample.

    A linear map (*batch, *out_shape, *in_shape) that knows its structure. ``batch`` is () if the map is the same
    for all samples. On paper a gradient is a column and ∇_u = Jᵀ ∇_v; arrays hold rows, so that is
    ``J.pull(g)`` or ``g @ J``. A change of u becomes a change of v by ``J.push(v)`` or ``J @ v``.

    Operators: ``J @ K`` composes, ``J + K``, ``J - K``, ``-J``, ``c * J``, ``J / c`` with a real scalar c,
    ``J @ array``, ``array @ J``, ``J[p, q]``. NumPy, torch and JAX all let ``array @ J`` come to us.
    What the mathematics does not define (``J * K``, ``J + 3``, ``J ** 2``) is a `TypeError`.
    """

    __slots__ = ()
    __array_ufunc__: ClassVar[None] = None  # NumPy: leave `array @ J` and `scalar * J` to us
    __array_priority__: ClassVar[float] = 1000.0
    __iter__: ClassVar[None] = None  # `for row in J` would otherwise try J[0], J[1], ...

    # What a type must say about itself.

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Library, dtype and device."""

    @property
    @abstractmethod
    def batch(self) -> Shape:
        """The leading axes; () if the map is the same for all samples."""

    @property
    @abstractmethod
    def out_shape(self) -> Shape:
        """The shape of the quantity that is differentiated."""

    @property
    @abstractmethod
    def in_shape(self) -> Shape:
        """The shape of the quantity that it is differentiated by."""

    @abstractmethod
    def _arrays(self) -> tuple[Array, ...]:
        """The arrays that are stored."""

    @abstractmethod
    def _push(self, v: Array) -> Array:
        """J v on flat features: (*lead, in_size) -> (*lead', out_size)."""

    @abstractmethod
    def _pull(self, g: Array) -> Array:
        """Jᵀ g on flat features: (*lead, out_size) -> (*lead', in_size)."""

    def _pull_total(self, g: Array) -> Array:
        """Σ over all leading axes of Jᵀ g: (*lead, out_size) -> (*in_shape)."""
        return unflatten(sum_leading(self._pull(g)), self.in_shape)

    @abstractmethod
    def _dense(self) -> Array:
        """(*batch, out_size, in_size)."""

    @abstractmethod
    def _entry(self, p: int, q: int) -> Array:
        """The element (p, q), flat indices, of every sample: (*batch,)."""

    @abstractmethod
    def _entries(self) -> Entries:
        """The structural nonzeros of an operator without batch."""

    @abstractmethod
    def _reach(self, mask: np.ndarray) -> np.ndarray:
        """Which outputs can see the marked inputs: booleans (k, in_size) -> (k, out_size)."""

    @abstractmethod
    def _sample(self, index: Index) -> "Jacobian":
        """The operator of one sample; ``index`` counts in a batch that this broadcasts to, a slice keeps its axis."""

    @abstractmethod
    def _scaled(self, c: Any) -> "Jacobian":
        """c times this one; ``c`` keeps the dtype."""

    @property
    @abstractmethod
    def T(self) -> "Jacobian":
        """The transpose, without conjugation: ``J.T[q, p] == J[p, q]``."""

    @property
    @abstractmethod
    def nnz(self) -> int:
        """How many elements of one sample can be nonzero by structure, whatever the values."""

    @abstractmethod
    def norm(self) -> Array:
        """‖J‖ = sqrt(Σ |J[p, q]|²) of each sample: real, (*batch,). Nothing dense is formed."""

    # Sizes.

    @property
    def out_size(self) -> int:
        """How many numbers the output has."""
        return math.prod(self.out_shape)

    @property
    def in_size(self) -> int:
        """How many numbers the input has."""
        return math.prod(self.in_shape)

    @property
    def shape(self) -> Shape:
        """(*batch, *out_shape, *in_shape): the shape of ``dense()``."""
        return (*self.batch, *self.out_shape, *self.in_shape)

    @property
    def stored(self) -> int:
        """How many numbers are stored, over all samples."""
        return sum(math.prod(a.shape) for a in self._arrays())

    @property
    def nbytes(self) -> int:
        """How many bytes the stored numbers take."""
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in self._arrays())

    # Products with vectors.

    def push(self, v: Array) -> Array:
        """J v, forward: how v changes with u. (*lead, *in_shape) -> (*lead', *out_shape).

        The leading axes broadcast with ``batch``. `InputError` if the last axes are not ``in_shape``.
        """
        return unflatten(self._push(self._checked(v, self.in_shape, "push", "input")), self.out_shape)

    def pull(self, g: Array, total: bool = False) -> Array:
        """Jᵀ g, backward: ∇_u from g = ∇_v. (*lead, *out_shape) -> (*lead', *in_shape).

        The leading axes broadcast with ``batch``. ``total`` sums over all of them, which gives the gradient of a
        parameter that all samples share: (*in_shape). `InputError` if the last axes are not ``out_shape``.
        """
        g = self._checked(g, self.out_shape, "pull", "output")
        return self._pull_total(g) if total else unflatten(self._pull(g), self.in_shape)

    def _checked(self, x: Array, features: Shape, verb: str, side: str) -> Array:
        """``x`` with flat features, after its shape was compared with ours."""
        if len(features) == 1 and len(x.shape) and x.shape[-1] == features[0]:  # the common case, quickly
            if self.batch and x.shape[:-1] != self.batch:
                broadcast(tuple(x.shape[:-1]), self.batch)
            return x
        cut = len(x.shape) - len(features)
        if tuple(x.shape[cut:]) != features:
            raise InputError(
                f"{type(self).__name__}.{verb}: the array has shape {tuple(x.shape)}, its last axes must be "
                f"{features}, the shape of the {side}; axes before them broadcast with the batch {self.batch}"
            )
        if cut:
            broadcast(tuple(x.shape[:cut]), self.batch)
        return flatten(x, len(features))

    # Looking inside.

    def dense(self, force: bool = False) -> Array:
        """The array (*batch, *out_shape, *in_shape) of this kind.

        `TooLargeError` if it would have more than ``DENSE_LIMIT`` elements, unless ``force``.
        """
        elements = math.prod(self.shape)
        if elements > DENSE_LIMIT and not force:
            size = elements * self.kind.dtype.itemsize / 2**30
            raise TooLargeError(
                f"dense() of {self!r} would form {elements:,} elements ({size:.2f} GiB), the limit is {DENSE_LIMIT:,}; "
                f"stored are {self.stored:,}. Use push, pull, J[p, q] or sample(b), or dense(force=True)"
            )
        flat = self._dense()
        return namespace(flat).reshape(flat, self.shape)

    def entries(self) -> Entries:
        """The structural nonzeros: NumPy arrays (out_index, in_index, value), indices flat.

        Only for an operator without batch (`InputError` otherwise): take ``sample(b)`` first.
        """
        if self.batch:
            raise InputError(f"entries() of {self!r}: it has the batch {self.batch}, take one sample(b) first")
        if self.nnz > DENSE_LIMIT:
            raise TooLargeError(f"entries() of {self!r} would form {self.nnz:,} entries, the limit is {DENSE_LIMIT:,}")
        return self._entries()

    def sample(self, b: int | tuple[int, ...]) -> "Jacobian":
        """The operator of one sample, without batch. One that is the same for all samples returns itself.

        `IndexError` if ``b`` has not one integer in range for each axis of ``batch``.
        """
        if not self.batch:
            return self
        index = b if isinstance(b, tuple) else (b,)
        if len(index) != len(self.batch):
            raise IndexError(f"sample({b}): the batch {self.batch} takes {len(self.batch)} indices, got {len(index)}")
        return self._sample(_in_range(index, self.batch, self))

    def at(self, t: int) -> "Jacobian":
        """The operators of all samples at one position of the first leading axis, the time: batch (T, B) -> (B,).

        One that is the same for all returns itself. `IndexError` if ``t`` is not an integer in range.
        """
        if not self.batch:
            return self
        return self._sample((*_in_range((t,), self.batch[:1], self), *(slice(None) for _ in self.batch[1:])))

    def __getitem__(self, key: Any) -> Array:
        """``J[p, q]``: one element of every sample, (*batch,); ``J[b, p, q]``: of one sample.

        One integer for each axis of ``out_shape`` and ``in_shape`` (``T[p, q, r]`` for a weight), negative ones
        count from the end. `IndexError` for anything else. Nothing dense is formed.
        """
        key = key if isinstance(key, tuple) else (key,)
        outs, features, sizes = len(self.out_shape), len(self.out_shape) + len(self.in_shape), self.shape
        if len(key) not in (features, len(sizes)):
            raise IndexError(
                f"{self!r} takes {features} indices, or {len(sizes)} with those of the batch {self.batch} first; "
                f"got {len(key)}"
            )
        index = _in_range(key, sizes[len(sizes) - len(key) :], self)
        lead = len(key) - features
        p = flat_index(index[lead : lead + outs], self.out_shape)
        q = flat_index(index[lead + outs :], self.in_shape)
        value = self.kind.xp.asarray(self._entry(p, q))
        return value[index[:lead]] if lead else value

    def __repr__(self) -> str:
        extra = self._extra()
        return (
            f"{type(self).__name__}({show(self.out_shape)} <- {show(self.in_shape)}, batch {self.batch}, "
            f"{extra + ', ' if extra else ''}stored {self.stored:,} of {math.prod(self.shape):,})"
        )

    def _extra(self) -> str:
        """What the type adds to the printed line."""
        return ""

    # Operators.

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, Jacobian):
            return compose(self, other)
        return self.push(other) if is_array(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Any:
        return self.pull(other) if is_array(other) else NotImplemented

    def __add__(self, other: Any) -> Any:
        return add(self, other) if isinstance(other, Jacobian) else NotImplemented

    def __sub__(self, other: Any) -> Any:
        return add(self, -other) if isinstance(other, Jacobian) else NotImplemented

    def __neg__(self) -> "Jacobian":
        return self._scaled(-1.0)

    def __mul__(self, other: Any) -> Any:
        c = _real_scalar(other, self.kind)
        return NotImplemented if c is None else self._scaled(c)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        c = _real_scalar(other, self.kind)
        return NotImplemented if c is None else self._scaled(1.0 / c)


def _in_range(index: tuple[Any, ...], sizes: Shape, J: Jacobian) -> Shape:
    """The integers of ``index``, each counted from the front; `IndexError` if one is no integer or out of range."""
    found = []
    for axis, n in enumerate(sizes):
        try:
            position = operator.index(index[axis])
        except TypeError:
            raise IndexError(
                f"{index[axis]!r} is not an integer, in an index of {J!r}: for slices take dense()[...]"
            ) from None
        if not -n <= position < n:
            raise IndexError(f"index {position} is out of range for size {n}, in {index} of the sizes {sizes} of {J!r}")
        found.append(position % n)
    return tuple(found)


def _real_scalar(c: Any, kind: Kind) -> Any:
    """A real number that does not widen arrays of this kind; None if ``c`` is not a real scalar."""
    if isinstance(c, int | float | np.floating | np.integer):
        return float(c)  # a NumPy scalar would widen float32
    if not is_array(c) or c.shape != () or is_complex(c):
        return None
    if is_traced(c) or (namespace(c) is kind.xp and not isinstance(c, np.ndarray)):
        return namespace(c).astype(c, kind.dtype)  # stays on its device, and differentiable
    return float(c)
