"""Arrays that write down what is done with them.

A function that works on arrays of any library is called once with `Recorded` arrays in place of its arguments.
What it does to them becomes a list of `Call`s. It must do the same whatever the numbers are, as for `jax.jit`:
whoever looks at a number (``if x > 0``) gets `NotRecordableError`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, final

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Operand = Any
"""A `Value`, a number, a slice, a dtype, ..., or a tuple or a list of those."""


class NotRecordableError(Exception):
    """What was done depends on the numbers, or goes to a place that cannot be followed."""


@final
@dataclass(frozen=True, slots=True)
class Value:
    """The place of an array among those of a recording."""

    number: int


@final
@dataclass(frozen=True, slots=True)
class Call:
    """One line: ``result = function(*operands, **options)``, or ``result, *others = ...``.

    ``written`` is NumPy's name of the function, or ``"[]"`` for an index, ``".T"`` for a transpose, ``"**"``.
    """

    written: str
    function: Callable[..., Any]
    operands: tuple[Operand, ...]
    options: tuple[tuple[str, Operand], ...]
    result: Value
    others: tuple[Value, ...] = ()

    @property
    def results(self) -> tuple[Value, ...]:
        """All results."""
        return (self.result, *self.others)

    @property
    def reads(self) -> tuple[Value, ...]:
        """The arrays that it reads."""
        return tuple(_values((self.operands, tuple(v for _, v in self.options))))


def _values(operand: Operand) -> Iterator[Value]:
    if isinstance(operand, Value):
        yield operand
    elif isinstance(operand, tuple | list):
        for part in operand:
            yield from _values(part)


@final
class Recorder:
    """The lines so far, and an example of each array: what comes out for the arrays of the recording."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.examples: list[np.ndarray] = []
        self.constants: dict[int, int] = {}  # the identity of an array -> its number
        self.functions: dict[str, str] = {}  # the name of a loop's function -> its text
        self.machine: dict[str, Callable[..., Any]] = {}  # the same of those that are compiled: they have no text
        self.namespace = Namespace(self)
        self.each_alone = False  # whether it is for code in which looking at each number by itself costs nothing

    def given(self, array: np.ndarray) -> "Recorded":
        """An array that stands for an argument."""
        self.examples.append(array)
        return Recorded(self, Value(len(self.examples) - 1), array)

    def value_of(self, array: Any) -> Value:
        """The place of a recorded array; any other array was closed over, and is a constant."""
        if type(array) is Recorded:
            if array.recorder is not self:
                raise NotRecordableError("arrays of two recordings meet")
            return array.value
        if id(array) not in self.constants:
            self.examples.append(array)  # which keeps it alive, so that its identity stays its own
            self.constants[id(array)] = len(self.examples) - 1
        return Value(self.constants[id(array)])

    def call(self, written: str, function: Callable[..., Any], operands: tuple, options: Mapping[str, Any]) -> Any:
        """Do it with the examples and write it down."""
        found = function(*map(_example, operands), **{name: _example(v) for name, v in options.items()})
        if not isinstance(found, np.ndarray | np.generic):
            raise NotRecordableError(f"{written} gives {type(found).__name__}")
        self.examples.append(np.asarray(found))
        result = Value(len(self.examples) - 1)
        read = tuple((name, self._operand(v)) for name, v in options.items())
        self.calls.append(Call(written, function, tuple(map(self._operand, operands)), read, result))
        return Recorded(self, result, self.examples[result.number])

    def call_several(self, written: str, function: Callable[..., Any], operands: tuple) -> list["Recorded"]:
        """`call` of a function that returns a tuple of arrays."""
        found = [np.asarray(part) for part in function(*map(_example, operands))]
        first = len(self.examples)
        self.examples += found
        results = [Value(first + i) for i in range(len(found))]
        self.calls.append(
            Call(written, function, tuple(map(self._operand, operands)), (), results[0], tuple(results[1:]))
        )
        return [Recorded(self, value, array) for value, array in zip(results, found, strict=True)]

    def _operand(self, operand: Any) -> Operand:
        if isinstance(operand, Recorded | np.ndarray):
            return self.value_of(operand)
        if isinstance(operand, tuple | list):
            return type(operand)(map(self._operand, operand))
        if isinstance(operand, np.generic):
            return self.value_of(np.asarray(operand))
        return operand


def _example(operand: Any) -> Any:
    if type(operand) is Recorded:
        return operand.example
    if isinstance(operand, tuple | list):
        return type(operand)(map(_example, operand))
    return operand


