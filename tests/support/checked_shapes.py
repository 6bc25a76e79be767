"""The run-time check of shapes: beartype on jaxtyping's annotations, and on no other.

Plain types are the type checker's business. Were they enforced here too, no test could show what the
library itself answers to a wrong type.
"""

import inspect
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def names_a_shape(annotation: Any) -> bool:
    """Whether an annotation is, or contains, a jaxtyping array with its shape."""
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(names_a_shape(part) for part in get_args(annotation))


def only_shapes(function: Any) -> Any:
    """The function with its annotated shapes checked at each call."""
    kept = {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if names_a_shape(hint)}
    if not kept:
        return function
    function.__annotations__ = kept
    return beartype(function)
