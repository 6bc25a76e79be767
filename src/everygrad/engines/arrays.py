"""Array libraries: the namespace of an array, its kind, and the way to NumPy and back."""

import sys
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

numpy_namespace: Any = np
"""NumPy 2 follows the array API standard itself; the wrapper would load much of NumPy's test code."""

Array = Any
"""A NumPy array, a torch tensor or a JAX array."""


def is_array(value: object) -> bool:
    """Whether ``value`` is an array of a library that we know."""
    return isinstance(value, np.ndarray) or array_api_compat.is_array_api_obj(value)


def namespace(array: Array) -> Any:
    """The array-API namespace of one array (NumPy's is found without a look-up)."""
    if isinstance(array, np.ndarray | np.generic):
        return numpy_namespace
    return array_api_compat.array_namespace(array)


def library(array: Array) -> str:
    """The library that ``array`` belongs to, for people: ``"numpy"``, ``"torch"`` or ``"jax"``."""
    name = namespace(array).__name__
    return next((known for known in ("torch", "jax", "numpy") if known in name), name)


def is_traced(array: Array) -> bool:
    """Whether ``array`` is a JAX tracer, or recorded: it has a shape but no values to look at."""
    if getattr(array, "has_no_values", False):
        return True
    jax = sys.modules.get("jax")  # never imported here: a tracer exists only if JAX is loaded
    return jax is not None and isinstance(array, jax.core.Tracer)


def has_values(array: Array) -> bool:
    """Whether the numbers can be looked at: not those of a JAX tracer, nor of a tensor on torch's meta device."""
    return not is_traced(array) and str(getattr(array, "device", "")) != "meta"


def is_complex(array: Array) -> bool:
    """Whether the elements of ``array`` are complex (the complex step feeds such arrays)."""
    if isinstance(array, np.ndarray | np.generic):
        return array.dtype.kind == "c"
    return bool(namespace(array).isdtype(array.dtype, "complex floating"))


def is_floating(array: Array) -> bool:
    """Whether ``array`` holds real or complex floating point numbers, hence has a gradient."""
    if isinstance(array, np.ndarray | np.generic):
        return array.dtype.kind in "fc"
    return bool(namespace(array).isdtype(array.dtype, ("real floating", "complex floating")))


def to_numpy(array: Array) -> np.ndarray:
    """The same numbers as a NumPy array on the host; a torch tensor is detached first."""
    if isinstance(array, np.ndarray):
        return array
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().resolve_conj().numpy()
    return np.asarray(array)


def contiguous(array: Array) -> Array:
    """The same numbers in the order of the axes, of a NumPy array; others are as their library keeps them."""
    if hasattr(array, "recorder"):
        return array.recorder.call("ascontiguousarray", np.ascontiguousarray, (array,), {})
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array


def detached(array: Array) -> Array:
    """The same array outside of automatic differentiation: torch must not record what we compute in closed form."""
    if not isinstance(array, np.ndarray | np.generic) and array_api_compat.is_torch_array(array):
        return array.detach()
    return array


def place(array: Array) -> Any:
    """The device of a torch tensor, which torch does not move by itself; None for the others."""
    if not isinstance(array, np.ndarray | np.generic) and array_api_compat.is_torch_array(array):
        return array.device
    return None


def narrowed_by_jax(array: Array, other: Array) -> bool:
    """Whether one of the two is a JAX array that cannot hold the other's float64: JAX was not told to use x64."""
    if not any(array_api_compat.is_jax_array(a) for a in (array, other)):
        return False
    wide = any(str(a.dtype).rpartition(".")[2] == "float64" for a in (array, other))
    return wide and not sys.modules["jax"].config.jax_enable_x64


def take_real(array: Array) -> Array:
    """Re(z) of a complex array, the array itself otherwise."""
    return namespace(array).real(array) if is_complex(array) else array


@dataclass(frozen=True, slots=True)
class Kind:
    """Library, dtype and device of an array: what is needed to make another one like it."""

    xp: Any
    dtype: Any
    device: Any

    def zeros(self, shape: tuple[int, ...]) -> Array:
        return self.xp.zeros(shape, dtype=self.dtype, device=self.device)

    def ones(self, shape: tuple[int, ...]) -> Array:
        return self.xp.ones(shape, dtype=self.dtype, device=self.device)

    def full(self, shape: tuple[int, ...], value: float) -> Array:
        return self.xp.full(shape, value, dtype=self.dtype, device=self.device)

    def eye(self, n: int) -> Array:
        return self.xp.eye(n, dtype=self.dtype, device=self.device)

    def asarray(self, values: Any) -> Array:
        return self.xp.asarray(values, dtype=self.dtype, device=self.device)

    def indices(self, values: Any) -> Array:
        """Whole numbers, to index arrays of this kind with."""
        return self.xp.asarray(values, device=self.device)


NUMPY_FLOAT64 = Kind(numpy_namespace, np.dtype(np.float64), "cpu")
"""The reference kind."""

_NUMPY_KINDS: dict[np.dtype[Any], Kind] = {
    np.dtype(t): Kind(numpy_namespace, np.dtype(t), "cpu")
    for t in (np.float32, np.float64, np.complex64, np.complex128)
}


def kind_of(array: Array) -> Kind:
    """The kind of ``array``."""
    if isinstance(array, np.ndarray | np.generic):
        return _NUMPY_KINDS.get(array.dtype) or Kind(numpy_namespace, array.dtype, "cpu")
    if is_traced(array):
        return Kind(namespace(array), array.dtype, None)
    return Kind(namespace(array), array.dtype, array_api_compat.device(array))
