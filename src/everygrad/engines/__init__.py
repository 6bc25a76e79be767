"""Which array library is which, and numerics that are stable in all of them.

The only room that knows about NumPy, torch and JAX by name. Everything above is written on the
Python array API standard.
"""

from everygrad.engines.arrays import (
    Array,
    Kind,
    is_array,
    is_complex,
    is_traced,
    kind_of,
    namespace,
    to_numpy,
)

__all__ = [
    "Array",
    "Kind",
    "is_array",
    "is_complex",
    "is_traced",
    "kind_of",
    "namespace",
    "to_numpy",
]