def _recorders(operand: Any) -> Iterator[Recorder]:
    """The recorders of the recorded arrays in an operand: that of a loop's body, within the recording of a pass."""
    if isinstance(operand, tuple | list):
        for part in operand:
            yield from _recorders(part)
    elif type(operand) is Recorded:
        yield operand.recorder


def _holds_recorded(operand: Any) -> bool:
    return next(_recorders(operand), None) is not None


_REDUCTIONS = {"sum": "add", "max": "maximum", "min": "minimum", "prod": "multiply"}
"""What NumPy's functions call, with less ado."""
_MAKERS, _LIKE = ("zeros", "ones", "full", "eye", "arange"), ("zeros_like", "ones_like", "full_like")
"""Functions that make an array of nothing: their result is a line, not a constant."""


@final
class Namespace:
    """The array API of recorded arrays: NumPy's own, with each call written down."""

    __name__ = "numpy, recorded"

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type | ModuleType) or name in ("isdtype", "result_type"):
            return function

        def recorded(*operands: Any, **options: Any) -> Any:
            options.pop("device", None)
            recorder = next(_recorders((operands, tuple(options.values()))), self.recorder)
            if name in _REDUCTIONS and _holds_recorded(operands):
                axis = options.pop("axis", None)
                ufunc = getattr(np, _REDUCTIONS[name])
                return recorder.call(f"{ufunc.__name__}.reduce", ufunc.reduce, operands, {"axis": axis, **options})
            if name in _LIKE:  # which reads no number
                made, like = name.removesuffix("_like"), operands[0]
                options.setdefault("dtype", like.dtype)
                return recorder.call(made, getattr(np, made), (like.shape, *operands[1:]), options)
            if name in _MAKERS:
                return recorder.call(name, function, operands, options)
            if not _holds_recorded((operands, tuple(options.values()))):
                return function(*operands, **options)
            dtype = options.get("dtype", (*operands, None)[1])
            if name in ("astype", "asarray") and (dtype is None or dtype == operands[0].dtype):
                return operands[0]
            return recorder.call(name, function, operands, options)

        self.__dict__[name] = recorded
        return recorded


@final
class Recorded(NDArrayOperatorsMixin):
    """An array of a recording. Its operators are NumPy's functions, which come to `__array_ufunc__`."""

    __slots__ = ("example", "recorder", "value")

    def __init__(self, recorder: Recorder, value: Value, example: np.ndarray) -> None:
        self.recorder = recorder
        self.value = value
        self.example = example

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return self.recorder.namespace

    shape = property(lambda self: self.example.shape)
    ndim = property(lambda self: self.example.ndim)
    size = property(lambda self: self.example.size)
    dtype = property(lambda self: self.example.dtype)
    device = None
    has_no_values = True
    """Asked by `engines.arrays.is_traced`."""

    def __len__(self) -> int:
        return len(self.example)

    @property
    def T(self) -> "Recorded":
        return self.recorder.call(".T", _transposed, (self,), {})

    @property
    def mT(self) -> "Recorded":
        return self.recorder.call("matrix_transpose", np.matrix_transpose, (self,), {})

    def reshape(self, *shape: Any) -> "Recorded":
        whole = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        return self.recorder.call("reshape", np.reshape, (self, whole), {})

    def __pow__(self, other: Any) -> "Recorded":
        return self.recorder.call("**", operator.pow, (self, other), {})  # NumPy squares where the power is 2

    def __getitem__(self, index: Any) -> "Recorded":
        return self.recorder.call("[]", operator.getitem, (self, index), {})

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        if method == "reduce":
            return self.recorder.call(f"{ufunc.__name__}.reduce", ufunc.reduce, operands, options)
        if method != "__call__" or options.get("out") is not None or ufunc.nout != 1:
            raise NotRecordableError(f"{ufunc.__name__}.{method}")
        return self.recorder.call(ufunc.__name__, ufunc, operands, options)

    def __array_function__(self, function: Any, types: Any, operands: tuple, options: dict[str, Any]) -> Any:
        return self.recorder.call(function.__name__, function, operands, options)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotRecordableError("the numbers themselves are asked for")

    def _looked_at(self, *_: Any) -> Any:
        raise NotRecordableError("a number is looked at")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __iter__ = __setitem__ = _looked_at
    __hash__ = None  # type: ignore[assignment]  # as of arrays: == compares elements


def _transposed(array: np.ndarray) -> np.ndarray:
    return array.T
